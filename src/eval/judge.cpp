// See judge.hpp.
#include "eval/judge.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string_view>
#include <unordered_set>

#include "math/permutation.hpp"
#include "math/philox.hpp"
#include "nn/optimizer.hpp"

namespace ganymede::eval {
namespace {

constexpr std::size_t pixels = std::size_t{Judge::side} * Judge::side;

// Three convolutions that halve the image, the features, the logits.
std::vector<std::unique_ptr<Layer>> layers() {
  const Activation relu = Activation::named("relu");
  std::vector<std::unique_ptr<Layer>> result;
  result.push_back(make_convolution({28, 28, 1, 14, 14, 16, 5, 2, 2}, relu));
  result.push_back(make_convolution({14, 14, 16, 7, 7, 32, 5, 2, 2}, relu));
  result.push_back(make_convolution({7, 7, 32, 4, 4, 64, 3, 2, 1}, relu));
  result.push_back(make_linear(4 * 4 * 64, Judge::features, relu, {}, ImageShape{4, 4, 64}));
  result.push_back(make_linear(Judge::features, Judge::classes, Activation{}));
  return result;
}

// An image scaled to 0 … 1 and moved by whole pixels; what comes in from outside is black.
void copy_shifted(const std::uint8_t* from, int right, int down, float* to) {
  for (int y = 0; y < Judge::side; ++y)
    for (int x = 0; x < Judge::side; ++x) {
      const int fx = x - right;
      const int fy = y - down;
      const bool inside = fx >= 0 && fx < Judge::side && fy >= 0 && fy < Judge::side;
      to[y * Judge::side + x] = inside ? static_cast<float>(from[fy * Judge::side + fx]) / 255 : 0.0F;
    }
}

// Softmax cross-entropy of one row, and its derivative by the logits: probabilities less truth, times `scale`.
double cross_entropy(const float* logits, int label, float scale, float* delta) {
  const float top = *std::max_element(logits, logits + Judge::classes);
  double sum = 0;
  for (int c = 0; c < Judge::classes; ++c) sum += std::exp(static_cast<double>(logits[c] - top));
  for (int c = 0; c < Judge::classes; ++c) {
    const double probability = std::exp(static_cast<double>(logits[c] - top)) / sum;
    delta[c] = scale * static_cast<float>(probability - (c == label ? 1 : 0));
  }
  return std::log(sum) - static_cast<double>(logits[label] - top);
}

}  // namespace

Judge::Judge(Device& device)
    : network_(device, layers()), tape_(network_.make_tape(most_block_images, false)), x_(most_block_images * pixels) {}

Judge::Judge(Device& device, const TensorFile& file, const std::string& source) : Judge(device) {
  network_.load(file, source);
}

void Judge::train(const ImageSet& training, std::span<const std::uint32_t> which, const JudgeRecipe& recipe,
                  const std::function<void(int epoch, double loss)>& done) {
  Device& device = network_.device();
  const auto size = static_cast<std::uint32_t>(which.size());
  const auto batch = static_cast<std::uint32_t>(recipe.batch);
  const std::uint32_t steps = size / batch;  // an epoch leaves out the rest, another one each time
  const std::size_t parameters = network_.parameter_count();
  OptimizerConstants constants;
  constants.learning_rate = recipe.learning_rate;
  constants.beta1 = 0.9;
  constants.schedule = {schedule_index("cosine"), 0, 0,
                        std::uint64_t{steps} * static_cast<std::uint64_t>(recipe.epochs)};
  Optimizer adam("adam", constants, device, parameters);
  network_.initialise(recipe.seed, static_cast<std::uint32_t>(math::Stream::init_judge));
  DeviceArray<float> average(device, parameters);
  average.assign(network_.parameters());
  DeviceArray<float> x(device, batch * pixels);
  DeviceArray<float> gradient(device, parameters);
  DeviceArray<double> norm(device, 1);
  DeviceArray<std::uint64_t> updates(device, 1);
  const BatchLayout layout{1, recipe.batch, {0, recipe.batch}};
  Tape tape = network_.make_tape(recipe.batch, false);
  const auto places = static_cast<std::uint32_t>(2 * recipe.shift + 1);
  for (int epoch = 0; epoch < recipe.epochs; ++epoch) {
    const math::Permutation order(recipe.seed, static_cast<std::uint64_t>(epoch), size);
    double loss = 0;
    for (std::uint32_t at = 0; at + batch <= size; at += batch) {
      std::vector<int> labels;
      for (std::uint32_t row = 0; row < batch; ++row) {
        const std::uint32_t image = which[order(at + row)];
        const math::Philox4 random = math::philox_draw(recipe.seed, math::Stream::judge_shifts,
                                                       static_cast<std::uint64_t>(epoch) * size + at + row, 0);
        copy_shifted(training.images.data() + image * pixels, static_cast<int>(random.v[0] % places) - recipe.shift,
                     static_cast<int>(random.v[1] % places) - recipe.shift, x.data() + row * pixels);
        labels.push_back(training.labels[image]);
      }
      network_.forward(layout, x.data(), tape);
      for (std::size_t row = 0; row < batch; ++row)
        loss += cross_entropy(tape.output() + row * classes, labels[row], 1.0F / static_cast<float>(recipe.batch),
                              tape.delta() + row * classes);
      network_.backward(layout, 0, tape);
      network_.gradients(layout, 0, x.data(), tape, nullptr, false, {gradient.data()});
      device.sum_of_squares(parameters, gradient.data(), norm.data());
      adam.update({updates.data()}, norm.data(), gradient.data(), network_.parameters(),
                  {average.data(), static_cast<float>(recipe.average)});
      ++*updates.data();
    }
    done(epoch, loss / (static_cast<double>(steps) * recipe.batch));
  }
  device.copy(network_.parameters(), average.data(), average.bytes());
  scale_features(training, which);
}

void Judge::scale_features(const ImageSet& training, std::span<const std::uint32_t> which) {
  std::vector<std::uint8_t> images(most_block_images * pixels);
  std::vector<float> of_block(static_cast<std::size_t>(most_block_images) * features);
  std::vector<float> logits(static_cast<std::size_t>(most_block_images) * classes);
  double squares = 0;
  const Dealt dealt(which.size());
  for (std::uint64_t b = 0; b < dealt.blocks(); ++b) {
    const auto n = static_cast<std::size_t>(dealt.size(b));
    for (std::size_t i = 0; i < n; ++i)
      std::copy_n(training.images.data() + which[dealt.first(b) + i] * pixels, pixels, images.data() + i * pixels);
    look_at(images.data(), dealt.size(b), of_block.data(), logits.data());
    for (std::size_t k = 0; k < n * features; ++k)
      squares += static_cast<double>(of_block[k]) * static_cast<double>(of_block[k]);
  }
  // A multiple of a ReLU's input is the same multiple of its output, which the next layer takes back.
  const double scale = std::sqrt(static_cast<double>(which.size() * features) / squares);
  TensorFile scaled{tensors(), {}};
  for (Tensor& tensor : scaled.tensors) {
    const double factor = tensor.name.starts_with("7.") ? scale : tensor.name == "9.weight" ? 1 / scale : 1;
    for (float& value : tensor.values) value = static_cast<float>(factor * static_cast<double>(value));
  }
  network_.load(scaled, "the scaled judge");
}

void Judge::look_at(const std::uint8_t* images, int count, float* to_features, float* logits) {
  const auto n = static_cast<std::size_t>(count);
  std::transform(images, images + n * pixels, x_.begin(),
                 [](std::uint8_t value) { return static_cast<float>(value) / 255; });
  network_.forward({1, count, {0, count}}, x_.data(), tape_, logits);
  const float* const hidden = tape_.output(network_.layers() - 2);
  std::copy(hidden, hidden + n * features, to_features);
}

Share Judge::accuracy(const ImageSet& labelled) {
  Share right{0, labelled.count};
  std::vector<float> unused(static_cast<std::size_t>(most_block_images) * features);
  std::vector<float> logits(static_cast<std::size_t>(most_block_images) * classes);
  const Dealt dealt(labelled.count);
  for (std::uint64_t b = 0; b < dealt.blocks(); ++b) {
    look_at(labelled.images.data() + dealt.first(b) * pixels, dealt.size(b), unused.data(), logits.data());
    for (int i = 0; i < dealt.size(b); ++i) {
      const float* const row = logits.data() + static_cast<std::ptrdiff_t>(i) * classes;
      const auto answer = std::max_element(row, row + classes) - row;
      right.part += answer == labelled.labels[dealt.first(b) + static_cast<std::uint64_t>(i)] ? 1 : 0;
    }
  }
  return right;
}

std::vector<std::uint32_t> images_outside(const ImageSet& training, std::span<const ImageSet> others) {
  const auto image = [](const ImageSet& set, std::uint32_t i) {
    const auto size = static_cast<std::size_t>(set.pixels());
    return std::string_view(reinterpret_cast<const char*>(set.images.data()) + i * size, size);
  };
  std::unordered_set<std::string_view> known;
  for (const ImageSet& set : others)
    for (std::uint32_t i = 0; i < set.count; ++i) known.insert(image(set, i));
  std::vector<std::uint32_t> outside;
  for (std::uint32_t i = 0; i < training.count; ++i)
    if (!known.contains(image(training, i))) outside.push_back(i);
  return outside;
}

}  // namespace ganymede::eval
