// Sums (and extremes) over hosts by messages, piece by piece and without waiting: whoever computes meanwhile calls
// advance() now and then, because Open MPI moves nothing by itself.
//
// The array is cut into one segment for each host. Every host sends each other one that one's segment, adds what it is
// sent of its own in the order of the hosts, and sends the sums to all. These are as few bytes as a sum can do with,
// 2(p-1)/p of the array in each direction, and, unlike in a ring or a tree, a byte waits for others' attention but
// once: where hosts look at messages only between their kernels, that is what the time depends on. Arrays that are not
// worth two messages go to everyone as they are. Where there are very many hosts, MPI's own algorithms send fewer
// messages, all of them while somebody waits for the result.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <memory>
#include <vector>

namespace ganymede::comm {

class HostSum {
 public:
  /// `hosts` joins one rank of each host. Of their sums with the same `tag`, a number below 2^30, one is under way at a
  /// time. For arrays of at most `bytes`; beyond `most_hosts` hosts the way is MPI_Allreduce. Takes all memory that it
  /// needs here.
  HostSum(MPI_Comm hosts, int tag, std::size_t bytes, int most_hosts);
  HostSum(const HostSum&) = delete;
  HostSum& operator=(const HostSum&) = delete;
  ~HostSum();

  /// Begins to combine `count` elements of every host's `values`, in place: the memory is MPI's from now on, until
  /// advance() has said that the result is there. `owner` keeps it. Collective, as is advance(). For sums of float,
  /// double and std::int64_t, and extremes of std::int64_t.
  template <class T, class Combine>
  void start(T* values, std::size_t count, const std::shared_ptr<void>& owner);

  /// Gets on as far as it can without waiting; true once the result is there, the same bits on every host. `may_wait`:
  /// there is nothing else to do until then. Throws Error(rank_lost).
  bool advance(bool may_wait);

 private:
  struct Arithmetic {
    std::size_t size;  // of an element
    MPI_Datatype type;
    MPI_Op operation;
    void (*combine)(std::byte* to, const std::byte* part, std::size_t bytes);
  };
  // Messages of one kind between this host and another, which complete in the order in which they were posted.
  struct Channel {
    int posted = 0;
    int done = 0;
    std::vector<MPI_Request> requests;  // of the last ones posted, by number modulo their count
  };
  enum Kind { scatter_out, scatter_in, gather_out, gather_in, kinds };
  struct Segment {
    std::size_t begin, end;  // bytes
    int pieces;
  };

  void begin(std::byte* values, std::size_t bytes, const Arithmetic& arithmetic, const std::shared_ptr<void>& owner);
  [[nodiscard]] Segment segment(int host) const;
  [[nodiscard]] Channel& channel(int other, Kind kind) { return channels_[index(other, kind)]; }
  [[nodiscard]] std::size_t index(int other, Kind kind) const;
  [[nodiscard]] std::byte* incoming(int other) const;
  void combine_by_mpi();
  void post();
  void post(int other, Kind kind, std::byte* segment_at, const Segment& of, int ready);
  bool collect();
  bool combine();
  [[nodiscard]] bool complete() const;

  MPI_Comm hosts_;
  int tag_;
  int rank_ = 0;
  int size_ = 0;
  bool many_;
  std::shared_ptr<std::byte> incoming_;  // parts of what this host adds, by host; or the array itself
  std::vector<Channel> channels_;        // by other host and kind
  std::vector<MPI_Request> first_;       // of each channel: its first that is not complete
  std::vector<int> completed_;           // channels

  bool under_way_ = false;
  std::byte* values_ = nullptr;
  std::size_t bytes_ = 0;
  std::shared_ptr<void> owner_;
  const Arithmetic* arithmetic_ = nullptr;
  bool whole_ = false;  // everyone adds everything
  int combined_ = 0;    // pieces of this host's segment
};

}  // namespace ganymede::comm
