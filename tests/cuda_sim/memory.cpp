// Allocations, their protection and poison, and the handler that names who touched what: see memory.hpp.
#include "cuda_sim/memory.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include "cuda_sim/cuda_sim.hpp"
#include "cuda_sim/devices.hpp"
#include "cuda_sim/errors.hpp"
#include "cuda_sim/scheduler.hpp"

namespace cuda_sim {
namespace {

constexpr std::size_t alignment = 256;
constexpr std::size_t margin = std::size_t{16} << 20;  ///< what lies far in front of the first allocation is still ours
constexpr std::size_t slack = 256;                     ///< checked bytes in front of an allocation
constexpr std::size_t poisoned = std::size_t{64} << 20;  ///< more would take the real memory of a pretended one
constexpr int poison = 0xFF;                             ///< NaN in every floating-point type
constexpr std::byte canary{0xC5};

struct Memory {
  std::byte* arena = nullptr;
  std::size_t arena_bytes = std::size_t{1} << 44;  ///< addresses, not memory
  std::byte* next = nullptr;
  std::map<std::byte*, std::unique_ptr<Allocation>> all;  ///< by `pages`
  std::map<std::byte*, Allocation*> pinned;               ///< live ones, by `host`
  std::vector<Allocation*> live;
  std::vector<Allocation*> opened;  ///< pinned ones, closed before the host touched them
  std::map<int, std::size_t> used;
  unsigned numbers = 0;
  bool open = false;
  struct sigaction previous {};
};

Memory& memory() {
  static auto* const state = new Memory;
  return *state;
}

std::size_t page() {
  static const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

std::size_t round_up(std::size_t value, std::size_t unit) { return (value + unit - 1) / unit * unit; }

void check(bool good, const char* what) {
  if (!good) {
    std::perror("[cuda_sim]");
    fatal(what);
  }
}

/// The start of the slack behind an allocation and its length.
std::size_t tail(const Allocation& allocation) { return round_up(allocation.bytes, alignment) - allocation.bytes; }

std::size_t front(const Allocation& allocation) {
  return std::min(slack, static_cast<std::size_t>(allocation.begin - allocation.pages));
}

bool slack_intact(const Allocation& allocation) {
  const auto intact = [](const std::byte* at, std::size_t count) {
    return std::all_of(at, at + count, [](std::byte value) { return value == canary; });
  };
  return intact(allocation.begin - front(allocation), front(allocation)) &&
         intact(allocation.begin + allocation.bytes, tail(allocation));
}

void report_touch(const std::byte* address, bool write) {
  char text[768];
  const Allocation* allocation = find_device(address);
  char place[256];
  if (allocation == nullptr) {
    std::snprintf(place, sizeof place, "address %p, which belongs to no allocation", static_cast<const void*>(address));
  } else {
    const long offset = address - allocation->begin;
    const bool inside = offset >= 0 && offset < static_cast<long>(allocation->bytes);
    std::snprintf(place, sizeof place, "byte %ld of%s %s%s", offset, allocation->live ? "" : " freed",
                  allocation->text().c_str(), inside ? "" : ", out of its bounds");
  }
  if (const Operation* operation = executing(); operation != nullptr) {
    std::snprintf(text, sizeof text, "[cuda_sim] violation (seed %llu): %s %s %s",
                  static_cast<unsigned long long>(seed()), operation->stamp->text().c_str(), write ? "writes" : "reads",
                  place);
  } else {
    std::snprintf(text, sizeof text,
                  "[cuda_sim] violation (seed %llu): host touched device memory: it %s %s; cudaMemcpy reaches it",
                  static_cast<unsigned long long>(seed()), write ? "writes" : "reads", place);
  }
  fatal(text);
}

/// The host touches pinned memory that operations used since it last looked.
void check_host_touch(Allocation& allocation, std::size_t offset, bool write) {
  const bool shared = std::any_of(allocation.shared.begin(), allocation.shared.end(),
                                  [&](const auto& range) { return range.first <= offset && offset < range.second; });
  if (!shared) {
    StampPtr other = allocation.shadow.unseen(offset, offset + 1, write, host_clock());
    for (const auto& queued : allocation.queued) {
      if (queued.begin <= offset && offset < queued.end && (write || queued.write)) other = queued.stamp;
    }
    if (other != nullptr) {
      char text[512];
      std::snprintf(text, sizeof text,
                    "[cuda_sim] violation (seed %llu): the host %s byte %zu of %s, which %s uses; nothing synchronised "
                    "the host with that",
                    static_cast<unsigned long long>(seed()), write ? "writes" : "reads", offset,
                    allocation.text().c_str(), other->text().c_str());
      fatal(text);
    }
  }
  check(mprotect(allocation.host_pages, allocation.pages_bytes, PROT_READ | PROT_WRITE) == 0, "mprotect");
  allocation.host_closed = false;
  memory().opened.push_back(&allocation);
}

void on_fault(int signal, siginfo_t* info, void* context) {
  Memory& state = memory();
  auto* const address = static_cast<std::byte*>(info->si_addr);
#if defined(__x86_64__)
  const bool write = (static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_ERR] & 2) != 0;
#else
  const bool write = false;
#endif
  if (address >= state.arena && address < state.arena + state.arena_bytes) report_touch(address, write);
  for (const auto& [host, allocation] : state.pinned) {
    if (!allocation->host_closed || address < allocation->host_pages ||
        address >= allocation->host_pages + allocation->pages_bytes) {
      continue;
    }
    check_host_touch(*allocation, address < host ? 0 : static_cast<std::size_t>(address - host), write);
    return;
  }
  if ((state.previous.sa_flags & SA_SIGINFO) != 0) {
    state.previous.sa_sigaction(signal, info, context);
  } else {
    sigaction(SIGSEGV, &state.previous, nullptr);  // the access repeats, and is its business
  }
}

void prepare() {
  Memory& state = memory();
  if (state.arena != nullptr) return;
  void* arena = MAP_FAILED;
  for (; arena == MAP_FAILED && state.arena_bytes >= std::size_t{1} << 36; state.arena_bytes /= 4) {
    arena = mmap(nullptr, state.arena_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena != MAP_FAILED) break;
  }
  check(arena != MAP_FAILED, "no range of addresses for simulated device memory (ulimit -v?)");
  state.arena = static_cast<std::byte*>(arena);
  state.next = state.arena + margin;
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  check(sigaction(SIGSEGV, &action, &state.previous) == 0, "sigaction");
}

/// Places an allocation in the arena; `file` ≥ 0: its pages are that file's.
Allocation& place(int device, std::size_t bytes, int file) {
  prepare();
  Memory& state = memory();
  auto fresh = std::make_unique<Allocation>();
  fresh->number = ++state.numbers;
  fresh->device = device;
  fresh->bytes = bytes;
  const std::size_t rounded = round_up(bytes, alignment);
  fresh->pages_bytes = round_up(rounded + slack, page());
  fresh->pages = state.next + page();
  fresh->begin = fresh->pages + fresh->pages_bytes - rounded;
  state.next = fresh->pages + fresh->pages_bytes;
  check(state.next + page() < state.arena + state.arena_bytes, "the simulated devices' addresses are used up");
  const int protection = PROT_READ | PROT_WRITE;
  if (file >= 0) {
    check(mmap(fresh->pages, fresh->pages_bytes, protection, MAP_SHARED | MAP_FIXED, file, 0) != MAP_FAILED, "mmap");
  } else {
    check(mmap(fresh->pages, fresh->pages_bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
               -1, 0) != MAP_FAILED,
          "mmap");
  }
  std::memset(fresh->begin, poison, std::min(bytes, poisoned));
  std::memset(fresh->begin - front(*fresh), static_cast<int>(canary), front(*fresh));
  std::memset(fresh->begin + bytes, static_cast<int>(canary), tail(*fresh));
  if (!state.open) check(mprotect(fresh->pages, fresh->pages_bytes, PROT_NONE) == 0, "mprotect");
  Allocation& result = *fresh;
  state.live.push_back(&result);
  state.all.emplace(fresh->pages, std::move(fresh));
  return result;
}

void take_away(std::byte* pages, std::size_t bytes) {
  check(mmap(pages, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED,
        "mmap");
}

void take_away(Allocation& allocation) {
  take_away(allocation.pages, allocation.pages_bytes);
  if (allocation.pinned()) {
    memory().pinned.erase(allocation.host);
    take_away(allocation.host_pages, allocation.pages_bytes);
  } else {
    memory().used[allocation.device] -= allocation.bytes;
  }
  allocation.live = false;
  allocation.shadow.clear();
  std::erase(memory().live, &allocation);
  std::erase(memory().opened, &allocation);
}

}  // namespace

std::string Allocation::text() const {
  return (pinned() ? "pinned allocation " : "allocation ") + std::to_string(number) + " (" + std::to_string(bytes) +
         " bytes" + (pinned() ? ")" : ", device " + std::to_string(device) + ")");
}

Allocation* allocate_device(int device, std::size_t bytes) {
  std::size_t& used = memory().used[device];
  if (bytes > device_memory(device) - used) return nullptr;
  used += bytes;
  return &place(device, bytes, -1);
}

Allocation* allocate_pinned(int device, std::size_t bytes, bool mapped) {
  const int file = memfd_create("cuda_sim pinned memory", MFD_CLOEXEC);
  check(file >= 0, "memfd_create");
  const std::size_t pages_bytes = round_up(round_up(bytes, alignment) + slack, page());
  check(ftruncate(file, static_cast<off_t>(pages_bytes)) == 0, "ftruncate");
  Allocation& result = place(device, bytes, file);
  result.mapped = mapped;
  auto* const range = static_cast<std::byte*>(
      mmap(nullptr, pages_bytes + 2 * page(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  check(range != MAP_FAILED, "mmap");
  result.host_pages = range + page();
  check(mmap(result.host_pages, pages_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) != MAP_FAILED,
        "mmap");
  close(file);
  result.host = result.host_pages + (result.begin - result.pages);
  memory().pinned.emplace(result.host, &result);
  return &result;
}

void release(Allocation& allocation, const Clock& host) {
  if (const StampPtr user = allocation.shadow.unseen(0, std::max<std::size_t>(allocation.bytes, 1), false, host)) {
    violation(allocation.text() + " is freed, but nothing synchronised the host with " + user->text() +
              ", which writes it");
  } else if (const StampPtr reader = allocation.shadow.unseen_reader(host)) {
    violation(allocation.text() + " is freed, but nothing synchronised the host with " + reader->text() +
              ", which reads it");
  }
  for (const auto& queued : allocation.queued) {
    violation(allocation.text() + " is freed, but " + queued.stamp->text() + " has yet to use it");
  }
  take_away(allocation);
}

Allocation* find_device(const void* address) {
  Memory& state = memory();
  auto* const at = static_cast<std::byte*>(const_cast<void*>(address));
  if (at < state.arena || at >= state.next + page() || state.all.empty()) return nullptr;
  auto after = state.all.upper_bound(at);
  // The inaccessible page in front belongs to the allocation behind it, unless that is nearer to the one before.
  if (after != state.all.begin()) {
    Allocation* const before = std::prev(after)->second.get();
    if (after == state.all.end() || at < before->pages + before->pages_bytes + page() / 2) return before;
  }
  return after == state.all.end() ? nullptr : after->second.get();
}

Allocation* find_pinned(const void* host) {
  Memory& state = memory();
  auto* const at = static_cast<std::byte*>(const_cast<void*>(host));
  auto after = state.pinned.upper_bound(at);
  if (after == state.pinned.begin()) return nullptr;
  Allocation* const allocation = std::prev(after)->second;
  return at < allocation->host + std::max<std::size_t>(allocation->bytes, 1) ? allocation : nullptr;
}

const std::vector<Allocation*>& live_allocations() { return memory().live; }

std::size_t allocated_on(int device) { return memory().used[device]; }

std::byte* device_view(const void* address) {
  auto* const at = static_cast<std::byte*>(const_cast<void*>(address));
  const Allocation* const pinned = find_pinned(address);
  return pinned == nullptr ? at : pinned->begin + (at - pinned->host);
}

void open_memory() {
  Memory& state = memory();
  if (state.open) return;
  for (const Allocation* allocation : state.live) {
    check(mprotect(allocation->pages, allocation->pages_bytes, PROT_READ | PROT_WRITE) == 0, "mprotect");
  }
  state.open = true;
}

void close_memory() {
  Memory& state = memory();
  if (!state.open) return;
  for (Allocation* allocation : state.live) {
    if (!slack_intact(*allocation)) {
      violation("an operation wrote beyond the bounds of " + allocation->text());
      std::memset(allocation->begin - front(*allocation), static_cast<int>(canary), front(*allocation));
      std::memset(allocation->begin + allocation->bytes, static_cast<int>(canary), tail(*allocation));
    }
    check(mprotect(allocation->pages, allocation->pages_bytes, PROT_NONE) == 0, "mprotect");
  }
  state.open = false;
}

void guard_host(Allocation& allocation) {
  if (allocation.host_closed) return;
  check(mprotect(allocation.host_pages, allocation.pages_bytes, PROT_NONE) == 0, "mprotect");
  allocation.host_closed = true;
}

void guard_host_again() {
  for (Allocation* allocation : memory().opened) {
    const Shadow& shadow = allocation->shadow;
    const bool unseen = shadow.unseen(0, allocation->bytes, false, host_clock()) != nullptr ||
                        shadow.unseen_reader(host_clock()) != nullptr || !allocation->queued.empty();
    if (unseen) guard_host(*allocation);
  }
  memory().opened.clear();
}

void reset_memory() {
  Memory& state = memory();
  while (!state.live.empty()) take_away(*state.live.back());
  state.all.clear();
  state.used.clear();
  state.numbers = 0;
  state.open = false;
}

void host_may_race(const void* host, std::size_t bytes) {
  const std::lock_guard lock(simulation_mutex());
  Allocation* const allocation = find_pinned(host);
  if (allocation == nullptr) fatal("[cuda_sim] host_may_race: not pinned memory");
  const auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(host) - allocation->host);
  allocation->shared.emplace_back(offset, offset + bytes);
}

}  // namespace cuda_sim
