// See diagnostics.hpp.
#include "train/diagnostics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <variant>

#include "eval/feature_metrics.hpp"
#include "eval/shipped_judge.hpp"
#include "ganymede/error.hpp"
#include "report/image_grid.hpp"
#include "report/real_images.hpp"

namespace ganymede {
namespace {

/// Σ over the pixels of their variance over the images.
double total_variance(const std::vector<float>& images, int count) {
  const std::size_t size = images.size() / static_cast<std::size_t>(count);
  double total = 0;
  for (std::size_t pixel = 0; pixel < size; ++pixel) {
    double sum = 0;
    double squares = 0;
    for (std::size_t at = pixel; at < images.size(); at += size) {
      sum += images[at];
      squares += static_cast<double>(images[at]) * images[at];
    }
    const double mean = sum / count;
    total += squares / count - mean * mean;
  }
  return total;
}

/// ‖after - before‖ / ‖before‖ of the first `count` elements; where there is nothing to compare with, unknown.
double relative_change(const std::vector<float>& before, const std::vector<float>& after, std::size_t count) {
  double change = 0;
  double norm = 0;
  for (std::size_t i = 0; i < count; ++i) {
    change += std::pow(static_cast<double>(after[i]) - before[i], 2);
    norm += static_cast<double>(before[i]) * before[i];
  }
  return norm > 0 ? std::sqrt(change / norm) : MetricsRecord::unknown;
}

}  // namespace

Diagnostics::Diagnostics(const TrainOptions& options, Gan& gan, Sampler& sampler, const ImageSet& images,
                         const ImageSet& held_out, bool digits)
    : options_(options),
      gan_(gan),
      sampler_(sampler),
      real_(real_images(images, options.seed, samples, gan.data.classes)),
      real_variance_(total_variance(real_, samples)),
      compared_(static_cast<int>(std::min({compared, images.count, held_out.count}))),
      tape_(gan.discriminator.make_tape(samples, false)),
      x_(gan.discriminator.device(), real_.size()),
      y_(gan.discriminator.device(), samples) {
  if (digits && eval::Judge::takes(images)) {
    try {
      const eval::ShippedJudge shipped = eval::read_judge({});
      judges_device_ = make_cpu_device(1);
      judge_.emplace(*judges_device_, shipped.file, shipped.source);
    } catch (const Error& failure) {
      warning_ = std::string("diagnoses will not count classes: ") + failure.what();
    }
  }
  if (compared_ > 0) {
    seen_ = real_images(images, options.seed, compared_, gan.data.classes);
    held_out_ = real_images(held_out, options.seed, compared_, gan.data.classes);
  }
  Device& device = gan.discriminator.device();
  if (has_slope()) gradient_ = DeviceArray<float>(device, real_.size());
  if (gan.data.classes == 0) return;
  labels_ = DeviceArray<std::uint8_t>(device, samples);
  tape_.set_labels(labels_.data());
}

void Diagnostics::show(const std::vector<float>& images, int first, int count) {
  const std::size_t size = real_.size() / samples;
  Device& device = gan_.discriminator.device();
  device.upload(x_.data(), images.data() + static_cast<std::size_t>(first) * size,
                static_cast<std::size_t>(count) * size * sizeof(float));
  if (gan_.data.classes == 0) return;
  // As the sampler and real_images() have them.
  std::vector<std::uint8_t> classes;
  for (int i = first; i < first + count; ++i)
    classes.push_back(static_cast<std::uint8_t>(sampler_.class_of(static_cast<std::uint64_t>(i))));
  device.upload(labels_.data(), classes.data(), classes.size());
}

bool Diagnostics::has_slope() const {
  const Network& d = gan_.discriminator;
  for (int l = 0; l < d.layers(); ++l) {
    const LayerOperation operation = d.layer(l).operation();
    if (std::holds_alternative<NormalisationOperation>(operation) ||
        std::holds_alternative<IdentityOperation>(operation))
      return false;
  }
  return true;
}

void Diagnostics::before_step(std::uint64_t steps) {
  discriminator_before_ = gan_.discriminator.parameter_array().host();
  generator_before_ = gan_.generator.parameter_array().host();
  before_ = steps;
}

void Diagnostics::measure(std::uint64_t steps, MetricsRecord& record) {
  const std::vector<float> drawn =
      sampler_.draw(gan_.picture_parameters(), options_.seed, math::Stream::noise_for_grid, 0, samples);
  record.diagnosed_step = static_cast<double>(steps);
  record.sample_diversity =
      real_variance_ > 0 ? total_variance(drawn, samples) / real_variance_ : MetricsRecord::unknown;
  if (judge_) record.sample_classes = classes_seen(drawn);
  if (compared_ > 0) record.held_out_gap = held_out_gap(drawn);
  if (gradient_.size() > 0) {
    record.real_slope = mean_slope(real_);
    record.fake_slope = mean_slope(drawn);
  }
  if (!before_ || *before_ + 1 != steps) return;
  record.discriminator_update_ratio = relative_change(
      discriminator_before_, gan_.discriminator.parameter_array().host(), gan_.discriminator.parameter_count());
  record.generator_update_ratio =
      relative_change(generator_before_, gan_.generator.parameter_array().host(), gan_.generator.parameter_count());
}

double Diagnostics::mean_slope(const std::vector<float>& images) {
  Network& d = gan_.discriminator;
  Device& device = d.device();
  const BatchLayout layout{1, samples, {0, samples}};
  show(images, 0, samples);
  d.forward(layout, x_.data(), tape_);
  const std::vector<float> ones(samples, 1.0F);
  device.upload(tape_.delta(), ones.data(), ones.size() * sizeof(float));
  d.backward(layout, 0, tape_);
  d.backward_input(layout, 0, tape_, {}, x_.data(), gradient_.data());
  const std::vector<float> gradient = gradient_.host();
  const std::size_t size = gradient.size() / samples;
  double sum = 0;
  for (std::size_t i = 0; i < samples; ++i) {
    double squares = 0;
    for (std::size_t j = i * size; j < (i + 1) * size; ++j) squares += static_cast<double>(gradient[j]) * gradient[j];
    sum += std::sqrt(squares);
  }
  return sum / samples;
}

Diagnostics::Scores Diagnostics::scores(const std::vector<float>& images, int count) {
  Network& d = gan_.discriminator;
  double sum = 0;
  double squares = 0;
  std::vector<float> outputs(samples);
  for (int first = 0; first < count; first += samples) {
    const int rows = std::min(samples, count - first);
    show(images, first, rows);
    d.evaluate({1, rows, {0, rows}}, d.parameter_array(), x_.data(), tape_, y_.data());
    d.device().download(outputs.data(), y_.data(), static_cast<std::size_t>(rows) * sizeof(float));
    for (int i = 0; i < rows; ++i) {
      const double output = outputs[static_cast<std::size_t>(i)];
      sum += output;
      squares += output * output;
    }
  }
  const double mean = sum / count;
  return {mean, (squares / count - mean * mean) / count};
}

double Diagnostics::held_out_gap(const std::vector<float>& drawn) {
  const Scores seen = scores(seen_, compared_);
  const Scores held_out = scores(held_out_, compared_);
  const Scores generated = scores(drawn, samples);
  // Where D hardly tells real images from generated ones, chance would set the scale.
  const double sure = 3 * std::sqrt(std::max(seen.squared_error + generated.squared_error, 0.0));
  const double margin = std::max(seen.mean - generated.mean, sure);
  return margin > 0 ? (seen.mean - held_out.mean) / margin : 0;
}

double Diagnostics::classes_seen(const std::vector<float>& images) {
  const auto channels = static_cast<std::size_t>(gan_.data.image.channels);
  const std::size_t pixels = images.size() / samples / channels;
  std::vector<std::uint8_t> one(samples * pixels);
  std::vector<float> features(static_cast<std::size_t>(samples) * eval::Judge::features);
  std::vector<float> logits(static_cast<std::size_t>(samples) * eval::Judge::classes);
  std::array<std::uint64_t, eval::Judge::classes> counts{};
  for (std::size_t channel = 0; channel < channels; ++channel) {
    for (std::size_t p = 0; p < one.size(); ++p) one[p] = grey_level(images[p * channels + channel]);
    judge_->look_at(one.data(), samples, features.data(), logits.data());
    const std::vector<std::uint64_t> of_channel = eval::class_histogram(logits, eval::Judge::classes);
    std::transform(counts.begin(), counts.end(), of_channel.begin(), counts.begin(), std::plus<>());
  }
  const double least = 0.2 * static_cast<double>(samples * channels) / eval::Judge::classes;
  return static_cast<double>(std::count_if(counts.begin(), counts.end(),
                                           [&](std::uint64_t count) { return static_cast<double>(count) >= least; }));
}

}  // namespace ganymede
