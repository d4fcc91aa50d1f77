// The messages, and what must have happened before each of them.
#include "comm/host_sum.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

#include "comm/mpi_check.hpp"
#include "comm/node_memory.hpp"
#include "comm/node_sum.hpp"

namespace ganymede::comm {
namespace {

// Below what Open MPI sends over TCP at once, without asking the receiver first: what the socket takes is then on its
// way, whatever either side does meanwhile.
constexpr std::size_t piece_bytes = std::size_t{32} << 10U;
// Pieces under way to and from each host: enough for a gigabit link to be busy for 8 ms. More would only let small
// sums wait behind them.
constexpr int window = 32;
// Two messages, one after the other, take longer than sending so much once more.
constexpr std::size_t whole_bytes = std::size_t{8} << 10U;
constexpr std::size_t line = 64;

std::size_t padded(std::size_t bytes) { return (bytes + line - 1) / line * line; }

template <class T>
MPI_Datatype mpi_type() {
  if constexpr (std::is_same_v<T, float>) return MPI_FLOAT;
  if constexpr (std::is_same_v<T, double>) return MPI_DOUBLE;
  if constexpr (std::is_same_v<T, std::int64_t>) return MPI_INT64_T;
}

MPI_Op mpi_operation(Sum /*combine*/) { return MPI_SUM; }
MPI_Op mpi_operation(Min /*combine*/) { return MPI_MIN; }
MPI_Op mpi_operation(Max /*combine*/) { return MPI_MAX; }

template <class T, class Combine>
void combine_into(std::byte* to, const std::byte* part, std::size_t bytes) {
  const Combine combine;
  const std::size_t count = bytes / sizeof(T);
  T* __restrict result = reinterpret_cast<T*>(to);
  const T* __restrict other = reinterpret_cast<const T*>(part);
  for (std::size_t i = 0; i < count; ++i) result[i] = combine(result[i], other[i]);
}

}  // namespace

HostSum::HostSum(MPI_Comm hosts, int tag, std::size_t bytes, int most_hosts) : hosts_(hosts), tag_(tag) {
  check(MPI_Comm_rank(hosts, &rank_), "tell the rank");
  check(MPI_Comm_size(hosts, &size_), "tell the number of ranks");
  many_ = size_ > most_hosts;
  const auto others = static_cast<std::size_t>(size_ - 1);
  if (many_) return;
  const std::size_t own = std::max(std::min(bytes, whole_bytes), bytes / static_cast<std::size_t>(size_) + 2 * line);
  incoming_ = std::static_pointer_cast<std::byte>(private_memory(others * padded(own)));
  channels_.resize(others * kinds);
  const std::size_t most = std::min<std::size_t>(window, bytes / piece_bytes + 1);
  for (Channel& channel : channels_) channel.requests.resize(most, MPI_REQUEST_NULL);
  first_.resize(channels_.size(), MPI_REQUEST_NULL);
  completed_.resize(channels_.size());
}

HostSum::~HostSum() {
  // Messages under way keep their memory when an exception ends this rank's part: MPI may still write to it.
  if (under_way_) static_cast<void>(new (std::nothrow) std::pair(owner_, incoming_));
}

template <class T, class Combine>
void HostSum::start(T* values, std::size_t count, const std::shared_ptr<void>& owner) {
  static const Arithmetic arithmetic{sizeof(T), mpi_type<T>(), mpi_operation(Combine()), combine_into<T, Combine>};
  begin(reinterpret_cast<std::byte*>(values), count * sizeof(T), arithmetic, owner);
}

template void HostSum::start<float, Sum>(float*, std::size_t, const std::shared_ptr<void>&);
template void HostSum::start<double, Sum>(double*, std::size_t, const std::shared_ptr<void>&);
template void HostSum::start<std::int64_t, Sum>(std::int64_t*, std::size_t, const std::shared_ptr<void>&);
template void HostSum::start<std::int64_t, Min>(std::int64_t*, std::size_t, const std::shared_ptr<void>&);
template void HostSum::start<std::int64_t, Max>(std::int64_t*, std::size_t, const std::shared_ptr<void>&);

void HostSum::begin(std::byte* values, std::size_t bytes, const Arithmetic& arithmetic,
                    const std::shared_ptr<void>& owner) {
  under_way_ = true;
  values_ = values;
  bytes_ = bytes;
  owner_ = owner;
  arithmetic_ = &arithmetic;
  whole_ = bytes <= whole_bytes;
  combined_ = 0;
  for (Channel& channel : channels_) channel.posted = channel.done = 0;
}

// Of whole lines, so that each begins where vectors do.
HostSum::Segment HostSum::segment(int host) const {
  Segment result{0, bytes_, 0};
  if (!whole_) {
    const std::size_t lines = (bytes_ + line - 1) / line;
    const auto number = static_cast<std::size_t>(host);
    const auto hosts = static_cast<std::size_t>(size_);
    result.begin = std::min(bytes_, lines * number / hosts * line);
    result.end = std::min(bytes_, lines * (number + 1) / hosts * line);
  }
  result.pieces = static_cast<int>((result.end - result.begin + piece_bytes - 1) / piece_bytes);
  return result;
}

std::size_t HostSum::index(int other, Kind kind) const {
  // The hosts behind this one come first: so not all send to the same one at once.
  const int place = (other - rank_ - 1 + size_) % size_;
  return static_cast<std::size_t>(place) * kinds + kind;
}

std::byte* HostSum::incoming(int other) const {
  const Segment own = segment(rank_);
  return incoming_.get() + index(other, scatter_out) / kinds * padded(own.end - own.begin);
}

bool HostSum::advance(bool may_wait) {
  if (!under_way_) return true;
  if (many_) {
    if (may_wait) combine_by_mpi();
    return !under_way_;
  }
  do {
    post();
  } while (collect() || combine());
  if (complete()) under_way_ = false;
  return !under_way_;
}

// Open MPI chooses its algorithm by the length and the number of ranks alone, and every one of them computes each
// element once or in the same order everywhere: the same bits on all hosts, in all runs.
void HostSum::combine_by_mpi() {
  constexpr std::size_t largest = std::size_t{1} << 30U;  // MPI counts in int
  const std::size_t count = bytes_ / arithmetic_->size;
  for (std::size_t done = 0; done < count; done += largest) {
    const int part = static_cast<int>(std::min(count - done, largest));
    check(MPI_Allreduce(MPI_IN_PLACE, values_ + done * arithmetic_->size, part, arithmetic_->type,
                        arithmetic_->operation, hosts_),
          "reduce");
  }
  under_way_ = false;
}

void HostSum::post() {
  const Segment own = segment(rank_);
  for (int step = 1; step < size_; ++step) {
    const int other = (rank_ + step) % size_;
    const Segment theirs = segment(other);
    post(other, scatter_in, incoming(other), own, own.pieces);
    post(other, scatter_out, values_ + theirs.begin, theirs, theirs.pieces);
    if (whole_) continue;
    // Into what has been sent, and out of what has been added.
    post(other, gather_in, values_ + theirs.begin, theirs, channel(other, scatter_out).done);
    post(other, gather_out, values_ + own.begin, own, combined_);
  }
}

// The next pieces of a segment that lies at `at`, up to number `ready`, as far as the window allows.
void HostSum::post(int other, Kind kind, std::byte* at, const Segment& of, int ready) {
  Channel& c = channel(other, kind);
  const auto most = static_cast<int>(c.requests.size());
  for (; c.posted < ready && c.posted - c.done < most; ++c.posted) {
    const std::size_t begin = static_cast<std::size_t>(c.posted) * piece_bytes;
    const auto bytes = static_cast<int>(std::min(piece_bytes, of.end - of.begin - begin));
    const int tag = 2 * tag_ + (kind == gather_in || kind == gather_out ? 1 : 0);
    MPI_Request& request = c.requests[static_cast<std::size_t>(c.posted % most)];
    check(kind == scatter_in || kind == gather_in
              ? MPI_Irecv(at + begin, bytes, MPI_BYTE, other, tag, hosts_, &request)
              : MPI_Isend(at + begin, bytes, MPI_BYTE, other, tag, hosts_, &request),
          "reduce");
  }
}

// Whether any message has been completed.
bool HostSum::collect() {
  for (std::size_t i = 0; i < channels_.size(); ++i) {
    const Channel& c = channels_[i];
    if (c.done < c.posted) first_[i] = c.requests[static_cast<std::size_t>(c.done) % c.requests.size()];
  }
  int count = 0;
  check(MPI_Testsome(static_cast<int>(first_.size()), first_.data(), &count, completed_.data(), MPI_STATUSES_IGNORE),
        "reduce");
  if (count == MPI_UNDEFINED) return false;  // nothing is under way
  for (int i = 0; i < count; ++i) ++channels_[static_cast<std::size_t>(completed_[static_cast<std::size_t>(i)])].done;
  return count > 0;
}

// Adds the next piece of this host's segment, if all parts of it are there and it has been sent where that is needed.
bool HostSum::combine() {
  const Segment own = segment(rank_);
  if (combined_ == own.pieces) return false;
  for (int other = 0; other < size_; ++other) {
    if (other == rank_) continue;
    if (channel(other, scatter_in).done <= combined_) return false;
    if (whole_ && channel(other, scatter_out).done <= combined_) return false;
  }
  const std::size_t begin = static_cast<std::size_t>(combined_) * piece_bytes;
  const std::size_t bytes = std::min(piece_bytes, own.end - own.begin - begin);
  std::byte* result = values_ + own.begin + begin;
  const auto part = [&](int host) { return host == rank_ ? result : incoming(host) + begin; };
  std::byte* sum = part(0);
  for (int host = 1; host < size_; ++host) arithmetic_->combine(sum, part(host), bytes);
  if (sum != result) std::memcpy(result, sum, bytes);
  ++combined_;
  return true;
}

bool HostSum::complete() const {
  const Segment own = segment(rank_);
  if (combined_ < own.pieces) return false;
  for (int step = 1; step < size_; ++step) {
    const int other = (rank_ + step) % size_;
    const Segment theirs = segment(other);
    if (channels_[index(other, scatter_out)].done < theirs.pieces) return false;
    if (whole_) continue;
    if (channels_[index(other, gather_out)].done < own.pieces) return false;
    if (channels_[index(other, gather_in)].done < theirs.pieces) return false;
  }
  return true;
}

}  // namespace ganymede::comm
