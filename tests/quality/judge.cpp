// See judge.hpp.
#include "judge.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numbers>
#include <numeric>
#include <random>

#include "nn/optimizer.hpp"

namespace ganymede::quality {
namespace {

constexpr std::size_t pixels = 784;
constexpr int classes = 10;

// In independent partial sums, so that a compiler may use vectors.
float squared_distance(const float* a, const float* b) {
  constexpr std::size_t lanes = 16;
  static_assert(pixels % lanes == 0);
  float sums[lanes] = {};
  for (std::size_t i = 0; i < pixels; i += lanes)
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      const float difference = a[i + lane] - b[i + lane];
      sums[lane] += difference * difference;
    }
  return std::accumulate(std::begin(sums), std::end(sums), 0.0F);
}

// [images, samples]
std::vector<float> squared_distances(std::span<const float> images, std::span<const float> samples) {
  std::vector<float> result;
  result.reserve(images.size() / pixels * (samples.size() / pixels));
  for (std::size_t i = 0; i < images.size(); i += pixels)
    for (std::size_t s = 0; s < samples.size(); s += pixels)
      result.push_back(squared_distance(&images[i], &samples[s]));
  return result;
}

// Mean over images of log mean over samples of the normal density of width sigma around the sample.
double log_likelihood(const std::vector<float>& squares, std::size_t samples, double sigma) {
  const double scale = -0.5 / (sigma * sigma);
  double total = 0;
  for (std::size_t i = 0; i < squares.size(); i += samples) {
    const auto row = std::span(squares).subspan(i, samples);
    const double nearest = *std::min_element(row.begin(), row.end());
    double sum = 0;
    for (const float square : row) sum += std::exp(scale * (square - nearest));
    total += scale * nearest + std::log(sum / static_cast<double>(samples));
  }
  return total * static_cast<double>(samples) / static_cast<double>(squares.size()) -
         static_cast<double>(pixels) * std::log(sigma * std::sqrt(2 * std::numbers::pi));
}

// Mean distance of a sample to the nearest of the images.
double nearest_image(std::span<const float> samples, std::span<const float> images) {
  double total = 0;
  for (std::size_t s = 0; s < samples.size(); s += pixels) {
    float nearest = std::numeric_limits<float>::max();
    for (std::size_t i = 0; i < images.size(); i += pixels)
      nearest = std::min(nearest, squared_distance(&samples[s], &images[i]));
    total += std::sqrt(nearest);
  }
  return total * static_cast<double>(pixels) / static_cast<double>(samples.size());
}

// Mean distance of an image to the nearest other one of the same set.
double nearest_other(std::span<const float> images) {
  const std::size_t count = images.size() / pixels;
  std::vector<float> nearest(count, std::numeric_limits<float>::max());
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t j = i + 1; j < count; ++j) {
      const float square = squared_distance(&images[i * pixels], &images[j * pixels]);
      nearest[i] = std::min(nearest[i], square);
      nearest[j] = std::min(nearest[j], square);
    }
  double total = 0;
  for (const float square : nearest) total += std::sqrt(square);
  return total / static_cast<double>(count);
}

Network make_classifier(Device& device) {
  std::vector<std::unique_ptr<Layer>> layers;
  layers.push_back(make_linear(pixels, 128, Activation::named("relu")));
  layers.push_back(make_linear(128, classes, Activation{}));
  return {device, std::move(layers)};
}

}  // namespace

int Verdict::classes() const {
  return static_cast<int>(std::count_if(shares.begin(), shares.end(), [](double share) { return share >= 0.02; }));
}

std::string Verdict::text() const {
  char line[256];
  std::snprintf(line, sizeof line,
                "Parzen %.1f nats (width %.3f), distance %.3f, spread %.3f, classes %d; their shares in %%:", parzen,
                sigma, distance, spread, classes());
  std::string result = line;
  for (const double share : shares) {
    std::snprintf(line, sizeof line, " %.1f", 100 * share);
    result += line;
  }
  result += "\n";
  return result;
}

std::vector<float> pixels_of(const ImageSet& set, std::uint32_t first, std::uint32_t count) {
  const auto bytes = set.images.subspan(first * pixels, count * pixels);
  std::vector<float> result(bytes.size());
  std::transform(bytes.begin(), bytes.end(), result.begin(),
                 [](std::uint8_t b) { return static_cast<float>(b) / 255; });
  return result;
}

