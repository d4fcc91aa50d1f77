// See nccl_group.hpp.
#include "comm/nccl/nccl_group.hpp"

#include <chrono>
#include <string>
#include <thread>

namespace ganymede::comm {
namespace {

using Clock = std::chrono::steady_clock;

// A call that is in progress is done within this time or never.
constexpr double call_seconds = 60;

std::string words(ncclResult_t result, ncclComm_t group) {
  std::string text = ncclGetErrorString(result);
  if (const char* last = ncclGetLastError(group); last != nullptr && *last != '\0') text += std::string(", ") + last;
  return text;
}

constexpr const char* advice =
    "; NCCL_DEBUG=INFO tells more, NCCL_SOCKET_IFNAME names the network interface to use, and --reduction mpi does "
    "without NCCL";

}  // namespace

NcclGroup::NcclGroup(Communicator& ranks, double seconds) {
  ncclUniqueId id = {};
  on_root(ranks, [&] {
    const ncclResult_t made = ncclGetUniqueId(&id);
    if (made != ncclSuccess) throw Error(ExitCode::launch, "NCCL cannot start: " + words(made, nullptr) + advice);
  });
  ranks.broadcast(&id, sizeof id, 0);
  together(ranks, [&] {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    const ncclResult_t begun = ncclCommInitRankConfig(&group_, ranks.size(), id, ranks.rank(), &config);
    if (begun != ncclSuccess && begun != ncclInProgress)
      throw Error(ExitCode::launch, "NCCL cannot join the ranks: " + words(begun, group_) + advice);
    wait("join the ranks", seconds);
  });
}

NcclGroup::~NcclGroup() {
  if (group_ == nullptr) return;
  // Aborting frees everything at once and waits for nobody: by now all that matters is done.
  ncclCommAbort(group_);
}

void NcclGroup::complete(ncclResult_t result, const char* what) {
  if (result == ncclSuccess) return;
  if (result != ncclInProgress)
    throw Error(ExitCode::launch, std::string("NCCL could not ") + what + ": " + words(result, group_) + advice);
  wait(what, call_seconds);
}

void NcclGroup::wait(const char* what, double seconds) {
  const Clock::time_point end =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  ncclResult_t state = ncclInProgress;
  while (true) {
    const ncclResult_t asked = ncclCommGetAsyncError(group_, &state);
    if (asked != ncclSuccess) state = asked;
    if (state != ncclInProgress) break;
    if (Clock::now() > end)
      throw Error(ExitCode::launch, std::string("NCCL could not ") + what + " within " +
                                        std::to_string(static_cast<int>(seconds)) +
                                        " s: a rank is missing, or hosts cannot reach each other on the interface that "
                                        "NCCL chose" +
                                        advice);
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  if (state != ncclSuccess)
    throw Error(ExitCode::launch, std::string("NCCL could not ") + what + ": " + words(state, group_) + advice);
}

void NcclGroup::check_alive() const {
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(group_, &state);
  if (asked != ncclSuccess) state = asked;
  if (state == ncclSuccess || state == ncclInProgress) return;
  throw Error(ExitCode::rank_lost,
              "NCCL lost another rank: " + words(state, group_) + "; the logs of the ranks tell which ended first");
}

}  // namespace ganymede::comm
