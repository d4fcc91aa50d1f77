// A classifier of MNIST's digits, small and trained by our own layers, in whose features and answers samples are
// compared with real digits. One is shipped with the program (share/judge/mnist.safetensors), so that its figures mean
// the same wherever they are computed; `ganymede judge` trained it and trains it again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "eval/sample_source.hpp"
#include "eval/share.hpp"
#include "ganymede/device.hpp"
#include "ganymede/network.hpp"
#include "ganymede/tensor_file.hpp"

namespace ganymede::eval {

/// How a judge is trained: Adam on the softmax cross-entropy of images that are shifted by up to `shift` pixels each
/// way, with a learning rate that falls to 0 as a cosine; the weights are their moving average.
struct JudgeRecipe {
  int epochs = 30;
  int batch = 100;
  double learning_rate = 1e-3;
  double average = 0.999;
  int shift = 2;
  std::uint64_t seed = 1;
};

/// What a judge learns from, wherever that lies: `read` writes the images of these numbers, all below `count`, to
/// `images` [numbers, Judge::side, Judge::side] and their labels to `labels`.
struct LabelledImages {
  std::uint32_t count = 0;
  std::function<void(std::span<const std::uint32_t> numbers, std::uint8_t* images, std::uint8_t* labels)> read;
};
/// Those of a set whose numbers are in `which`, in that order; both must outlive it.
LabelledImages images_of(const ImageSet& set, std::span<const std::uint32_t> which);

/// Calls use(first, numbers) for each batch of an epoch on `count` images: what the batch at place `first` of the
/// epoch's order holds. A rest smaller than a batch is left out, another one in each epoch.
void for_each_batch(const JudgeRecipe& recipe, int epoch, std::uint32_t count,
                    const std::function<void(std::uint32_t first, std::span<const std::uint32_t> numbers)>& use);

class Judge {
 public:
  static constexpr int classes = 10;
  static constexpr int side = 28;
  /// Whether it can look at such images at all: other digits of this size do.
  static bool takes(const ImageSet& images) { return images.height == side && images.width == side; }
  /// What its last hidden layer says of an image.
  static constexpr int features = 64;

  /// Not trained.
  explicit Judge(Device& device);
  /// Throws Error(data) where the file holds another network.
  Judge(Device& device, const TensorFile& file, const std::string& source);

  /// Trains it on images that are read by for_each_batch() of each epoch; `done(epoch, loss)` is called after each with
  /// its mean loss. Not collective, unless the images' read() is: the same bits on any number of threads.
  void train(const LabelledImages& images, const JudgeRecipe& recipe,
             const std::function<void(int epoch, double loss)>& done);
  /// Scales the features so that their mean square over these images is 1, which changes no answer: distances in them
  /// mean the same whichever judge was trained.
  void scale_features(const LabelledImages& images);

  /// Writes the features [count, features] and logits [count, classes] of count ≤ most_block_images images.
  void look_at(const std::uint8_t* images, int count, float* to_features, float* logits);
  /// The share of images that it gives the right label.
  Share accuracy(const ImageSet& labelled);

  [[nodiscard]] std::vector<Tensor> tensors() const { return network_.tensors(network_.parameter_array()); }

 private:
  Network network_;
  Tape tape_;
  std::vector<float> x_;
};

/// The numbers of the images in `training` that are not among those of any of `others`, pixel by pixel.
std::vector<std::uint32_t> images_outside(const ImageSet& training, std::span<const ImageSet> others);

}  // namespace ganymede::eval
