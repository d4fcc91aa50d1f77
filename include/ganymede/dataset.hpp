// Image sets: named ones (mnist-mini, which comes with the program; mnist, fetched once) or a folder of IDX files. The
// pixels stay uint8 and are kept once per node, however many ranks run there.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "ganymede/communicator.hpp"
#include "ganymede/shapes.hpp"
#include "ganymede/share_folder.hpp"

namespace ganymede {

/// One half of a set: images [count, height, width] of uint8, and one label per image where there are any. A training
/// may be shown several at a time, one in each of its images' channels.
struct ImageSet {
  std::span<const std::uint8_t> images;
  std::span<const std::uint8_t> labels;  ///< empty unless asked for
  std::uint32_t count = 0;
  int height = 0;
  int width = 0;
  int channels = 1;  ///< how many images are shown at a time
  [[nodiscard]] int pixels() const { return height * width; }
  /// Classes are 0 … classes()-1: one more than the greatest label; 0 without labels.
  [[nodiscard]] int classes() const { return labels.empty() ? 0 : *std::max_element(labels.begin(), labels.end()) + 1; }
  [[nodiscard]] DataShape shape() const { return {{height, width, channels}, classes()}; }
};

/// What a caller needs of a set, beyond its training images.
struct DatasetNeeds {
  bool train_labels = false;
  bool test = false;  ///< test images
  bool test_labels = false;
  bool test_if_there = false;         ///< test images, if they lie beside the training images
  bool test_labels_if_there = false;  ///< the labels of test images that are wanted or there

  // What an error adds where it helps, empty for nothing: how to do without files that are missing or wrong, and what
  // else to give where there is no such set.
  std::string without_train_labels = {};
  std::string without_test = {};
  std::string without_test_labels = {};
  std::string otherwise = {};
};

class Dataset {
 public:
  /// `name` is mnist-mini, mnist or a folder of IDX files named as MNIST's (plain or .gz). Named sets are
  /// looked up in $GANYMEDE_DATA/NAME/, then in the user's cache ($XDG_CACHE_HOME/ganymede/NAME or
  /// ~/.cache/ganymede/NAME); mnist-mini then in the program's own share folder; mnist is then fetched
  /// into the cache by one rank per node, checked by SHA-256. The first place that has all the files that
  /// `needs` asks for is taken; no other file is looked at but a test pair beside them, where it is welcome.
  /// Collective; throws Error(data) on every rank alike, also when nodes have different data.
  static Dataset open(const std::string& name, const DatasetNeeds& needs, Communicator& ranks);

  [[nodiscard]] const std::string& name() const { return name_; }
  /// Where the files were found.
  [[nodiscard]] const std::string& folder() const { return folder_; }
  /// Whether it is one of the sets that have a name of their own, and not a folder's.
  [[nodiscard]] bool is_named() const { return folder_ != name_; }
  [[nodiscard]] const ImageSet& train() const { return train_; }
  /// count == 0 unless asked for.
  [[nodiscard]] const ImageSet& test() const { return test_; }
  /// XXH3-128 of the training images' dimensions and bytes, in hex: says whether two runs saw the same data.
  [[nodiscard]] const std::string& digest() const { return digest_; }
  /// The same of the training images and their labels, which were asked for.
  [[nodiscard]] const std::string& labelled_digest() const { return labelled_digest_; }

 private:
  std::string name_;
  std::string folder_;
  std::string digest_;
  std::string labelled_digest_;
  ImageSet train_;
  ImageSet test_;
  std::shared_ptr<const void> memory_;
};

}  // namespace ganymede
