// One process alone: every collective has nothing to do.
#include <unistd.h>

#include <cstdlib>
#include <new>

#include "comm/end_process.hpp"
#include "comm/node_memory.hpp"
#include "ganymede/communicator.hpp"

namespace ganymede {
namespace {

template <class T>
class LocalReduction final : public Reduction<T> {
 public:
  explicit LocalReduction(std::size_t count) : memory_(comm::private_memory(count * sizeof(T))) {
    this->size_ = count;
    this->data_ = static_cast<T*>(memory_.get());
    this->sum_ = this->data_;
  }
  void start() override {}
  void finish() override {}

 private:
  std::shared_ptr<void> memory_;
};

class LocalCommunicator final : public Communicator {
 public:
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] int size() const override { return 1; }
  [[nodiscard]] int node_rank() const override { return 0; }
  [[nodiscard]] int node_size() const override { return 1; }
  [[nodiscard]] std::string description() const override { return "one process"; }

  void barrier() override {}
  void node_barrier() override {}
  void broadcast(void* /*data*/, std::size_t /*bytes*/, int /*root*/) override {}
  void node_broadcast(void* /*data*/, std::size_t /*bytes*/) override {}
  void all_sum(std::span<float> /*values*/) override {}
  void all_sum(std::span<double> /*values*/) override {}
  void all_sum(std::span<std::int64_t> /*values*/) override {}
  void all_min(std::span<std::int64_t> /*values*/) override {}
  void all_max(std::span<std::int64_t> /*values*/) override {}
  [[nodiscard]] std::vector<std::string> all_gather(const std::string& mine) override { return {mine}; }

  [[nodiscard]] std::shared_ptr<void> node_shared(std::size_t bytes) override { return comm::private_memory(bytes); }
  [[nodiscard]] std::unique_ptr<Reduction<float>> make_float_reduction(std::size_t count) override {
    return std::make_unique<LocalReduction<float>>(count);
  }
  [[nodiscard]] std::unique_ptr<Reduction<std::int64_t>> make_fixed_reduction(std::size_t count) override {
    return std::make_unique<LocalReduction<std::int64_t>>(count);
  }

  [[noreturn]] void abort(ExitCode code) noexcept override {
    comm::end_process_after(3, code);
    comm::flush_output();
    _exit(static_cast<int>(code));
  }
};

}  // namespace

std::unique_ptr<Communicator> make_local_communicator() { return std::make_unique<LocalCommunicator>(); }

}  // namespace ganymede
