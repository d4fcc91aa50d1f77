// The ranks of a run as NCCL knows them: one GPU each, joined by an id that MPI hands round, within a deadline.
#pragma once

#include <nccl.h>

#include "ganymede/communicator.hpp"

namespace ganymede::comm {

class NcclGroup {
 public:
  /// Joins all ranks, each with the GPU that is current. A call that is not done within `seconds`, this first one
  /// included, is an Error(launch), which all ranks throw where NCCL cannot start. Collective.
  NcclGroup(Communicator& ranks, double seconds);
  NcclGroup(const NcclGroup&) = delete;
  NcclGroup& operator=(const NcclGroup&) = delete;
  ~NcclGroup();

  [[nodiscard]] ncclComm_t get() const { return group_; }
  /// Completes a call that a group which does not block may leave in progress. Throws Error(launch) when it failed.
  void complete(ncclResult_t result, const char* what);
  /// Throws Error(rank_lost) when NCCL has noticed that something went wrong, such as a rank that is gone.
  void check_alive() const;

 private:
  void join(Communicator& ranks, const ncclUniqueId& id);
  [[nodiscard]] ncclResult_t outcome(ncclResult_t state) const;
  [[nodiscard]] bool all_sent() const;
  [[nodiscard]] ncclResult_t now() const;
  /// Throws where a call has failed, or is still in progress and late.
  void judge(ncclResult_t state, const char* what, bool is_late) const;
  ncclComm_t group_ = nullptr;
  double seconds_;
};

}  // namespace ganymede::comm
