// The folder of a run: what is written where.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <vector>

namespace ganymede {

class RunFolder {
 public:
  explicit RunFolder(std::filesystem::path root) : root_(std::move(root)) {}

  [[nodiscard]] const std::filesystem::path& root() const { return root_; }
  [[nodiscard]] std::filesystem::path config() const { return root_ / "config.ini"; }
  [[nodiscard]] std::filesystem::path metrics() const { return root_ / "metrics.jsonl"; }
  /// What the ranks' time went to.
  [[nodiscard]] std::filesystem::path timing() const { return root_ / "timing.jsonl"; }
  [[nodiscard]] std::filesystem::path samples() const { return root_ / "samples"; }
  [[nodiscard]] std::filesystem::path sample(std::uint64_t step) const;
  /// As many real images in a grid as those of the samples have.
  [[nodiscard]] std::filesystem::path real_sample() const { return samples() / "real.png"; }
  /// The samples' grids one after the other, as `ganymede report` makes it.
  [[nodiscard]] std::filesystem::path progress() const { return samples() / "progress.gif"; }
  /// The samples that come nearest to training images, as `ganymede eval` found them.
  [[nodiscard]] std::filesystem::path nearest_pairs() const { return samples() / "nearest.png"; }
  /// Of the pictures beside it that `ganymede latent` has drawn.
  [[nodiscard]] std::filesystem::path latent() const { return samples() / "latent.json"; }
  [[nodiscard]] std::filesystem::path checkpoints() const { return root_ / "checkpoints"; }
  [[nodiscard]] std::filesystem::path logs() const { return root_ / "logs"; }
  [[nodiscard]] std::filesystem::path log(int rank) const;
  /// The final weights: the generator's are those that pictures are drawn from (its average with --ema).
  [[nodiscard]] std::filesystem::path generator() const { return root_ / "generator.safetensors"; }
  [[nodiscard]] std::filesystem::path discriminator() const { return root_ / "discriminator.safetensors"; }
  [[nodiscard]] std::filesystem::path report() const { return root_ / "report.html"; }
  /// What `ganymede eval` measured.
  [[nodiscard]] std::filesystem::path evaluation() const { return root_ / "eval.json"; }
  /// Of which it and latent.json have some thousandth: what has more is something else.
  static constexpr std::size_t most_evaluation_bytes = std::size_t{1} << 20U;

  /// TensorBoard's event files.
  [[nodiscard]] std::filesystem::path tensorboard() const { return root_ / "tensorboard"; }

  [[nodiscard]] std::filesystem::path lock() const { return root_ / ".lock"; }

  /// The steps of its sample grids in ascending order.
  [[nodiscard]] std::vector<std::uint64_t> sampled_steps() const;

  /// Makes the folders that training writes to. Throws Error(data).
  void make() const;

  /// Deletes what a training that was killed has left beside the files that it was writing. For whoever holds the run.
  /// Throws Error(data) for the first that stays, once the others are gone.
  void sweep() const;

 private:
  std::filesystem::path root_;
};

}  // namespace ganymede
