// What every operation of the CPU device has at hand: the kernels of the machine's instruction set, the threads that
// run them, and the order in which rows are summed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "core/heartbeat.hpp"
#include "core/thread_pool.hpp"
#include "device/cpu/kernels.hpp"
#include "device/cpu/rank_sums.hpp"
#include "device/cpu/workspace.hpp"
#include "ganymede/device.hpp"
#include "math/fixed_point.hpp"

namespace ganymede::cpu {

inline std::size_t product(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }
inline std::uint64_t value(StepCount count) { return *count.step * count.per_step + count.offset; }
inline Sum sum_of(const SumTarget& target) { return {target.values, target.fixed, target.overflow}; }

/// Makes the target's `count` elements 0, unless they are to be added to.
void clear(std::size_t count, bool accumulate, const SumTarget& target);

class Engine {
 public:
  Engine(int threads, const Kernels& of_machine);

  const Kernels& kernels;
  RankSums sums;           ///< that kernels give way to
  Workspace<float> carry;  ///< what a kernel needs between the shards of an exact sum of weights

  [[nodiscard]] int threads() const { return pool_.threads(); }

  /// `work`: how many operations it is, about; `cuts`: see cuts().
  template <class Args>
  void run(Kernel<Args> kernel, const std::type_identity_t<Args>& args, std::size_t work, int cuts = 1) {
    if (work < worth_sharing) {
      kernel(args, scratch_.get(), 0, 1);
      return;
    }
    for (int cut = 0; cut < cuts; ++cut) {
      sums.advance();
      pool_.run([&](int part, int parts) {
        kernel(args, scratch_.get() + static_cast<std::size_t>(part) * scratch_floats, cut * parts + part,
               cuts * parts);
      });
    }
    heartbeat::beat();
  }

  /// Into how many pieces to cut a kernel that keeps no memory for each part, so that sums under way get on.
  [[nodiscard]] int cuts(std::size_t work) const;

  /// Exact sums go shard by shard; others take the rows as they lie, as one shard. A row of the order is a pixel of one
  /// of the layout's rows. Good until the next call.
  RowOrder row_order(const BatchLayout& layout, bool exact, int pixels = 1);

 private:
  // Below this many operations waking the other threads costs more than they save.
  static constexpr std::size_t worth_sharing = 32768;

  ThreadPool pool_;
  std::unique_ptr<float[], Free> scratch_;
  Workspace<int> order_;
  Workspace<int> shard_end_;
};

/// target (+)= Σ term(row) over the rows of one part, in double within a shard.
template <class Term>
void sum_shards(const BatchLayout& layout, const SumTarget& target, bool accumulate, Term&& term) {
  const int shards = target.exact() ? layout.shards() : 1;
  std::int64_t fixed = accumulate && target.exact() ? *target.fixed : 0;
  for (int s = 0; s < shards; ++s) {
    const int begin = target.exact() ? layout.shard_begin[static_cast<std::size_t>(s)] : 0;
    const int end = target.exact() ? layout.shard_begin[static_cast<std::size_t>(s) + 1] : layout.rows;
    double sum = 0;
    for (int row = begin; row < end; ++row) sum += term(row);
    const auto value = static_cast<float>(sum);
    if (!target.exact()) {
      *target.values = accumulate ? *target.values + value : value;
    } else if (math::fits_fixed_point(value)) {
      fixed += math::to_fixed_point(value);
    } else {
      ++*target.overflow;
    }
  }
  if (target.exact()) *target.fixed = fixed;
}

/// work(part, first row in it, rows) for each shard of each part.
template <class Work>
void for_shards(const BatchLayout& layout, Work&& work) {
  for (int part = 0; part < layout.parts; ++part) {
    for (int s = 0; s < layout.shards(); ++s) {
      const int first = layout.shard_begin[static_cast<std::size_t>(s)];
      work(part, first, layout.shard_begin[static_cast<std::size_t>(s) + 1] - first);
    }
  }
}

}  // namespace ganymede::cpu
