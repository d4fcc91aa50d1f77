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

LabelledImages images_of(const ImageSet& set, std::span<const std::uint32_t> which) {
  return {static_cast<std::uint32_t>(which.size()),
          [&set, which](std::span<const std::uint32_t> numbers, std::uint8_t* images, std::uint8_t* labels) {
            for (const std::uint32_t number : numbers) {
              images = std::copy_n(set.images.data() + which[number] * pixels, pixels, images);
              *labels++ = set.labels[which[number]];
            }
          }};
}

void for_each_batch(const JudgeRecipe& recipe, int epoch, std::uint32_t count,
                    const std::function<void(std::uint32_t first, std::span<const std::uint32_t> numbers)>& use) {
  const math::Permutation order(recipe.seed, static_cast<std::uint64_t>(epoch), count);
  std::vector<std::uint32_t> numbers(static_cast<std::size_t>(recipe.batch));
  const auto batch = static_cast<std::uint32_t>(recipe.batch);
  for (std::uint32_t first = 0; first + batch <= count; first += batch) {
    for (std::uint32_t row = 0; row < batch; ++row) numbers[row] = order(first + row);
    use(first, numbers);
  }
}

void Judge::train(const LabelledImages& images, const JudgeRecipe& recipe,
                  const std::function<void(int epoch, double loss)>& done) {
  Device& device = network_.device();
  const auto batch = static_cast<std::uint32_t>(recipe.batch);
  const std::uint32_t steps = images.count / batch;
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
  std::vector<std::uint8_t> read(batch * pixels);
  std::vector<std::uint8_t> labels(batch);
  DeviceArray<float> x(device, batch * pixels);
  DeviceArray<float> gradient(device, parameters);
  DeviceArray<double> norm(device, 1);
  DeviceArray<std::uint64_t> updates(device, 1);
  const BatchLayout layout{1, recipe.batch, {0, recipe.batch}};
  Tape tape = network_.make_tape(recipe.batch, false);
  const auto places = static_cast<std::uint32_t>(2 * recipe.shift + 1);
  for (int epoch = 0; epoch < recipe.epochs; ++epoch) {
    double loss = 0;
    for_each_batch(recipe, epoch, images.count, [&](std::uint32_t first, std::span<const std::uint32_t> numbers) {
      images.read(numbers, read.data(), labels.data());
      for (std::uint32_t row = 0; row < batch; ++row) {
        const math::Philox4 random = math::philox_draw(
            recipe.seed, math::Stream::judge_shifts, static_cast<std::uint64_t>(epoch) * images.count + first + row, 0);
        copy_shifted(read.data() + row * pixels, static_cast<int>(random.v[0] % places) - recipe.shift,
                     static_cast<int>(random.v[1] % places) - recipe.shift, x.data() + row * pixels);
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
    });
    done(epoch, loss / (static_cast<double>(steps) * recipe.batch));
  }
  device.copy(network_.parameters(), average.data(), average.bytes());
}

void Judge::scale_features(const LabelledImages& images) {
  std::vector<std::uint32_t> numbers(most_block_images);
  std::vector<std::uint8_t> read(most_block_images * pixels);
  std::vector<std::uint8_t> labels(most_block_images);
  std::vector<float> of_block(static_cast<std::size_t>(most_block_images) * features);
  std::vector<float> logits(static_cast<std::size_t>(most_block_images) * classes);
  double squares = 0;
  const Dealt dealt(images.count);
  for (std::uint64_t b = 0; b < dealt.blocks(); ++b) {
    const auto n = static_cast<std::size_t>(dealt.size(b));
    std::iota(numbers.begin(), numbers.end(), static_cast<std::uint32_t>(dealt.first(b)));
    images.read(std::span(numbers).first(n), read.data(), labels.data());
    look_at(read.data(), dealt.size(b), of_block.data(), logits.data());
    for (std::size_t k = 0; k < n * features; ++k)
      squares += static_cast<double>(of_block[k]) * static_cast<double>(of_block[k]);
  }
  // A multiple of a ReLU's input is the same multiple of its output, which the next layer takes back.
  const double scale = std::sqrt(static_cast<double>(images.count) * features / squares);
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
