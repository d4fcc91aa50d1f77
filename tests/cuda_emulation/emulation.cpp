// The scheduler: runs a launch block by block, each thread on a fiber, and checks its barriers.
#include "cuda_emulation/emulation.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "cuda_emulation/fiber.hpp"
#include "cuda_emulation/thread.hpp"
#include "cuda_emulation/words.hpp"

namespace ganymede::emulation {
namespace {

constexpr unsigned warp_size = 32;
constexpr unsigned most_threads = 1024;
constexpr std::size_t most_shared_bytes = std::size_t{48} * 1024;

enum class State { ready, at_barrier, at_warp_barrier, done };

struct Thread {
  Fiber fiber;
  Place place;
  State state = State::ready;
  int line = 0;            // of the barrier it waits at
  unsigned exchanges = 0;  // passed; tells which half of Block::given is in use
};

// What the host thread runs now, and what it keeps from launch to launch.
class Machine {
 public:
  void run(const Launch& launch);

  void wait(State at, int line) {
    Thread& thread = *current_;
    thread.state = at;
    thread.line = line;
    thread.fiber.switch_to(scheduler_);
  }
  [[nodiscard]] Thread& current() const { return *current_; }
  [[nodiscard]] const Launch& launch() const { return *launch_; }
  [[nodiscard]] unsigned block() const { return block_; }
  std::uint64_t* given() {
    const Thread& thread = *current_;
    return given_[thread.exchanges % 2] + thread.place.thread / warp_size * warp_size;
  }
  void* shared(const void* tag, std::size_t bytes);
  void touch(const void* address, std::size_t bytes, Access kind) {
    const auto at = reinterpret_cast<std::uintptr_t>(address);
    const auto arguments = reinterpret_cast<std::uintptr_t>(launch_->arguments.get());
    if (current_->fiber.holds(address) || (at >= arguments && at < arguments + launch_->argument_bytes)) return;
    races_.touch(at, bytes, kind, current_->place);
  }
  void fence() { races_.fence(current_->place); }
  // The first thing that goes wrong on a fiber; the scheduler throws it.
  void complain(const std::string& what) {
    if (complaint_.empty()) complaint_ = what;
  }

 private:
  static void start();
  void run_block(unsigned block);
  bool release_warps();
  void release_block();
  [[noreturn]] void fail(const std::string& what);
  void end_block();

