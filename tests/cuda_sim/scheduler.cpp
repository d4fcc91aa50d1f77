// Which operation runs next, what it may touch, and how the host waits: see scheduler.hpp.
#include "cuda_sim/scheduler.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

#include "cuda_sim/cuda_sim.hpp"
#include "cuda_sim/devices.hpp"
#include "cuda_sim/errors.hpp"
#include "cuda_sim/graphs.hpp"
#include "cuda_sim/memory.hpp"

namespace cuda_sim {
namespace {

struct Scheduler {
  std::uint64_t seed = 1;
  std::mt19937_64 random{1};
  Lanes lanes;
  Clock host;
  std::unordered_map<Operation*, OperationPtr> pending;
  std::vector<Operation*> ready;      ///< nothing to wait for; in no particular order
  std::vector<Operation*> under_way;  ///< collectives
  std::uint64_t serials = 0;
  std::uint64_t wanted = 0;
  std::size_t queries = 0;  ///< in a row
  std::size_t enqueued_at_query = 0;
  int strategy = 0;
  bool in_host_function = false;
  std::uint64_t kernel_time = 1000;  ///< nanoseconds
  std::chrono::nanoseconds put_forward{0};
  std::vector<Access> noted;  ///< by the running operation
  std::map<std::string, std::set<int>> priorities;
};

Scheduler& scheduler() {
  static auto* const state = new Scheduler;
  return *state;
}

std::atomic<Operation*> running{nullptr};

std::mutex& noted_mutex() {
  static auto* const mutex = new std::mutex;
  return *mutex;
}

/// The host's clock, put forward by what has passed in no time.
std::uint64_t now() {
  return static_cast<std::uint64_t>((std::chrono::steady_clock::now().time_since_epoch() + scheduler().put_forward) /
                                    std::chrono::nanoseconds(1));
}

/// False when the operation must not touch these bytes.
bool check_access(const Operation& operation, const Access& access) {
  if (access.bytes == 0) return true;
  const auto* const view = device_view(access.begin);
  const char* const verb = access.write ? " writes " : " reads ";
  Allocation* const allocation = find_device(view);
  if (allocation == nullptr) return true;  // pageable host memory of a copy
  const long offset = view - allocation->begin;
  if (!allocation->live || offset < 0 || static_cast<std::size_t>(offset) + access.bytes > allocation->bytes) {
    violation(operation.stamp->text() + verb + std::to_string(access.bytes) + " bytes at byte " +
              std::to_string(offset) + " of " + (allocation->live ? "" : "freed ") + allocation->text() +
              (allocation->live ? ", out of its bounds" : ": use after free"));
    return false;
  }
  if (!allocation->pinned() && allocation->device != operation.device) {
    violation(operation.stamp->text() + " on device " + std::to_string(operation.device) + verb + "memory of device " +
              std::to_string(allocation->device));
  }
  if (allocation->pinned()) guard_host(*allocation);
  const auto begin = static_cast<std::size_t>(offset);
  bool told = false;
  allocation->shadow.access(
      begin, begin + access.bytes, access.write, operation.stamp, operation.clock, [&](const Conflict& conflict) {
        if (std::exchange(told, true)) return;
        violation("race: " + operation.stamp->text() + (access.write ? " writes" : " reads") + " bytes " +
                  std::to_string(conflict.begin) + " to " + std::to_string(conflict.end - 1) + " of " +
                  allocation->text() + ", which " + conflict.other->text() +
                  (conflict.other_writes ? " writes" : " reads") + "; nothing orders the two");
      });
  return true;
}

bool check_accesses(const Operation& operation, const std::vector<Access>& accesses) {
  // Reads first: an operation in place reads what it then writes.
  bool good = true;
  for (const bool write : {false, true}) {
    for (const Access& access : accesses) {
      if (access.write == write) good = check_access(operation, access) && good;
    }
  }
  return good;
}

void queue_host_accesses(const Operation& operation) {
  for (const Access& access : operation.work->accesses) {
    Allocation* const allocation = find_device(device_view(access.begin));
    if (allocation == nullptr || !allocation->pinned() || !allocation->live) continue;
    const auto begin = static_cast<std::size_t>(device_view(access.begin) - allocation->begin);
    allocation->queued.push_back({&operation, operation.stamp, begin, begin + access.bytes, access.write});
    guard_host(*allocation);
  }
}

void unqueue_host_accesses(const Operation& operation) {
  for (const Access& access : operation.work->accesses) {
    Allocation* const allocation = find_device(device_view(access.begin));
    if (allocation == nullptr || allocation->queued.empty()) continue;
    std::erase_if(allocation->queued, [&](const auto& queued) { return queued.operation == &operation; });
  }
}

void finish(Operation& operation) {
  Scheduler& state = scheduler();
  operation.done = true;
  if (operation.ends == 0) operation.ends = operation.begins + operation.takes;
  operation.poll = nullptr;
  operation.before.clear();
  for (Operation* next : operation.after) {
    next->begins = std::max(next->begins, operation.ends);
    if (--next->waiting == 0) state.ready.push_back(next);
  }
  operation.after.clear();
  state.pending.erase(&operation);  // perhaps the last reference
}

void run(std::size_t index) {
  Scheduler& state = scheduler();
  Operation& operation = *state.ready[index];
  state.ready[index] = state.ready.back();
  state.ready.pop_back();

  const Work& work = *operation.work;
  if (!work.run && !work.start) return finish(operation);
  if (const cudaError_t error = injected_operation_error(); error != cudaSuccess) set_sticky_error(error);
  unqueue_host_accesses(operation);
  if (sticky_error() != cudaSuccess || !check_accesses(operation, work.accesses)) return finish(operation);
  open_memory();
  running = &operation;
  state.priorities[work.name].insert(operation.priority);
  state.in_host_function = work.kind == cudaGraphNodeTypeHost;
  if (work.start) {
    operation.poll = work.start();
  } else {
    work.run();
  }
  state.in_host_function = false;
  running = nullptr;
  std::vector<Access> noted;
  {
    const std::lock_guard lock(noted_mutex());
    noted.swap(state.noted);
  }
  check_accesses(operation, noted);
  if (operation.poll) {
    state.under_way.push_back(&operation);
  } else {
    finish(operation);
  }
}

/// True when a collective ended.
bool poll_under_way() {
  Scheduler& state = scheduler();
  bool ended = false;
  for (std::size_t i = 0; i < state.under_way.size();) {
    Operation& operation = *state.under_way[i];
    open_memory();
    running = &operation;
    const bool done = operation.poll();
    running = nullptr;
    if (!done) {
      ++i;
      continue;
    }
    state.under_way.erase(state.under_way.begin() + static_cast<std::ptrdiff_t>(i));
    finish(operation);
    ended = true;
  }
  return ended;
}

/// A ready operation: any, or one that is wanted; the number of ready ones when there is none. Which one: mostly
/// at random; for a while always the newest, the oldest, or one stream as far as it goes.
std::size_t choose(std::uint64_t wanted) {
  Scheduler& state = scheduler();
  if (pick(32) == 0) state.strategy = static_cast<int>(pick(6));
  const auto order = [&](const Operation* operation) {
    const std::uint64_t serial = operation->stamp->serial;
    if (state.strategy == 1) return ~serial;
    if (state.strategy == 2) return serial;
    if (state.strategy == 3) return std::uint64_t{operation->stamp->lane};
    if (state.strategy == 4) return ~std::uint64_t{operation->stamp->lane};
    return state.random();
  };
  std::size_t best = state.ready.size();
  std::uint64_t least = 0;
  for (std::size_t i = 0; i < state.ready.size(); ++i) {
    if (wanted != 0 && state.ready[i]->wanted != wanted) continue;
    const std::uint64_t value = order(state.ready[i]);
    if (best == state.ready.size() || value < least) {
      best = i;
      least = value;
    }
  }
  return best;
}

/// Marks what these operations follow.
std::uint64_t want(std::vector<Operation*> stack) {
  const std::uint64_t mark = ++scheduler().wanted;
  while (!stack.empty()) {
    Operation* const operation = stack.back();
    stack.pop_back();
    if (operation->done || operation->wanted == mark) continue;
    operation->wanted = mark;
    for (const OperationPtr& before : operation->before) stack.push_back(before.get());
  }
  return mark;
}

void run_extra(std::size_t count) {
  for (; count > 0; --count) {
    const std::size_t index = choose(0);
    if (index == scheduler().ready.size()) return;
    run(index);
  }
}

}  // namespace

OperationPtr make_operation(WorkPtr work, Stamp stamp, const Clock& clock, Where where,
                            const std::vector<OperationPtr>& before) {
  Scheduler& state = scheduler();
  auto operation = std::make_shared<Operation>();
  operation->work = std::move(work);
  operation->clock = clock;
  operation->device = where.device;
  operation->priority = where.priority;
  stamp.name = operation->work->name;
  stamp.serial = ++state.serials;
  stamp.tick = state.lanes.next(stamp.lane);
  operation->clock.see(stamp.lane, stamp.tick);
  operation->stamp = std::make_shared<const Stamp>(std::move(stamp));
  operation->begins = now();
  if (operation->work->kind == cudaGraphNodeTypeKernel) operation->takes = state.kernel_time;
  const auto follow = [&](const OperationPtr& other) {
    if (other == nullptr) return;
    if (other->done) {
      operation->begins = std::max(operation->begins, other->ends);
      return;
    }
    if (std::find(operation->before.begin(), operation->before.end(), other) != operation->before.end()) return;
    operation->before.push_back(other);
    other->after.push_back(operation.get());
    ++operation->waiting;
  };
  for (const OperationPtr& other : before) follow(other);
  if (operation->work->sequence != nullptr) {
    follow(operation->work->sequence->last);
    operation->work->sequence->last = operation;
  }
  state.pending.emplace(operation.get(), operation);
  if (operation->waiting == 0) state.ready.push_back(operation.get());
  queue_host_accesses(*operation);
  return operation;
}

OperationPtr enqueue(Stream& stream, WorkPtr work, const std::vector<OperationPtr>& also) {
  std::vector<OperationPtr> before = also;
  before.push_back(stream.last);
  before.insert(before.end(), stream.waits.begin(), stream.waits.end());
  Clock clock = stream.clock;
  clock.join(host_clock());
  for (const OperationPtr& other : also) clock.join(other->clock);
  // The legacy default stream waits for all blocking streams of its device, and they for it.
  for (Stream* other : streams()) {
    if (other == &stream || other->device != stream.device || other->last == nullptr) continue;
    if ((stream.number == 0 && other->blocking) || (other->number == 0 && stream.blocking)) {
      before.push_back(other->last);
      clock.join(other->last->clock);
    }
  }
  Stamp stamp;
  stamp.stream = stream.number;
  stamp.lane = stream.lane;
  stream.waits.clear();
  stream.last = make_operation(std::move(work), std::move(stamp), clock, {stream.device, stream.priority}, before);
  stream.clock = stream.last->clock;
  return stream.last;
}

cudaError_t issue(Stream& stream, WorkPtr work) {
  if (stream.capture != nullptr) return capture_node(stream, std::move(work));
  if (const cudaError_t code = legacy_stream_in_capture(stream); code != cudaSuccess) return code;
  enqueue(stream, std::move(work));
  return cudaSuccess;
}

void run_until(const std::vector<OperationPtr>& targets) {
  Scheduler& state = scheduler();
  state.queries = 0;
  std::vector<Operation*> stack;
  for (const OperationPtr& target : targets) {
    if (target != nullptr) stack.push_back(target.get());
  }
  const std::uint64_t mark = want(stack);
  for (unsigned idle = 0;;) {
    const bool missing = std::any_of(stack.begin(), stack.end(), [](const Operation* target) { return !target->done; });
    if (!missing) break;
    std::size_t index = choose(pick(4) == 0 ? 0 : mark);
    if (index == state.ready.size()) index = choose(mark);
    if (index < state.ready.size()) {
      run(index);
      idle = 0;
    } else if (!poll_under_way() && ++idle > 3) {
      simulation_mutex().unlock();
      usleep(std::min(idle * 10, 500U));
      simulation_mutex().lock();
    }
  }
  for (const OperationPtr& target : targets) {
    if (target != nullptr) state.host.join(target->clock);
  }
  if (pick(2) == 0) run_extra(pick(8));
}

void run_some() {
  Scheduler& state = scheduler();
  state.queries = state.enqueued_at_query == state.serials ? state.queries + 1 : 0;
  state.enqueued_at_query = state.serials;
  run_extra(pick((std::size_t{1} << std::min<std::size_t>(state.queries / 2, 10)) + 1));
  poll_under_way();
}

bool run_collectives() {
  Scheduler& state = scheduler();
  std::vector<Operation*> collectives;
  for (const auto& [operation, owner] : state.pending) {
    if (operation->work->start) collectives.push_back(operation);
  }
  if (collectives.empty()) return false;
  const std::uint64_t mark = want(collectives);
  for (std::size_t index = choose(mark); index < state.ready.size(); index = choose(mark)) run(index);
  poll_under_way();
  return true;
}

void submit(cudaStream_t stream, const char* name, std::function<void()> run) {
  const Call call("cudaLaunchKernel");
  if (call.failed()) return;
  Stream* const found = find_stream(stream);
  if (found == nullptr) return set_last_error(cudaErrorInvalidResourceHandle);
  auto work = std::make_shared<Work>();
  work->kind = cudaGraphNodeTypeKernel;
  work->name = name;
  work->run = std::move(run);
  if (const cudaError_t code = issue(*found, std::move(work)); code != cudaSuccess) set_last_error(code);
}

void note_access(const void* begin, std::size_t bytes, bool write) {
  if (executing() == nullptr) return violation("note_access: no operation is running");
  const std::lock_guard lock(noted_mutex());
  scheduler().noted.push_back({begin, bytes, write});
}

void set_kernel_time(std::chrono::nanoseconds each) {
  const std::lock_guard lock(simulation_mutex());
  start();
  scheduler().kernel_time = static_cast<std::uint64_t>(each.count());
}

void pass(std::chrono::nanoseconds time) {
  const std::lock_guard lock(simulation_mutex());
  start();
  scheduler().put_forward += time;
}

std::uint64_t device_clock() {
  const Operation* const operation = running;
  return operation == nullptr ? now() : operation->begins;
}

int running_priority() {
  const Operation* const operation = running;
  return operation == nullptr ? 0 : operation->priority;
}

std::map<std::string, std::set<int>> priorities() {
  const std::lock_guard lock(simulation_mutex());
  return scheduler().priorities;
}

Operation* executing() { return running; }
bool in_host_function() { return scheduler().in_host_function; }
Clock& host_clock() { return scheduler().host; }
Lanes& lanes() { return scheduler().lanes; }
std::mt19937_64& random_numbers() { return scheduler().random; }
std::size_t pick(std::size_t count) { return static_cast<std::size_t>(scheduler().random() % count); }
std::uint64_t seed() { return scheduler().seed; }

std::size_t pending() {
  const std::lock_guard lock(simulation_mutex());
  return scheduler().pending.size();
}

void set_seed(std::uint64_t seed) {
  const std::lock_guard lock(simulation_mutex());
  start();
  scheduler().seed = seed;
  scheduler().random.seed(seed);
}

void reset_scheduler() {
  Scheduler& state = scheduler();
  for (auto& [operation, owner] : state.pending) operation->before.clear();
  state = Scheduler{};
  if (const char* text = std::getenv("GANYMEDE_CUDA_SIM_SEED"); text != nullptr) {
    state.seed = std::strtoull(text, nullptr, 10);
  }
  state.random.seed(state.seed);
  if (const char* text = std::getenv("GANYMEDE_CUDA_SIM_KERNEL_MICROSECONDS"); text != nullptr) {
    state.kernel_time = 1000 * std::strtoull(text, nullptr, 10);
  }
}

}  // namespace cuda_sim
