// See batch_norms.hpp.
#include "device/cpu/batch_norms.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>

#include "math/fixed_point.hpp"

namespace ganymede::cpu {
namespace {

float inverse_deviation(const BatchNorm& norm, double variance) {
  return static_cast<float>(1 / std::sqrt(variance + static_cast<double>(norm.epsilon)));
}

// Elements of one part of the batch.
std::size_t part_size(const BatchLayout& layout, const BatchNorm& norm) {
  return product(layout.rows, norm.pixels) * static_cast<std::size_t>(norm.channels);
}

// The elements of as many whole pixels as fit into a row of the kernels, or of one.
int row_of(int channels, int least) { return channels * std::max(1, least / channels); }

// What a pass needs to know of each channel and part, laid out for its kernel.
template <std::size_t N>
struct Coefficients {
  template <class Values>
  Coefficients(Workspace<float>& memory, const BatchLayout& layout, const BatchNorm& norm, Values&& of)
      : row(row_of(norm.channels, norm_row)) {
    const auto length = static_cast<std::size_t>(row);
    const auto channels = static_cast<std::size_t>(norm.channels);
    constexpr std::size_t line = 64;  // vectors of AVX-512 that begin elsewhere take twice as long to load
    const std::size_t count = static_cast<std::size_t>(layout.parts) * N * length;
    std::size_t space = count * sizeof(float) + line;
    void* aligned = memory.get(count + line / sizeof(float));
    auto* to = static_cast<float*>(std::align(line, count * sizeof(float), aligned, space));
    values = to;
    for (std::size_t part = 0; part < static_cast<std::size_t>(layout.parts); ++part, to += N * length) {
      for (std::size_t c = 0; c < channels; ++c) {
        const std::array<float, N> coefficients = of(part, c);
        for (std::size_t i = 0; i < N; ++i)
          for (std::size_t j = c; j < length; j += channels) to[i * length + j] = coefficients[i];
      }
    }
  }
  int row;
  const float* values;
};

}  // namespace

// Fixed-point sums of finish(part, channel, Σ a, Σ a · b), which changes the two sums of a shard.
template <class Finish>
void BatchNorms::sum_batch(const BatchLayout& layout, const BatchNorm& norm, const float* a, const float* b,
                           std::int64_t* sums, Finish&& finish) {
  const std::size_t pixel_row = product(norm.pixels, norm.channels);
  const auto channels = static_cast<std::size_t>(norm.channels);
  const auto row = static_cast<std::size_t>(row_of(norm.channels, norm_sum_row));
  const std::size_t most = row * norm_sum_rows;
  stretches_.clear();
  for_shards(layout, [&](int part, int first, int rows) {
    std::size_t begin = static_cast<std::size_t>(part * layout.rows + first) * pixel_row;
    const std::size_t end = begin + static_cast<std::size_t>(rows) * pixel_row;
    for (; begin < end; begin += most) stretches_.push_back({begin, std::min(most, end - begin)});
  });
  double* partial = partial_.get(stretches_.size() * 2 * row);
  engine_.run(engine_.kernels.batch_norm_sums,
              {static_cast<int>(row), static_cast<int>(stretches_.size()), stretches_.data(), a, b, partial},
              4 * static_cast<std::size_t>(layout.total_rows()) * pixel_row);

  std::int64_t& overflow = sums[norm.sums(layout.parts) - 1];
  std::fill(sums, &overflow + 1, 0);
  const auto add = [&overflow](double value, std::int64_t& to) {
    if (math::fits_fixed_point(value)) {
      to += math::to_fixed_point(value);
    } else {
      ++overflow;
    }
  };
  for_shards(layout, [&](int part, int, int rows) {
    const std::size_t stretches = (static_cast<std::size_t>(rows) * pixel_row + most - 1) / most;
    if (stretches == 0) return;
    double* shard = partial;
    for (std::size_t i = 1; i < stretches; ++i)
      for (std::size_t j = 0; j < 2 * row; ++j) shard[j] += partial[i * 2 * row + j];
    for (std::size_t j = channels; j < row; ++j) {
      shard[j % channels] += shard[j];
      shard[row + j % channels] += shard[row + j];
    }
    std::int64_t* to = sums + static_cast<std::size_t>(part) * 2 * channels;
    for (std::size_t c = 0; c < channels; ++c) {
      double& sum = shard[c];
      double& product = shard[row + c];
      finish(part, c, sum, product);
      add(sum, to[c]);
      add(product, to[channels + c]);
    }
    partial += stretches * 2 * row;
  });
}

void BatchNorms::moments(const BatchLayout& layout, const BatchNorm& norm, const float* x, std::int64_t* sums) {
  const double unit = BatchNorm::moment_unit * norm.count;
  sum_batch(layout, norm, x, x, sums, [unit](int, std::size_t, double& sum, double& square) {
    sum /= unit;
    square /= unit;
  });
}

void BatchNorms::statistics(int parts, const BatchNorm& norm, const std::int64_t* moments, float* statistics,
                            float* running) {
  const auto channels = static_cast<std::size_t>(norm.channels);
  if (moments[norm.sums(parts) - 1] != 0) {
    std::fill(statistics, statistics + static_cast<std::size_t>(parts) * 2 * channels,
              std::numeric_limits<float>::quiet_NaN());
    return;
  }
  const double unbiased = norm.count > 1 ? norm.count / (norm.count - 1) : 1;
  const double momentum = norm.momentum;
  const auto follow = [momentum](float& average, double value) {
    average = static_cast<float>((1 - momentum) * static_cast<double>(average) + momentum * value);
  };
  for (int part = 0; part < parts; ++part, moments += 2 * channels, statistics += 2 * channels) {
    for (std::size_t c = 0; c < channels; ++c) {
      const double mean = BatchNorm::moment_unit * math::from_fixed_point(moments[c]);
      const double square = BatchNorm::moment_unit * math::from_fixed_point(moments[channels + c]);
      const double variance = std::max(0.0, square - mean * mean);
      statistics[c] = static_cast<float>(mean);
      statistics[channels + c] = inverse_deviation(norm, variance);
      if (running == nullptr) continue;
      follow(running[c], mean);
      follow(running[channels + c], unbiased * variance);
    }
  }
}

void BatchNorms::frozen(const BatchNorm& norm, const float* running, float* statistics) {
  const auto channels = static_cast<std::size_t>(norm.channels);
  std::copy(running, running + channels, statistics);
  for (std::size_t c = channels; c < 2 * channels; ++c)
    statistics[c] = inverse_deviation(norm, static_cast<double>(running[c]));
}

void BatchNorms::forward(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* statistics,
                         const float* gamma, const float* beta, Activation sigma, float* y) {
  const auto channels = static_cast<std::size_t>(norm.channels);
  // The mean is taken off before anything else: in a channel of much smaller deviation, scale · x would round off
  // what is wanted.
  const Coefficients<3> coefficients(coefficients_, layout, norm,
                                     [&](std::size_t part, std::size_t c) -> std::array<float, 3> {
                                       const float* mean = statistics + part * 2 * channels + c;
                                       return {mean[0], gamma[c] * mean[channels], beta[c]};
                                     });
  const std::size_t size = part_size(layout, norm);
  engine_.run(engine_.kernels.batch_norm_forward,
              {layout.parts, size, coefficients.row, coefficients.values, x, sigma.kind, sigma.parameter, y},
              4 * static_cast<std::size_t>(layout.parts) * size);
}

void BatchNorms::adjoints(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* delta,
                          const float* statistics, std::int64_t* sums) {
  const auto channels = static_cast<std::size_t>(norm.channels);
  sum_batch(layout, norm, delta, x, sums, [=](int part, std::size_t c, double& sum, double& product) {
    const float* mean = statistics + static_cast<std::size_t>(part) * 2 * channels + c;
    product = (product - static_cast<double>(mean[0]) * sum) * static_cast<double>(mean[channels]);
  });
}

void BatchNorms::gradients(int parts, const BatchNorm& norm, const std::int64_t* adjoints, bool accumulate,
                           const SumTarget& dgamma, const SumTarget& dbeta) {
  const auto channels = static_cast<std::size_t>(norm.channels);
  const bool fits = adjoints[norm.sums(parts) - 1] == 0;
  const auto gather = [&](const std::int64_t* sums, const SumTarget& target) {
    if (!target.wanted()) return;
    clear(channels, accumulate, target);
    if (target.exact() && !fits) ++*target.overflow;
    for (std::size_t c = 0; c < channels; ++c) {
      std::int64_t sum = 0;
      for (int part = 0; part < parts; ++part) sum += sums[static_cast<std::size_t>(part) * 2 * channels + c];
      if (target.exact()) {
        target.fixed[c] += sum;
      } else {
        target.values[c] +=
            fits ? static_cast<float>(math::from_fixed_point(sum)) : std::numeric_limits<float>::quiet_NaN();
      }
    }
  };
  gather(adjoints, dbeta);
  gather(adjoints + channels, dgamma);
}

void BatchNorms::backward_data(const BatchLayout& layout, const BatchNorm& norm, const float* x, const float* delta,
                               const float* statistics, const float* gamma, const std::int64_t* adjoints,
                               Activation below, float* delta_in) {
  const auto channels = static_cast<std::size_t>(norm.channels);
  // Sums without what did not fit are no sums.
  const double count =
      adjoints[norm.sums(layout.parts) - 1] == 0 ? norm.count : std::numeric_limits<double>::quiet_NaN();
  const Coefficients<4> coefficients(
      coefficients_, layout, norm, [&](std::size_t part, std::size_t c) -> std::array<float, 4> {
        const float* mean = statistics + part * 2 * channels + c;
        const std::int64_t* sum = adjoints + part * 2 * channels + c;
        const auto inverse = static_cast<double>(mean[channels]);
        const double scale = static_cast<double>(gamma[c]) * inverse;
        return {mean[0], static_cast<float>(scale),
                static_cast<float>(-scale * inverse * math::from_fixed_point(sum[channels]) / count),
                static_cast<float>(-scale * math::from_fixed_point(sum[0]) / count)};
      });
  const std::size_t size = part_size(layout, norm);
  engine_.run(
      engine_.kernels.batch_norm_backward_data,
      {layout.parts, size, coefficients.row, coefficients.values, x, delta, below.kind, below.parameter, delta_in},
      4 * static_cast<std::size_t>(layout.parts) * size);
}

}  // namespace ganymede::cpu
