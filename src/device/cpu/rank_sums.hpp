// Sums over ranks that get on while a device computes.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "ganymede/communicator.hpp"

namespace ganymede::cpu {

/// A device's list of the sums that are between their start and their end.
class RankSums {
 public:
  [[nodiscard]] bool none() const { return under_way_.empty(); }
  void advance() {
    for (UnderWay* sum : under_way_) sum->advance();
  }
  template <class T>
  std::unique_ptr<Reduction<T>> make(Communicator& ranks, std::size_t count) {
    std::unique_ptr<Reduction<T>> sum = ranks.make_reduction<T>(count);
    if (ranks.size() == 1) return sum;
    // Room for all, so that a step takes none: twice as much whenever it is used up.
    if (++reductions_ > under_way_.capacity()) under_way_.reserve(2 * reductions_);
    return std::make_unique<Listed<T>>(std::move(sum), under_way_);
  }

 private:
  class UnderWay {
   public:
    UnderWay() = default;
    UnderWay(const UnderWay&) = delete;
    UnderWay& operator=(const UnderWay&) = delete;
    virtual ~UnderWay() = default;
    virtual void advance() = 0;
  };

  template <class T>
  class Listed final : public Reduction<T>, public UnderWay {
   public:
    Listed(std::unique_ptr<Reduction<T>> sum, std::vector<UnderWay*>& under_way)
        : over_ranks_(std::move(sum)), under_way_(under_way) {
      this->size_ = over_ranks_->size();
      this->data_ = over_ranks_->data();
      this->sum_ = over_ranks_->sum();
    }
    Listed(const Listed&) = delete;
    Listed& operator=(const Listed&) = delete;
    ~Listed() override { std::erase(under_way_, this); }

    void start() override {
      over_ranks_->start();
      under_way_.push_back(this);
    }
    void advance() override { over_ranks_->advance(); }
    void finish() override {
      over_ranks_->finish();
      std::erase(under_way_, this);
    }

   private:
    std::unique_ptr<Reduction<T>> over_ranks_;
    std::vector<UnderWay*>& under_way_;
  };

  std::size_t reductions_ = 0;  // made so far
  std::vector<UnderWay*> under_way_;
};

}  // namespace ganymede::cpu
