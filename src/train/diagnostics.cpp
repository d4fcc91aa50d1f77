// See diagnostics.hpp.
#include "train/diagnostics.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <variant>

#include "eval/feature_metrics.hpp"
#include "eval/shipped_judge.hpp"
#include "ganymede/error.hpp"
#include "report/image_grid.hpp"
#include "report/real_images.hpp"
#include "train/evaluation.hpp"

namespace ganymede {
namespace {

double ratio(double squared_change, double squared_before) {
  return squared_before > 0 ? std::sqrt(squared_change / squared_before) : MetricsRecord::unknown;
}

/// Images first … first+count-1.
std::vector<float> part_of(const std::vector<float>& images, std::size_t image_size, std::uint64_t first,
                           std::uint64_t count) {
  const auto begin = images.begin() + static_cast<std::ptrdiff_t>(first * image_size);
  return {begin, begin + static_cast<std::ptrdiff_t>(count * image_size)};
}

// Which of the `samples` are a rank's.
int first_of(const Communicator& ranks) { return Diagnostics::samples * ranks.rank() / ranks.size(); }
int count_of(const Communicator& ranks) {
  return Diagnostics::samples * (ranks.rank() + 1) / ranks.size() - first_of(ranks);
}

// Whether D's slope can be had from a pass without training: not where it depends on the batch, or on draws.
bool has_slope(const Network& d) {
  for (int l = 0; l < d.layers(); ++l) {
    const LayerOperation operation = d.layer(l).operation();
    if (std::holds_alternative<NormalisationOperation>(operation) ||
        std::holds_alternative<IdentityOperation>(operation))
      return false;
  }
  return true;
}

}  // namespace

Diagnostics::Scores& Diagnostics::Scores::operator+=(const Scores& other) {
  sum += other.sum;
  squares += other.squares;
  return *this;
}

Diagnostics::Change& Diagnostics::Change::operator+=(const Change& other) {
  squared += other.squared;
  squared_before += other.squared_before;
  return *this;
}

Diagnostics::Part& Diagnostics::Part::operator+=(const Part& other) {
  real_slope += other.real_slope;
  fake_slope += other.fake_slope;
  generated += other.generated;
  seen += other.seen;
  held_out += other.held_out;
  for (std::size_t c = 0; c < classes.size(); ++c) classes[c] += other.classes[c];
  discriminator += other.discriminator;
  generator += other.generator;
  return *this;
}

Diagnostics::Range Diagnostics::range(std::uint64_t all, int part) {
  const auto up_to = [&](int parts) { return all * static_cast<std::uint64_t>(parts) / samples; };
  return {up_to(part), up_to(part + 1) - up_to(part)};
}

Diagnostics::Range Diagnostics::own(std::uint64_t all) const {
  const std::uint64_t first = range(all, first_).first;
  return {first, range(all, first_ + count_).first - first};
}

Diagnostics::Workspace::Workspace(const TrainOptions& options, const Gan& gan, const Communicator& ranks)
    : sampler(gan.generator, options, gan.data.classes, std::max(1, count_of(ranks))),
      tape(gan.discriminator.make_tape(std::max(1, count_of(ranks)), false)),
      x(gan.discriminator.device(),
        static_cast<std::size_t>(count_of(ranks)) * static_cast<std::size_t>(gan.generator.outputs())),
      y(gan.discriminator.device(), static_cast<std::size_t>(count_of(ranks))) {
  Device& device = gan.discriminator.device();
  if (has_slope(gan.discriminator)) gradient = DeviceArray<float>(device, x.size());
  if (gan.data.classes == 0) return;
  labels = DeviceArray<std::uint8_t>(device, y.size());
  tape.set_labels(labels.data());
}

Diagnostics::Diagnostics(const TrainOptions& options, Gan& gan, const ImageSet& images, const ImageSet& held_out,
                         bool digits, Communicator& ranks)
    : options_(options),
      gan_(gan),
      ranks_(ranks),
      first_(first_of(ranks)),
      count_(count_of(ranks)),
      image_size_(static_cast<std::size_t>(gan.generator.outputs())),
      groups_(gan.data.classes > 0 && 4 * gan.data.classes <= samples ? static_cast<std::size_t>(gan.data.classes) : 1),
      work_(options, gan, ranks),
      compared_(std::min({compared, images.count, held_out.count})) {
  if (digits && eval::Judge::takes(images)) {
    try {
      const eval::ShippedJudge shipped = shared_judge({}, ranks);
      judges_device_ = make_cpu_device(1);
      judge_.emplace(*judges_device_, shipped.file, shipped.source);
    } catch (const AgreedError& failure) {
      warning_ = std::string("diagnoses will not count classes: ") + failure.what();
    }
  }
  const auto own_part = [&](const ImageSet& set, std::uint64_t all) {
    const Range mine = own(all);
    return part_of(real_images(set, options.seed, static_cast<int>(all), gan.data.classes), image_size_, mine.first,
                   mine.count);
  };
  real_ = own_part(images, samples);
  real_variance_ = total_variance(real_);
  if (compared_ > 0) {
    seen_ = own_part(images, compared_);
    held_out_ = own_part(held_out, compared_);
  }
}

void Diagnostics::show(const std::vector<float>& images, std::uint64_t number, int at, int count) {
  Device& device = gan_.discriminator.device();
  device.upload(work_.x.data(), images.data() + static_cast<std::size_t>(at) * image_size_,
                static_cast<std::size_t>(count) * image_size_ * sizeof(float));
  if (gan_.data.classes == 0) return;
  // As the sampler and real_images() have them.
  std::vector<std::uint8_t> classes;
  for (int i = at; i < at + count; ++i)
    classes.push_back(static_cast<std::uint8_t>(work_.sampler.class_of(number + static_cast<std::uint64_t>(i))));
  device.upload(work_.labels.data(), classes.data(), classes.size());
}

std::vector<float> Diagnostics::parameters(const Network& network) const {
  const Range mine = own(network.parameter_count());
  std::vector<float> values(mine.count);
  if (mine.count == 0) return values;
  network.device().download(values.data(), network.parameter_array().data() + mine.first, mine.count * sizeof(float));
  return values;
}

void Diagnostics::before_step(std::uint64_t steps) {
  discriminator_before_ = parameters(gan_.discriminator);
  generator_before_ = parameters(gan_.generator);
  before_ = steps;
}

void Diagnostics::measure(std::uint64_t steps, MetricsRecord& record) {
  const bool sees_step = before_ && *before_ + 1 == steps;
  const std::vector<float> drawn =
      work_.sampler.draw(gan_.picture_parameters(), options_.seed, math::Stream::noise_for_grid,
                         static_cast<std::uint64_t>(first_), count_);
  parts_.assign(static_cast<std::size_t>(count_), {});
  if (judge_ && count_ > 0) count_classes(drawn);
  if (compared_ > 0) {
    score(drawn, samples, &Part::generated);
    score(seen_, compared_, &Part::seen);
    score(held_out_, compared_, &Part::held_out);
  }
  if (work_.gradient.size() > 0) {
    slopes(real_, &Part::real_slope);
    slopes(drawn, &Part::fake_slope);
  }
  if (sees_step) {
    compare(gan_.discriminator, discriminator_before_, &Part::discriminator);
    compare(gan_.generator, generator_before_, &Part::generator);
  }
  const double variance = total_variance(drawn);
  const Part all = gathered();
  record.diagnosed_step = static_cast<double>(steps);
  record.sample_diversity = real_variance_ > 0 ? variance / real_variance_ : MetricsRecord::unknown;
  if (judge_) {
    const double least = 0.2 * samples * gan_.data.image.channels / eval::Judge::classes;
    record.sample_classes = static_cast<double>(
        std::count_if(all.classes.begin(), all.classes.end(), [&](double count) { return count >= least; }));
  }
  if (compared_ > 0) record.held_out_gap = held_out_gap(all, compared_);
  if (has_slope(gan_.discriminator)) {
    record.real_slope = all.real_slope / samples;
    record.fake_slope = all.fake_slope / samples;
  }
  if (!sees_step) return;
  record.discriminator_update_ratio = ratio(all.discriminator.squared, all.discriminator.squared_before);
  record.generator_update_ratio = ratio(all.generator.squared, all.generator.squared_before);
}

void Diagnostics::slopes(const std::vector<float>& images, double Part::*to) {
  Network& d = gan_.discriminator;
  Device& device = d.device();
  const BatchLayout layout{1, count_, {0, count_}};
  show(images, static_cast<std::uint64_t>(first_), 0, count_);
  d.forward(layout, work_.x.data(), work_.tape);
  const std::vector<float> ones(static_cast<std::size_t>(count_), 1.0F);
  device.upload(work_.tape.delta(), ones.data(), ones.size() * sizeof(float));
  d.backward(layout, 0, work_.tape);
  d.backward_input(layout, 0, work_.tape, {}, work_.x.data(), work_.gradient.data());
  const std::vector<float> gradient = work_.gradient.host();
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    double squares = 0;
    for (std::size_t j = i * image_size_; j < (i + 1) * image_size_; ++j)
      squares += static_cast<double>(gradient[j]) * gradient[j];
    parts_[i].*to = std::sqrt(squares);
  }
}