  const Launch* launch_ = nullptr;
  unsigned block_ = 0;
  unsigned threads_ = 0;
  Thread* current_ = nullptr;
  Fiber scheduler_;
  std::vector<Thread> thread_;
  std::unique_ptr<Stacks> stacks_;
  std::map<const void*, std::vector<std::byte>> shared_;
  std::size_t shared_bytes_ = 0;
  std::uint64_t given_[2][most_threads] = {};
  RaceCheck races_;
  std::string complaint_;
  std::mt19937_64 random_;
};

Machine& machine() {
  static thread_local Machine own;
  return own;
}
// The machine whose kernel runs; null: none does. Every load and store of a kernel looks here, and a pointer needs no
// check whether it has been made yet.
constinit thread_local Machine* running = nullptr;

std::uint64_t chosen_seed = 0;
std::atomic<std::uint64_t> launches{0};
// Made when first used: the constructor of a library may set them before this file's variables are made.
Submit& chosen_submit() {
  static Submit submit;
  return submit;
}
AccessHook& access_hook() {
  static AccessHook hook;
  return hook;
}
std::function<std::uint64_t()>& chosen_clock() {
  static std::function<std::uint64_t()> clock;
  return clock;
}

void Machine::start() {
  Machine& self = *running;
  Thread& thread = *self.current_;
  thread.fiber.started(self.scheduler_);
  self.launch_->call(self.launch_->arguments.get());
  thread.state = State::done;
  thread.fiber.finish(self.scheduler_);
}

void Machine::fail(const std::string& what) {
  std::ostringstream text;
  text << "kernel " << launch_->kernel << ", block " << block_ << " of " << launch_->grid.x << ": " << what;
  end_block();
  launch_ = nullptr;
  throw Error(text.str());
}

void Machine::run(const Launch& launch) {
  if (launch_ != nullptr) throw Error(std::string("kernel ") + launch.kernel + ": launched by a kernel");
  launch_ = &launch;
  threads_ = launch.block.x;
  const unsigned blocks = launch.grid.x;
  // What CUDA itself refuses, and what is not emulated.
  if (blocks == 0 || threads_ == 0 || threads_ > most_threads || threads_ % warp_size != 0 ||
      launch.grid.y * launch.grid.z * launch.block.y * launch.block.z != 1)
    fail("a grid of " + std::to_string(blocks) + " blocks of " + std::to_string(threads_) +
         " threads: both need one dimension and more than 0, threads a multiple of 32 up to 1024");
  random_.seed(chosen_seed * 1000003 + launches.fetch_add(1));
  if (stacks_ == nullptr || stacks_->count() < threads_) stacks_ = std::make_unique<Stacks>(threads_);
  if (thread_.size() < threads_) thread_.resize(threads_);
  races_.begin();
  std::vector<unsigned> order(blocks);
  std::iota(order.begin(), order.end(), 0U);
  std::shuffle(order.begin(), order.end(), random_);
  for (unsigned block : order) run_block(block);
  launch_ = nullptr;
  if (instrumented() && access_hook()) access_hook()(launch.kernel, races_.ranges());
}

void Machine::run_block(unsigned block) {
  block_ = block;
  complaint_.clear();
  for (unsigned i = 0; i < threads_; ++i) {
    Thread& thread = thread_[i];
    thread.place = {block, 0, 0, static_cast<std::uint16_t>(i)};
    thread.state = State::ready;
    thread.exchanges = 0;
    thread.fiber.reset((*stacks_)[i], start);
  }
  std::vector<unsigned> order(threads_);
  std::iota(order.begin(), order.end(), 0U);
  for (;;) {
    std::shuffle(order.begin(), order.end(), random_);
    for (unsigned i : order) {
      if (thread_[i].state != State::ready) continue;
      current_ = &thread_[i];
      running = this;
      scheduler_.switch_to(current_->fiber);
      running = nullptr;
      current_ = nullptr;
    }
    if (complaint_.empty()) complaint_ = races_.race();
    if (!complaint_.empty()) fail(complaint_);
    if (release_warps()) continue;
    if (std::all_of(thread_.begin(), thread_.begin() + threads_,
                    [](const Thread& t) { return t.state == State::done; }))
      break;
    release_block();
  }
  end_block();
}

// Lets each warp go on whose threads all wait for each other; false when there is none.
bool Machine::release_warps() {
  bool released = false;
  for (unsigned first = 0; first < threads_; first += warp_size) {
    const auto begin = thread_.begin() + first;
    const auto end = begin + warp_size;
    const auto waiting = std::find_if(begin, end, [](const Thread& t) { return t.state == State::at_warp_barrier; });
    if (waiting == end) continue;
    for (auto other = begin; other != end; ++other) {
      if (other->state == State::at_warp_barrier && other->line == waiting->line) continue;
      std::ostringstream text;
      text << "a divergent warp barrier: thread " << waiting->place.thread << " waits for its warp at line "
           << waiting->line << ", thread " << other->place.thread;
      if (other->state == State::done) {
        text << " has ended";
      } else {
        text << (other->state == State::at_barrier ? " for its block at line " : " at line ") << other->line;
      }
      fail(text.str());
    }
    for (auto thread = begin; thread != end; ++thread) thread->state = State::ready;
    released = true;
  }
  return released;
}

void Machine::release_block() {
  const auto begin = thread_.begin();
  const auto end = begin + threads_;
  const auto waiting = std::find_if(begin, end, [](const Thread& t) { return t.state == State::at_barrier; });
  for (auto other = begin; other != end; ++other) {
    if (other->state == State::at_barrier && other->line == waiting->line) continue;
    std::ostringstream text;
    text << "a divergent barrier: thread " << waiting->place.thread << " waits at __syncthreads of line "
         << waiting->line << ", thread " << other->place.thread;
    if (other->state == State::done) {
      text << " has ended";
    } else {
      text << " at that of line " << other->line;
    }
    fail(text.str());
  }
  for (auto thread = begin; thread != end; ++thread) {
    thread->state = State::ready;
    ++thread->place.barriers;
  }
}

void Machine::end_block() {
  current_ = nullptr;
  for (const auto& [tag, memory] : shared_)
    races_.forget(reinterpret_cast<std::uintptr_t>(memory.data()), memory.size());
  shared_.clear();
  shared_bytes_ = 0;
}

void* Machine::shared(const void* tag, std::size_t bytes) {
  std::vector<std::byte>& memory = shared_[tag];
  if (memory.empty()) {
    shared_bytes_ += bytes;
    if (shared_bytes_ > most_shared_bytes) complain("more than 48 KiB of shared memory");
    memory.assign(bytes, std::byte{0xFF});
  }
  return memory.data();
}

void check_mask(unsigned mask) {
  if (mask != ~0U) running->complain("a warp function with a mask that is not full");
}

template <class T>
T fetch_add_on(T* at, T value) {
  running->touch(at, sizeof *at, Access::atomic);
  const T before = *at;
  *at = before + value;
  return before;
}

}  // namespace

void set_submit(Submit submit) { chosen_submit() = std::move(submit); }
void set_access_hook(AccessHook hook) { access_hook() = std::move(hook); }
void set_clock(std::function<std::uint64_t()> clock) { chosen_clock() = std::move(clock); }
void set_seed(std::uint64_t seed) {
  chosen_seed = seed;
  launches = 0;
}

bool instrumented() {
#if defined(GANYMEDE_EMULATION_INSTRUMENTED)
  return true;
#else
  return false;
#endif
}

void submit(cudaStream_t stream, Launch launch) {
  if (chosen_submit() == nullptr) {
    machine().run(launch);
    return;
  }
  const char* kernel = launch.kernel;
  chosen_submit()(stream, kernel, [launch = std::move(launch)] { machine().run(launch); });
}

uint3 thread_index() { return {running->current().place.thread, 0, 0}; }
uint3 block_index() { return {running->block(), 0, 0}; }
dim3 block_size() { return running->launch().block; }
dim3 grid_size() { return running->launch().grid; }
void block_barrier(int line) { running->wait(State::at_barrier, line); }

void warp_barrier(int line, unsigned mask, bool orders) {
  check_mask(mask);
  running->wait(State::at_warp_barrier, line);
  if (orders) ++running->current().place.warp_barriers;
}

std::uint64_t exchange(int line, unsigned mask, std::uint64_t value, unsigned from) {
  running->given()[lane()] = value;
  warp_barrier(line, mask, false);
  const std::uint64_t result = running->given()[from % warp_size];
  ++running->current().exchanges;
  return result;
}

unsigned ballot(int line, unsigned mask, bool predicate) {
  running->given()[lane()] = predicate ? 1 : 0;
  warp_barrier(line, mask, false);
  unsigned result = 0;
  for (unsigned i = 0; i < warp_size; ++i) result |= static_cast<unsigned>(running->given()[i]) << i;
  ++running->current().exchanges;
  return result;
}

unsigned lane() { return running->current().place.thread % warp_size; }
void fence() { running->fence(); }
std::uint64_t nanoseconds() {
  if (chosen_clock() != nullptr) return chosen_clock()();
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1));
}
void* shared_memory(const void* tag, std::size_t bytes) { return running->shared(tag, bytes); }
unsigned fetch_add(unsigned* at, unsigned value) { return fetch_add_on(at, value); }
unsigned long long fetch_add(unsigned long long* at, unsigned long long value) { return fetch_add_on(at, value); }

void touch(const void* address, std::size_t bytes, Access kind) {
  if (running != nullptr) running->touch(address, bytes, kind);
}

}  // namespace ganymede::emulation
