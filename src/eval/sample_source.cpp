// See sample_source.hpp.
#include "eval/sample_source.hpp"

#include <algorithm>

#include "math/philox.hpp"

namespace ganymede::eval {
namespace {

// A source's images, read block by block into memory that is kept.
class Reader {
 public:
  explicit Reader(SampleSource& source)
      : source_(&source),
        images_(static_cast<std::size_t>(most_block_images) * static_cast<std::size_t>(source.image_size())),
        labels_(source.classes() > 0 ? most_block_images : 0) {}

  void read(std::uint64_t first, int count) { source_->read(first, count, images_.data(), labels_.data()); }
  // From rank `owner`.
  void broadcast(int count, int owner, Communicator& ranks) {
    const auto n = static_cast<std::size_t>(count);
    ranks.broadcast(images_.data(), n * static_cast<std::size_t>(source_->image_size()), owner);
    if (!labels_.empty()) ranks.broadcast(labels_.data(), n, owner);
  }
  [[nodiscard]] SampleBlock block(std::uint64_t first, int count) const {
    const auto n = static_cast<std::size_t>(count);
    return {first, count, std::span(images_).first(n * static_cast<std::size_t>(source_->image_size())),
            std::span(labels_).first(labels_.empty() ? 0 : n)};
  }

 private:
  SampleSource* source_;
  std::vector<std::uint8_t> images_;
  std::vector<std::uint8_t> labels_;
};

}  // namespace

ImageSet part_of(const ImageSet& set, std::uint32_t first, std::uint32_t count) {
  ImageSet part = set;
  const auto pixels = static_cast<std::size_t>(set.pixels());
  part.images = set.images.subspan(first * pixels, count * pixels);
  if (!set.labels.empty()) part.labels = set.labels.subspan(first, count);
  part.count = count;
  return part;
}

void ImageSetSource::read(std::uint64_t first, int count, std::uint8_t* images, std::uint8_t* labels) {
  const ImageSet part = part_of(set_, static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(count));
  std::copy(part.images.begin(), part.images.end(), images);
  if (labels != nullptr) std::copy(part.labels.begin(), part.labels.end(), labels);
}

void ShuffledSource::read(std::uint64_t first, int count, std::uint8_t* images, std::uint8_t* labels) {
  for (int i = 0; i < count; ++i, images += image_size())
    source_.read(order_(static_cast<std::uint32_t>(first) + static_cast<std::uint32_t>(i)), 1, images,
                 labels == nullptr ? nullptr : labels + i);
}

void NoiseSource::read(std::uint64_t first, int count, std::uint8_t* images, std::uint8_t* /*labels*/) {
  constexpr int bytes_of_block = 16;
  for (int i = 0; i < count; ++i, images += image_size_)
    for (int at = 0; at < image_size_; at += bytes_of_block) {
      const math::Philox4 random =
          math::philox_draw(seed_, math::Stream::ceiling, first + static_cast<std::uint64_t>(i),
                            static_cast<std::uint32_t>(at / bytes_of_block));
      for (int k = 0; k < std::min(bytes_of_block, image_size_ - at); ++k)
        images[at + k] = static_cast<std::uint8_t>(random.v[k / 4] >> (8 * (k % 4)));
    }
}

void RememberingSource::read(std::uint64_t first, int count, std::uint8_t* images, std::uint8_t* labels) {
  const bool whole = first % most_block_images == 0 &&
                     (count == most_block_images || first + static_cast<std::uint64_t>(count) == source_->count());
  if (!whole || count > most_block_images) {
    source_->read(first, count, images, labels);
    return;
  }
  const std::size_t number = first / most_block_images;
  const std::size_t bytes = static_cast<std::size_t>(count) * static_cast<std::size_t>(image_size());
  if (number < blocks_.size() && !blocks_[number].images.empty()) {
    const Block& block = blocks_[number];
    std::copy(block.images.begin(), block.images.end(), images);
    if (labels != nullptr) std::copy(block.labels.begin(), block.labels.end(), labels);
    return;
  }
  const bool labelled = classes() > 0;
  std::vector<std::uint8_t> of_block(labelled ? static_cast<std::size_t>(count) : 0);
  source_->read(first, count, images, labelled ? of_block.data() : nullptr);
  if (labels != nullptr) std::copy(of_block.begin(), of_block.end(), labels);
  const std::size_t taken = bytes + of_block.size();
  if (taken > bytes_left_) return;
  bytes_left_ -= taken;
  if (number >= blocks_.size()) blocks_.resize(number + 1);
  blocks_[number] = {{images, images + bytes}, std::move(of_block)};
}

void for_own_blocks(SampleSource& source, std::uint64_t count, const Communicator& ranks,
                    const std::function<void(const SampleBlock&)>& use) {
  const Dealt dealt(count);
  Reader reader(source);
  for (std::uint64_t b = 0; b < dealt.blocks(); ++b) {
    const int owner = Dealt::owner(b, ranks.size());
    if (owner == 0) source.before_blocks();
    if (owner != ranks.rank()) continue;
    reader.read(dealt.first(b), dealt.size(b));
    use(reader.block(dealt.first(b), dealt.size(b)));
  }
}

void for_all_blocks(SampleSource& source, std::uint64_t count, Communicator& ranks,
                    const std::function<void(const SampleBlock&)>& use) {
  const Dealt dealt(count);
  Reader reader(source);
  for (std::uint64_t b = 0; b < dealt.blocks(); ++b) {
    const int owner = Dealt::owner(b, ranks.size());
    source.before_blocks();
    if (owner == ranks.rank()) reader.read(dealt.first(b), dealt.size(b));
    reader.broadcast(dealt.size(b), owner, ranks);
    use(reader.block(dealt.first(b), dealt.size(b)));
  }
}

}  // namespace ganymede::eval