void Diagnostics::score(const std::vector<float>& images, std::uint64_t all, Scores Part::*to) {
  Network& d = gan_.discriminator;
  const Range mine = own(all);
  std::vector<float> outputs(mine.count);
  const int count = static_cast<int>(mine.count);
  for (int at = 0; at < count; at += count_) {
    const int rows = std::min(count_, count - at);
    show(images, mine.first, at, rows);
    d.evaluate({1, rows, {0, rows}}, d.parameter_array(), work_.x.data(), work_.tape, work_.y.data());
    d.device().download(outputs.data() + at, work_.y.data(), static_cast<std::size_t>(rows) * sizeof(float));
  }
  for (int i = 0; i < count_; ++i) {
    const Range of_part = range(all, first_ + i);
    for (std::uint64_t j = 0; j < of_part.count; ++j) {
      const double output = outputs[of_part.first - mine.first + j];
      parts_[static_cast<std::size_t>(i)].*to += Scores{output, output * output};
    }
  }
}

void Diagnostics::count_classes(const std::vector<float>& images) {
  const auto channels = static_cast<std::size_t>(gan_.data.image.channels);
  const std::size_t pixels = image_size_ / channels;
  std::vector<std::uint8_t> one(parts_.size() * pixels);
  std::vector<float> features(parts_.size() * eval::Judge::features);
  std::vector<float> logits(parts_.size() * eval::Judge::classes);
  for (std::size_t channel = 0; channel < channels; ++channel) {
    for (std::size_t p = 0; p < one.size(); ++p) one[p] = grey_level(images[p * channels + channel]);
    judge_->look_at(one.data(), count_, features.data(), logits.data());
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const std::vector<std::uint64_t> seen = eval::class_histogram(
          std::span(logits).subspan(i * eval::Judge::classes, eval::Judge::classes), eval::Judge::classes);
      for (std::size_t c = 0; c < seen.size(); ++c) parts_[i].classes[c] += static_cast<double>(seen[c]);
    }
  }
}

