// Where the images that are judged come from: a generator, a set of real images, noise. Metrics go through them in
// blocks, so that nobody has to hold all of them.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "ganymede/communicator.hpp"
#include "ganymede/dataset.hpp"
#include "math/permutation.hpp"

namespace ganymede::eval {

/// Images by number, 8 bits a value, as a PNG would hold them. Image i is the same whoever reads it, and whichever
/// others are read with it.
class SampleSource {
 public:
  SampleSource() = default;
  SampleSource(const SampleSource&) = delete;
  SampleSource& operator=(const SampleSource&) = delete;
  virtual ~SampleSource() = default;

  /// How many there are: numbers 0 … count()-1.
  [[nodiscard]] virtual std::uint64_t count() const = 0;
  /// Values (bytes) of an image.
  [[nodiscard]] virtual int image_size() const = 0;
  /// Labels are 0 … classes()-1; 0: there are none.
  [[nodiscard]] virtual int classes() const = 0;
  /// Writes images first … first+count-1 to `images` [count, image_size()] and, where `labels` is not null and there
  /// are classes, their labels to `labels` [count].
  virtual void read(std::uint64_t first, int count, std::uint8_t* images, std::uint8_t* labels) = 0;
  /// Called before the ranks read the next blocks, by all of them and equally often: where they can agree to go no
  /// further. Throws then, on every rank.
  virtual void before_blocks() {}
};

/// Images `first` … first+count-1 of a set, with its labels where it has them.
ImageSet part_of(const ImageSet& set, std::uint32_t first, std::uint32_t count);

/// A set of real images, which must outlive it, in their order.
class ImageSetSource final : public SampleSource {
 public:
  explicit ImageSetSource(const ImageSet& set) : set_(set), classes_(set.classes()) {}
  [[nodiscard]] std::uint64_t count() const override { return set_.count; }
  [[nodiscard]] int image_size() const override { return set_.pixels(); }
  [[nodiscard]] int classes() const override { return classes_; }
  void read(std::uint64_t first, int count, std::uint8_t* images, std::uint8_t* labels) override;

 private:
  ImageSet set_;
  int classes_;
};

/// The same in an order drawn once and for all: a set's own may mean something. (MNIST's writers stand behind each
/// other, and classes come back in periods: in a judge's features every sixth training image is further from the test
/// images than ten thousand in a row.)
class ShuffledSource final : public SampleSource {
 public:
  explicit ShuffledSource(const ImageSet& set) : source_(set), order_(0, 0, set.count) {}
  [[nodiscard]] std::uint64_t count() const override { return source_.count(); }
  [[nodiscard]] int image_size() const override { return source_.image_size(); }
  [[nodiscard]] int classes() const override { return source_.classes(); }
  void read(std::uint64_t first, int count, std::uint8_t* images, std::uint8_t* labels) override;

 private:
  ImageSetSource source_;
  math::Permutation order_;
};

/// Noise: every value from 0 to 255 as likely as any other.
class NoiseSource final : public SampleSource {
 public:
  NoiseSource(int image_size, std::uint64_t seed, std::uint64_t count)
      : image_size_(image_size), seed_(seed), count_(count) {}
  [[nodiscard]] std::uint64_t count() const override { return count_; }
  [[nodiscard]] int image_size() const override { return image_size_; }
  [[nodiscard]] int classes() const override { return 0; }
  void read(std::uint64_t first, int count, std::uint8_t* images, std::uint8_t* labels) override;

 private:
  int image_size_;
  std::uint64_t seed_;
  std::uint64_t count_;
};

/// Remembers what it has read, block by block, as far as `most_bytes` go: metrics go through the same samples again,
/// and a generator takes longer than a look at memory. Of several ranks each remembers its own blocks alone.
class RememberingSource final : public SampleSource {
 public:
  explicit RememberingSource(SampleSource& source, std::size_t most_bytes = std::size_t{128} << 20U)
      : source_(&source), bytes_left_(most_bytes) {}
  [[nodiscard]] std::uint64_t count() const override { return source_->count(); }
  [[nodiscard]] int image_size() const override { return source_->image_size(); }
  [[nodiscard]] int classes() const override { return source_->classes(); }
  /// Remembers reads of one length alone that begin at multiples of it, and the last, shorter one.
  void read(std::uint64_t first, int count, std::uint8_t* images, std::uint8_t* labels) override;
  void before_blocks() override { source_->before_blocks(); }

 private:
  struct Block {
    std::vector<std::uint8_t> images;
    std::vector<std::uint8_t> labels;
  };
  SampleSource* source_;
  std::size_t bytes_left_;
  std::vector<Block> blocks_;  // by number; empty: not remembered
};

/// Of fewer samples, or test images beside them, no metric says anything.
inline constexpr std::uint64_t least_samples = 100;

/// A few images that lie one after another in a source.
struct SampleBlock {
  std::uint64_t first = 0;
  int count = 0;
  std::span<const std::uint8_t> images;  ///< [count, image size]
  std::span<const std::uint8_t> labels;  ///< [count]; empty where there are none
};
inline constexpr int most_block_images = 256;

/// How a number of images is dealt out to ranks: in blocks, one each in turn.
class Dealt {
 public:
  explicit Dealt(std::uint64_t count) : count_(count) {}
  [[nodiscard]] std::uint64_t blocks() const { return (count_ + most_block_images - 1) / most_block_images; }
  [[nodiscard]] std::uint64_t first(std::uint64_t block) const { return block * most_block_images; }
  [[nodiscard]] int size(std::uint64_t block) const {
    return static_cast<int>(std::min<std::uint64_t>(most_block_images, count_ - first(block)));
  }
  /// Of `ranks` blocks in a row each is another rank's.
  [[nodiscard]] static int owner(std::uint64_t block, int ranks) {
    return static_cast<int>(block % static_cast<std::uint64_t>(ranks));
  }

 private:
  std::uint64_t count_;
};

/// Calls use(block) for this rank's blocks of the source's first `count` images. Every rank does, with the same count.
void for_own_blocks(SampleSource& source, std::uint64_t count, const Communicator& ranks,
                    const std::function<void(const SampleBlock&)>& use);

/// Calls use(block) for every block on every rank, in order: each is read by its owner and sent to the others.
/// Collective.
void for_all_blocks(SampleSource& source, std::uint64_t count, Communicator& ranks,
                    const std::function<void(const SampleBlock&)>& use);

}  // namespace ganymede::eval
