// The ranks of a run and what they do together. One process alone is a communicator of size 1 that never
// touches MPI; under mpirun or srun it is MPI. (Gradients are summed through Device::make_reduction(): on a GPU by
// NCCL.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "ganymede/error.hpp"

namespace ganymede {

/// An array of the same length on every rank, and its sum over all ranks; for sums that are made again and
/// again, such as gradients. Each rank writes its own part to data(), then all call start() and finish(), and
/// sum() holds the sum, the same bits on every rank and in every run of as many ranks on as many hosts. What
/// a rank does between start() and finish(), short of touching data(), runs beside the sum: on GPUs, where NCCL adds,
/// by itself; on CPUs as often as advance() is called, because Open MPI makes no progress by itself (the CPU device
/// calls it between its kernels). The values in data() do not survive. Several reductions may be under way at once,
/// started and finished in the same order on all ranks. None of these functions takes memory or a lock. A reduction
/// must not outlive its communicator.
template <class T>
class Reduction {
 public:
  Reduction(const Reduction&) = delete;
  Reduction& operator=(const Reduction&) = delete;
  virtual ~Reduction() = default;

  [[nodiscard]] std::size_t size() const { return size_; }
  /// This rank's part, zeroed at first, 64-byte aligned: to be written between finish() and start().
  [[nodiscard]] T* data() { return data_; }
  /// The sum: to be read between finish() and start(). 64-byte aligned; may be the same memory as data().
  [[nodiscard]] const T* sum() const { return sum_; }

  /// Says that this rank's part is complete. Returns at once. Collective.
  virtual void start() = 0;
  /// Between start() and finish(): moves the sum on as far as that goes without waiting.
  virtual void advance() {}
  /// Waits until the sum is there. Collective.
  virtual void finish() = 0;

 protected:
  Reduction() = default;
  std::size_t size_ = 0;
  T* data_ = nullptr;
  const T* sum_ = nullptr;
};

/// Small messages between ranks that nobody waits for: for whoever must not hang when another rank does. One that does
/// not arrive is no error. Its functions may be called by one thread at a time, beside another that is in a collective.
class Mailbox {
 public:
  struct Letter {
    int from;
    std::string text;
  };
  Mailbox() = default;
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  virtual ~Mailbox() = default;
  virtual void send(int to, const std::string& text) = 0;
  /// The next letter that has arrived, if any.
  virtual std::optional<Letter> receive() = 0;
};

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
  /// "one process", "Open MPI 4.1.4, 3 ranks on 1 host".
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

  /// A sum of `count` elements over all ranks, of float or std::int64_t. Collective.
  template <class T>
  [[nodiscard]] std::unique_ptr<Reduction<T>> make_reduction(std::size_t count) {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, std::int64_t>);
    if constexpr (std::is_same_v<T, float>) {
      return make_float_reduction(count);
    } else {
      return make_fixed_reduction(count);
    }
  }
  [[nodiscard]] virtual std::unique_ptr<Reduction<float>> make_float_reduction(std::size_t count) = 0;
  [[nodiscard]] virtual std::unique_ptr<Reduction<std::int64_t>> make_fixed_reduction(std::size_t count) = 0;

  /// Null where there is nobody to write to. Must not outlive its communicator. Collective, and so is its end.
  [[nodiscard]] virtual std::unique_ptr<Mailbox> make_mailbox() { return nullptr; }

  /// Ends every rank of the job now, with this exit code: for a failure that the others cannot learn of
  /// in any other way, because they wait in a collective.
  [[noreturn]] virtual void abort(ExitCode code) noexcept = 0;
};

/// The communicator of this launch. A process that no launcher started (none of Open MPI's, PMIx's or
/// Slurm's variables say otherwise) is alone and never calls MPI_Init. Throws Error(launch) when a launcher
/// started several tasks that cannot find each other.
///
/// Destroying it ends MPI, which waits for all ranks: do so when all of them come to that point (at the end,
/// or after an AgreedError was caught), and abort() otherwise. While an exception unwinds the stack the
/// destructor cannot know which of the two it is and leaves MPI as it stands; mpirun then ends the job.
std::unique_ptr<Communicator> make_communicator();

/// A communicator of one rank.
std::unique_ptr<Communicator> make_local_communicator();

/// An error that every rank throws with the same code and message: one rank reports it, and all may leave
/// in good order. (Any other exception may be this rank's alone, so that only abort() ends the others.)
class AgreedError : public Error {
 public:
  using Error::Error;
};

/// Runs `action` on every rank and lets all of them learn how it went: when it throws on some, every
/// rank throws an AgreedError with the same code and message, namely the lowest failing rank's (of one that lost
/// another rank only if all did), prefixed with its rank and host unless it is alone or all failed with that message.
/// So no rank waits for another that has given up. Costs one small all-reduce. Collective.
void together(Communicator& ranks, const std::function<void()>& action);

/// The same for an action that rank 0 alone performs (such as writing a file).
void on_root(Communicator& ranks, const std::function<void()>& action);

/// Text that rank 0 has, on every rank. Collective.
std::string shared_text(Communicator& ranks, std::string text);
std::map<std::string, std::string> shared_map(Communicator& ranks, const std::map<std::string, std::string>& map);

/// This machine's host name.
std::string host_name();

}  // namespace ganymede