void Diagnostics::compare(const Network& network, const std::vector<float>& before, Change Part::*to) {
  const std::vector<float> after = parameters(network);
  const std::uint64_t first = own(network.parameter_count()).first;
  for (int i = 0; i < count_; ++i) {
    const Range of_part = range(network.parameter_count(), first_ + i);
    Change& change = parts_[static_cast<std::size_t>(i)].*to;
    for (std::uint64_t j = of_part.first - first; j < of_part.first - first + of_part.count; ++j) {
      const double step = static_cast<double>(after[j]) - before[j];
      change += {step * step, static_cast<double>(before[j]) * before[j]};
    }
  }
}

Diagnostics::Part Diagnostics::gathered() {
  std::string mine(parts_.size() * sizeof(Part), '\0');
  if (!mine.empty()) std::memcpy(mine.data(), parts_.data(), mine.size());
  Part all;
  for (const std::string& theirs : ranks_.all_gather(mine)) {
    for (std::size_t at = 0; at < theirs.size(); at += sizeof(Part)) {
      Part part;
      std::memcpy(&part, theirs.data() + at, sizeof part);
      all += part;
    }
  }
  return all;
}

double Diagnostics::total_variance(const std::vector<float>& images) {
  // In integers, whose sums do not depend on how the images lie on the ranks.
  constexpr double unit = 1 << 24;
  std::vector<std::int64_t> sums((groups_ + 1) * image_size_);  // of each group's values; last, of all squares
  for (std::size_t i = 0; i < images.size(); ++i) {
    const std::int64_t value = std::llround(std::fmin(std::fmax(images[i], 0.0F), 1.0F) * unit);
    const std::size_t image = static_cast<std::size_t>(first_) + i / image_size_;
    sums[image % groups_ * image_size_ + i % image_size_] += value;
    sums[groups_ * image_size_ + i % image_size_] += value * value;
  }
  ranks_.all_sum(sums);
  double total = 0;
  for (std::size_t pixel = 0; pixel < image_size_; ++pixel) {
    total += static_cast<double>(sums[groups_ * image_size_ + pixel]);
    for (std::size_t group = 0; group < groups_; ++group) {
      const std::size_t count = (samples - 1 - group) / groups_ + 1;
      total -= std::pow(static_cast<double>(sums[group * image_size_ + pixel]), 2) / static_cast<double>(count);
    }
  }
  return total / (unit * unit) / samples;
}

double Diagnostics::held_out_gap(const Part& all, std::uint64_t compared) {
  const auto mean = [](const Scores& scores, double count) { return scores.sum / count; };
  const auto squared_error = [&](const Scores& scores, double count) {
    return (scores.squares / count - std::pow(mean(scores, count), 2)) / count;
  };
  const auto count = static_cast<double>(compared);
  const double seen = mean(all.seen, count);
  // Where D hardly tells real images from generated ones, chance would set the scale.
  const double sure =
      3 * std::sqrt(std::max(squared_error(all.seen, count) + squared_error(all.generated, samples), 0.0));
  const double margin = std::max(seen - mean(all.generated, samples), sure);
  return margin > 0 ? (seen - mean(all.held_out, count)) / margin : 0;
}

}  // namespace ganymede