Judge::Judge(Device& device, const ImageSet& training, const ImageSet& test)
    : classifier_(make_classifier(device)),
      held_out_(pixels_of(training, training.count - 10000, 5000)),
      test_(pixels_of(test, 0, 1000)),
      real_spread_(nearest_other(pixels_of(training, 0, 1000))) {
  real_distance_ = nearest_image(test_, held_out_);
  learn(training);
  const std::vector<int> answers = classify(pixels_of(test, 0, test.count));
  accuracy_ =
      std::inner_product(answers.begin(), answers.end(), test.labels.begin(), 0.0, std::plus<>(), std::equal_to<>()) /
      test.count;
}

void Judge::learn(const ImageSet& training) {
  constexpr int batch = 100;
  constexpr int epochs = 2;
  Device& device = classifier_.device();
  classifier_.initialise(1, 0);
  const std::size_t parameters = classifier_.parameter_count();
  OptimizerConstants constants;
  constants.learning_rate = 1e-3;
  constants.beta1 = 0.9;
  Optimizer adam("adam", constants, device, parameters);
  const BatchLayout layout{1, batch, {0, batch}};
  Tape tape = classifier_.make_tape(batch, false);
  DeviceArray<float> x(device, batch * pixels);
  DeviceArray<float> gradient(device, parameters);
  DeviceArray<double> norm(device, 1);
  DeviceArray<std::uint64_t> step(device, 1);
  std::vector<std::uint32_t> order(training.count);
  std::iota(order.begin(), order.end(), 0U);
  std::mt19937 random(1);
  for (int epoch = 0; epoch < epochs; ++epoch) {
    std::shuffle(order.begin(), order.end(), random);
    for (std::size_t at = 0; at + batch <= order.size(); at += batch) {
      for (std::size_t row = 0; row < batch; ++row) {
        const std::vector<float> image = pixels_of(training, order[at + row], 1);
        std::copy(image.begin(), image.end(), x.data() + row * pixels);
      }
      classifier_.forward(layout, x.data(), tape);
      // Softmax cross-entropy: its derivative by a logit is probability less truth.
      for (std::size_t row = 0; row < batch; ++row) {
        const float* logits = tape.output() + row * classes;
        float* delta = tape.delta() + row * classes;
        const float top = *std::max_element(logits, logits + classes);
        std::transform(logits, logits + classes, delta, [&](float logit) { return std::exp(logit - top); });
        const float sum = std::accumulate(delta, delta + classes, 0.0F);
        std::for_each(delta, delta + classes, [&](float& d) { d /= sum * batch; });
        delta[training.labels[order[at + row]]] -= 1.0F / batch;
      }
      classifier_.backward(layout, 0, tape);
      classifier_.gradients(layout, 0, x.data(), tape, nullptr, false, {gradient.data()});
      device.sum_of_squares(parameters, gradient.data(), norm.data());
      adam.update({step.data()}, norm.data(), gradient.data(), classifier_.parameters(), {});
      ++*step.data();
    }
  }
}

std::vector<int> Judge::classify(std::span<const float> images) {
  const auto count = static_cast<int>(images.size() / pixels);
  Tape tape = classifier_.make_tape(count, false);
  classifier_.forward({1, count, {0, count}}, images.data(), tape);
  std::vector<int> answers;
  for (int i = 0; i < count; ++i) {
    const float* logits = tape.output() + static_cast<std::ptrdiff_t>(i) * classes;
    answers.push_back(static_cast<int>(std::max_element(logits, logits + classes) - logits));
  }
  return answers;
}

Verdict Judge::judge(std::span<const float> samples) {
  const std::size_t count = samples.size() / pixels;
  Verdict verdict;
  const std::vector<float> to_held_out = squared_distances(std::span(held_out_).first(500 * pixels), samples);
  double best = -std::numeric_limits<double>::max();
  for (int i = 0; i < 10; ++i) {
    const double sigma = std::pow(10.0, i / 9.0 - 1);
    const double value = log_likelihood(to_held_out, count, sigma);
    if (value <= best) continue;
    best = value;
    verdict.sigma = sigma;
  }
  verdict.parzen = log_likelihood(squared_distances(test_, samples), count, verdict.sigma);
  const auto thousand = samples.first(std::min(count, std::size_t{1000}) * pixels);
  verdict.distance = nearest_image(thousand, held_out_) / real_distance_;
  verdict.spread = nearest_other(thousand) / real_spread_;
  const std::vector<int> answers = classify(thousand);
  for (const int answer : answers)
    verdict.shares[static_cast<std::size_t>(answer)] += 1.0 / static_cast<double>(answers.size());
  return verdict;
}

}  // namespace ganymede::quality
