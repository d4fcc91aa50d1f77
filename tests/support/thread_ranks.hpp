// Ranks that are threads of the test, on one pretended node or several: collectives by a barrier and a table.
#pragma once

#include <algorithm>
#include <barrier>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "ganymede/communicator.hpp"

namespace ganymede::test {

class ThreadRanks {
 public:
  /// nodes[r]: the node of rank r, ascending. shares: whether a node's ranks can share memory.
  explicit ThreadRanks(std::vector<int> nodes, bool shares = true)
      : nodes_(std::move(nodes)),
        shares_(shares),
        meeting_(static_cast<std::ptrdiff_t>(nodes_.size())),
        table_(nodes_.size()) {}

  /// Runs `body` as every rank at once.
  void run(const std::function<void(Communicator&)>& body) {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < static_cast<int>(nodes_.size()); ++rank) {
      threads.emplace_back([this, rank, &body] {
        Rank one(*this, rank);
        body(one);
      });
    }
  }

  /// Shared memory handed out so far.
  std::size_t shared_bytes() const { return shared_bytes_; }

 private:
  class Rank final : public Communicator {
   public:
    Rank(ThreadRanks& all, int rank) : all_(all), rank_(rank), local_(make_local_communicator()) {}

    int rank() const override { return rank_; }
    int size() const override { return static_cast<int>(all_.nodes_.size()); }
    int node_rank() const override { return rank_ - first_of_node(); }
    int node_size() const override {
      return static_cast<int>(std::count(all_.nodes_.begin(), all_.nodes_.end(), node()));
    }
    std::string description() const override { return "threads"; }

    void barrier() override { all_.meeting_.arrive_and_wait(); }
    void node_barrier() override { barrier(); }
    void broadcast(void* data, std::size_t bytes, int root) override {
      const auto all = exchange(data, bytes);
      std::memcpy(data, all[static_cast<std::size_t>(root)].data(), bytes);
    }
    // All nodes do this at the same time in what is tested here, each with its own size.
    void node_broadcast(void* data, std::size_t bytes) override { broadcast(data, bytes, first_of_node()); }
    void all_sum(std::span<float> values) override { reduce(values, std::plus<>()); }
    void all_sum(std::span<double> values) override { reduce(values, std::plus<>()); }
    void all_sum(std::span<std::int64_t> values) override { reduce(values, std::plus<>()); }
    void all_min(std::span<std::int64_t> values) override {
      reduce(values, [](auto a, auto b) { return std::min(a, b); });
    }
    void all_max(std::span<std::int64_t> values) override {
      reduce(values, [](auto a, auto b) { return std::max(a, b); });
    }
    std::vector<std::string> all_gather(const std::string& mine) override { return exchange(mine.data(), mine.size()); }
    std::shared_ptr<void> node_shared(std::size_t bytes) override {
      if (!all_.shares_) return nullptr;
      std::shared_ptr<void> memory;
      if (node_rank() == 0) {
        memory.reset(std::calloc(bytes, 1), std::free);
        all_.shared_bytes_ += bytes;
        all_.memory_ = memory;
      }
      if (node() != 0) std::abort();  // the table has one place; a test that needs more nodes does not share
      barrier();
      memory = all_.memory_;
      barrier();
      return memory;
    }
    std::unique_ptr<Reduction<float>> make_float_reduction(std::size_t count) override {
      return local_->make_float_reduction(count);
    }
    std::unique_ptr<Reduction<std::int64_t>> make_fixed_reduction(std::size_t count) override {
      return local_->make_fixed_reduction(count);
    }
    [[noreturn]] void abort(ExitCode) noexcept override { std::abort(); }

   private:
    int node() const { return all_.nodes_[static_cast<std::size_t>(rank_)]; }
    int first_of_node() const {
      return static_cast<int>(std::find(all_.nodes_.begin(), all_.nodes_.end(), node()) - all_.nodes_.begin());
    }
    std::vector<std::string> exchange(const void* data, std::size_t bytes) {
      all_.table_[static_cast<std::size_t>(rank_)].assign(static_cast<const char*>(data), bytes);
      barrier();
      std::vector<std::string> result = all_.table_;
      barrier();
      return result;
    }
    template <class T, class Combine>
    void reduce(std::span<T> values, Combine combine) {
      const auto all = exchange(values.data(), values.size_bytes());
      for (std::size_t i = 0; i < values.size(); ++i) {
        for (std::size_t r = 0; r < all.size(); ++r) {
          T value;
          std::memcpy(&value, all[r].data() + i * sizeof(T), sizeof(T));
          values[i] = r == 0 ? value : combine(values[i], value);
        }
      }
    }

    ThreadRanks& all_;
    int rank_;
    std::unique_ptr<Communicator> local_;
  };

  std::vector<int> nodes_;
  bool shares_;
  std::barrier<> meeting_;
  std::vector<std::string> table_;
  std::shared_ptr<void> memory_;
  std::size_t shared_bytes_ = 0;
};

}  // namespace ganymede::test
