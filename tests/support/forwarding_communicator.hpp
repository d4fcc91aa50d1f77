// A communicator that hands every collective on to another one: what a test derives from to change one of them.
#pragma once

#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ganymede/communicator.hpp"

namespace ganymede::test {

class ForwardingCommunicator : public Communicator {
 public:
  explicit ForwardingCommunicator(Communicator& to) : to_(to) {}

  [[nodiscard]] int rank() const override { return to_.rank(); }
  [[nodiscard]] int size() const override { return to_.size(); }
  [[nodiscard]] int node_rank() const override { return to_.node_rank(); }
  [[nodiscard]] int node_size() const override { return to_.node_size(); }
  [[nodiscard]] std::string description() const override { return to_.description(); }

  void barrier() override { to_.barrier(); }
  void node_barrier() override { to_.node_barrier(); }
  void broadcast(void* data, std::size_t bytes, int root) override { to_.broadcast(data, bytes, root); }
  void node_broadcast(void* data, std::size_t bytes) override { to_.node_broadcast(data, bytes); }
  void all_sum(std::span<float> values) override { to_.all_sum(values); }
  void all_sum(std::span<double> values) override { to_.all_sum(values); }
  void all_sum(std::span<std::int64_t> values) override { to_.all_sum(values); }
  void all_min(std::span<std::int64_t> values) override { to_.all_min(values); }
  void all_max(std::span<std::int64_t> values) override { to_.all_max(values); }
  [[nodiscard]] std::vector<std::string> all_gather(const std::string& mine) override { return to_.all_gather(mine); }

  [[nodiscard]] std::shared_ptr<void> node_shared(std::size_t bytes) override { return to_.node_shared(bytes); }
  [[nodiscard]] std::unique_ptr<Reduction<float>> make_float_reduction(std::size_t count) override {
    return to_.make_float_reduction(count);
  }
  [[nodiscard]] std::unique_ptr<Reduction<std::int64_t>> make_fixed_reduction(std::size_t count) override {
    return to_.make_fixed_reduction(count);
  }

  [[noreturn]] void abort(ExitCode code) noexcept override {
    to_.abort(code);
    std::abort();  // not reached, which GCC does not see of a virtual call
  }

 protected:
  [[nodiscard]] Communicator& inner() { return to_; }

 private:
  Communicator& to_;
};

}  // namespace ganymede::test
