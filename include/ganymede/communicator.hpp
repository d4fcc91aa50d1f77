// The ranks of a run and what they do together. One process alone is a communicator of size 1 that never
// touches MPI; under mpirun or srun it is MPI. (NCCL will reduce gradients behind the same interface.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ganymede/error.hpp"

namespace ganymede {

class Communicator {
 public:
  Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  virtual ~Communicator() = default;

  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;
  /// The ranks that share this rank's memory (its node), and this rank's place among them.
  [[nodiscard]] virtual int node_rank() const = 0;
  [[nodiscard]] virtual int node_size() const = 0;
  [[nodiscard]] bool is_root() const { return rank() == 0; }
  /// "one process", "Open MPI 4.1.4".
  [[nodiscard]] virtual std::string description() const = 0;

  virtual void barrier() = 0;
  /// A barrier of this node's ranks alone.
  virtual void node_barrier() = 0;
  /// Copies `bytes` from rank `root` to all. Every rank passes the same size.
  virtual void broadcast(void* data, std::size_t bytes, int root) = 0;
  /// The same from this node's first rank to the node's others.
  virtual void node_broadcast(void* data, std::size_t bytes) = 0;
  /// In-place element-wise sums and extremes over all ranks; every rank ends with the same bits.
  virtual void all_sum(std::span<float> values) = 0;
  virtual void all_sum(std::span<double> values) = 0;
  virtual void all_sum(std::span<std::int64_t> values) = 0;
  virtual void all_min(std::span<std::int64_t> values) = 0;
  virtual void all_max(std::span<std::int64_t> values) = 0;
  /// Every rank's string, by rank, on every rank.
  [[nodiscard]] virtual std::vector<std::string> all_gather(const std::string& mine) = 0;

  /// Memory of `bytes` that this node's ranks share, zeroed; the same bytes on all of them. Collective
  /// over the node. Null where the ranks of a node cannot share (callers then do without).
  [[nodiscard]] virtual std::shared_ptr<void> node_shared(std::size_t bytes) = 0;

  /// Ends every rank of the job now, with this exit code: for a failure that the others cannot learn of
  /// in any other way, because they wait in a collective.
  [[noreturn]] virtual void abort(ExitCode code) noexcept = 0;
};

/// The communicator of this launch. A process that no launcher started (none of Open MPI's, PMIx's or
/// Slurm's variables say otherwise) is alone and never calls MPI_Init. Throws Error(launch) when Slurm
/// started several tasks that cannot find each other.
std::unique_ptr<Communicator> make_communicator();

/// A communicator of one rank.
std::unique_ptr<Communicator> make_local_communicator();

/// Runs `action` on every rank and lets all of them learn how it went: when it throws on some, every
/// rank throws an Error with the same code and message, namely the lowest failing rank's, prefixed with
/// its rank and host when there is more than one rank and they did not all fail with the same message.
/// So no rank waits for another that has given up. Collective.
void together(Communicator& ranks, const std::function<void()>& action);

/// The same for an action that rank 0 alone performs (such as writing a file).
void on_root(Communicator& ranks, const std::function<void()>& action);

/// This machine's host name.
std::string host_name();

}  // namespace ganymede
