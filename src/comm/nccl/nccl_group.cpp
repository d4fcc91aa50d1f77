// See nccl_group.hpp.
#include "comm/nccl/nccl_group.hpp"

#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <exception>
#include <string>
#include <thread>

#include "core/heartbeat.hpp"
#include "core/stopwatch.hpp"

namespace ganymede::comm {
namespace {

constexpr auto look_again = std::chrono::microseconds(200);
// A group that does not block hands each call to a thread of its own, which is most often done within microseconds.
constexpr double soon = 0.002;
// How far a rank is, and whether its time is up: what counts for all first.
enum : std::int64_t { failed, in_progress, done };
enum : std::int64_t { late, in_time };

std::string words(ncclResult_t result, ncclComm_t group) {
  std::string text = ncclGetErrorString(result);
  if (const char* last = ncclGetLastError(group); last != nullptr && *last != '\0') text += std::string(", ") + last;
  return text;
}

constexpr const char* advice =
    "; NCCL_DEBUG=INFO tells more, NCCL_SOCKET_IFNAME names the network interface to use, and --reduction mpi does "
    "without NCCL";

}  // namespace

NcclGroup::NcclGroup(Communicator& ranks, double seconds) : seconds_(seconds) {
  ncclUniqueId id = {};
  on_root(ranks, [&] {
    const ncclResult_t made = ncclGetUniqueId(&id);
    if (made != ncclSuccess) throw Error(ExitCode::launch, "NCCL cannot start: " + words(made, nullptr) + advice);
  });
  ranks.broadcast(&id, sizeof id, 0);
  try {
    join(ranks, id);
  } catch (...) {
    // Where another rank has failed, too: what NCCL still tries here would go on beside the end of the process.
    if (group_ != nullptr) ncclCommAbort(group_);
    throw;
  }
}

void NcclGroup::join(Communicator& ranks, const ncclUniqueId& id) {
  ncclResult_t state = ncclInProgress;
  together(ranks, [&] {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    state = ncclCommInitRankConfig(&group_, ranks.size(), id, ranks.rank(), &config);
    if (state != ncclSuccess && state != ncclInProgress)
      throw Error(ExitCode::launch, "NCCL cannot join the ranks: " + words(state, group_) + advice);
  });
  // In step with the others: where one has failed, the rest would wait for it in vain, and hide its reason.
  const heartbeat::Waiting waiting("NCCL");
  const Stopwatch watch;
  std::array<std::int64_t, 2> least = {in_progress, in_time};
  while (least[0] == in_progress && least[1] == in_time) {
    std::this_thread::sleep_for(look_again);
    state = now();
    least[0] = state == ncclSuccess ? done : state == ncclInProgress ? in_progress : failed;
    least[1] = watch.seconds() > seconds_ ? late : in_time;
    ranks.all_min(least);
  }
  together(ranks, [&] { judge(state, "join the ranks", least[1] == late); });
}

NcclGroup::~NcclGroup() {
  if (group_ == nullptr) return;
  // A rank whose last sum is there may still be sending its part of it: it has to let that arrive. Where something has
  // failed, nothing is waited for.
  if (std::uncaught_exceptions() == 0 && all_sent())
    ncclCommDestroy(group_);
  else
    ncclCommAbort(group_);
}

bool NcclGroup::all_sent() const { return outcome(ncclCommFinalize(group_)) == ncclSuccess; }

void NcclGroup::complete(ncclResult_t result, const char* what) { judge(outcome(result), what, true); }

// Of a call: what it has come to, or in progress still when its time is up.
ncclResult_t NcclGroup::outcome(ncclResult_t state) const {
  if (state != ncclInProgress) return state;
  const heartbeat::Waiting waiting("NCCL");
  const Stopwatch watch;
  while ((state = now()) == ncclInProgress && watch.seconds() <= seconds_) {
    if (watch.seconds() < soon)
      std::this_thread::yield();
    else
      std::this_thread::sleep_for(look_again);
  }
  return state;
}

// Of an asynchronous call.
ncclResult_t NcclGroup::now() const {
  ncclResult_t state = ncclInProgress;
  const ncclResult_t asked = ncclCommGetAsyncError(group_, &state);
  return asked == ncclSuccess ? state : asked;
}

void NcclGroup::judge(ncclResult_t state, const char* what, bool is_late) const {
  if (state == ncclInProgress && is_late)
    throw Error(ExitCode::launch,
                std::string("NCCL could not ") + what + " within " + std::to_string(std::lround(seconds_)) +
                    " s: a rank is missing, or hosts cannot reach each other on the interface that "
                    "NCCL chose" +
                    advice + "; where several hosts hang in their steps, NCCL_GRAPH_REGISTER=0 may help");
  if (state != ncclInProgress && state != ncclSuccess)
    throw Error(ExitCode::launch, std::string("NCCL could not ") + what + ": " + words(state, group_) + advice);
}

void NcclGroup::check_alive() const {
  const ncclResult_t state = now();
  if (state == ncclSuccess || state == ncclInProgress) return;
  throw Error(ExitCode::rank_lost,
              "NCCL lost another rank: " + words(state, group_) + "; the logs of the ranks tell which ended first");
}

}  // namespace ganymede::comm
