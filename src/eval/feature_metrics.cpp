// See feature_metrics.hpp.
#include "eval/feature_metrics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "eval/symmetric_eigen.hpp"

namespace ganymede::eval {
namespace {

struct Moments {
  std::vector<double> mean;
  std::vector<double> covariance;  // [size, size], unbiased
};

Moments moments_of(const Features& features) {
  const auto size = static_cast<std::size_t>(features.size);
  const int n = features.count();
  Moments result{std::vector<double>(size), std::vector<double>(size * size)};
  for (int i = 0; i < n; ++i)
    for (std::size_t k = 0; k < size; ++k) result.mean[k] += static_cast<double>(features.row(i)[k]);
  for (double& mean : result.mean) mean /= n;
  std::vector<double> centred(size);
  for (int i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < size; ++k) centred[k] = static_cast<double>(features.row(i)[k]) - result.mean[k];
    for (std::size_t k = 0; k < size; ++k)
      for (std::size_t l = 0; l < size; ++l) result.covariance[k * size + l] += centred[k] * centred[l];
  }
  for (double& value : result.covariance) value /= n - 1;
  return result;
}

// tr((S T)^½): S T has the eigenvalues of the symmetric S^½ T S^½, which are not negative but for rounding.
double trace_of_root(const std::vector<double>& s, const std::vector<double>& t, int order) {
  const auto n = static_cast<std::size_t>(order);
  const SymmetricEigen of_s = symmetric_eigen(s, order);
  // Rows √λ·v: half · halfᵀ turned is S, and halves · T · halvesᵀ has the eigenvalues that are asked for.
  std::vector<double> halves = of_s.vectors;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t k = 0; k < n; ++k) halves[i * n + k] *= std::sqrt(std::max(0.0, of_s.values[i]));
  std::vector<double> by_t(n * n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t k = 0; k < n; ++k)
      for (std::size_t j = 0; j < n; ++j) by_t[i * n + j] += halves[i * n + k] * t[k * n + j];
  std::vector<double> product(n * n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      double sum = 0;
      for (std::size_t k = 0; k < n; ++k) sum += by_t[i * n + k] * halves[j * n + k];
      product[i * n + j] = sum;
    }
  const SymmetricEigen found = symmetric_eigen(std::move(product), order);
  double trace = 0;
  for (const double value : found.values) trace += std::sqrt(std::max(0.0, value));
  return trace;
}

double trace(const std::vector<double>& matrix, int order) {
  double sum = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(order); ++i)
    sum += matrix[i * static_cast<std::size_t>(order) + i];
  return sum;
}

// Rows of a set against all of another, a block at a time: use(i, products), products being row i's with `others`.
constexpr int block_rows = 256;

template <class Use>
void for_products(const Features& rows, int first, int count, const Features& others, int first_other, int other_count,
                  Device& device, std::vector<float>& memory, Use&& use) {
  for (int at = 0; at < count; at += block_rows) {
    const int n = std::min(block_rows, count - at);
    memory.resize(static_cast<std::size_t>(block_rows) * static_cast<std::size_t>(other_count));
    device.affine_forward(n, rows.size, other_count, rows.row(first + at), others.row(first_other), nullptr,
                          Activation{}, memory.data());
    for (int i = 0; i < n; ++i) use(first + at + i, memory.data() + static_cast<std::ptrdiff_t>(i) * other_count);
  }
}

// The sum of the kernel over all pairs of two subsets, but for those of a vector with itself where they are the same.
double kernel_sum(const Features& a, const Features& b, int first, int count, bool same, Device& device,
                  std::vector<float>& memory) {
  double sum = 0;
  for_products(a, first, count, b, first, count, device, memory, [&](int row, const float* products) {
    for (int j = 0; j < count; ++j) {
      if (same && j == row - first) continue;
      const double base = static_cast<double>(products[j]) / a.size + 1;
      sum += base * base * base;
    }
  });
  return sum;
}

std::vector<double> norms_of(const Features& features) {
  std::vector<double> norms(static_cast<std::size_t>(features.count()));
  for (int i = 0; i < features.count(); ++i)
    for (int k = 0; k < features.size; ++k) {
      const auto value = static_cast<double>(features.row(i)[k]);
      norms[static_cast<std::size_t>(i)] += value * value;
    }
  return norms;
}

// Calls use(row, squared distances to all of `others`) for this rank's blocks of rows.
template <class Use>
void for_own_distances(const Features& rows, const std::vector<double>& row_norms, const Features& others,
                       const std::vector<double>& other_norms, Device& device, const Communicator& ranks, Use&& use) {
  std::vector<float> memory;
  std::vector<double> squares(static_cast<std::size_t>(others.count()));
  for (int first = 0, block = 0; first < rows.count(); first += block_rows, ++block) {
    if (block % ranks.size() != ranks.rank()) continue;
    for_products(rows, first, std::min(block_rows, rows.count() - first), others, 0, others.count(), device, memory,
                 [&](int row, const float* products) {
                   const double norm = row_norms[static_cast<std::size_t>(row)];
                   for (std::size_t j = 0; j < squares.size(); ++j)
                     squares[j] = std::max(0.0, norm + other_norms[j] - 2 * static_cast<double>(products[j]));
                   use(row, squares);
                 });
  }
}

// Squared distance of each vector to its k-th nearest other one.
std::vector<double> radii(const Features& set, const std::vector<double>& norms, int k, Device& device,
                          Communicator& ranks) {
  std::vector<double> result(static_cast<std::size_t>(set.count()));
  std::vector<double> nearest;
  for_own_distances(set, norms, set, norms, device, ranks, [&](int row, const std::vector<double>& squares) {
    nearest.assign(static_cast<std::size_t>(k), std::numeric_limits<double>::infinity());
    for (std::size_t j = 0; j < squares.size(); ++j) {
      if (static_cast<int>(j) == row || squares[j] >= nearest.back()) continue;
      nearest.back() = squares[j];
      for (std::size_t at = nearest.size() - 1; at > 0 && nearest[at] < nearest[at - 1]; --at)
        std::swap(nearest[at], nearest[at - 1]);
    }
    result[static_cast<std::size_t>(row)] = nearest.back();
  });
  // Each is one rank's: adding the others' zeros changes no bit.
  ranks.all_sum(std::span(result));
  return result;
}

std::vector<double> softmax(const float* logits, int classes) {
  std::vector<double> p(static_cast<std::size_t>(classes));
  const float top = *std::max_element(logits, logits + classes);
  std::transform(logits, logits + classes, p.begin(),
                 [top](float logit) { return std::exp(static_cast<double>(logit - top)); });
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& value : p) value /= sum;
  return p;
}

}  // namespace

double frechet_distance(const Features& a, const Features& b) {
  const Moments ma = moments_of(a);
  const Moments mb = moments_of(b);
  double distance = 0;
  for (std::size_t k = 0; k < ma.mean.size(); ++k) distance += (ma.mean[k] - mb.mean[k]) * (ma.mean[k] - mb.mean[k]);
  return std::max(0.0, distance + trace(ma.covariance, a.size) + trace(mb.covariance, a.size) -
                           2 * trace_of_root(ma.covariance, mb.covariance, a.size));
}

KernelDistance kernel_distance(const Features& a, const Features& b, int subset, Device& device, Communicator& ranks) {
  KernelDistance result;
  result.subsets = std::min(a.count(), b.count()) / subset;
  // A subset is one rank's.
  std::vector<double> values(static_cast<std::size_t>(result.subsets));
  std::vector<float> memory;
  const double m = subset;
  for (int s = ranks.rank(); s < result.subsets; s += ranks.size())
    values[static_cast<std::size_t>(s)] = (kernel_sum(a, a, s * subset, subset, true, device, memory) +
                                           kernel_sum(b, b, s * subset, subset, true, device, memory)) /
                                              (m * (m - 1)) -
                                          2 * kernel_sum(a, b, s * subset, subset, false, device, memory) / (m * m);
  ranks.all_sum(std::span(values));
  result.mean = std::accumulate(values.begin(), values.end(), 0.0) / result.subsets;
  double squares = 0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  result.standard_error = std::sqrt(squares / (result.subsets - 1) / result.subsets);
  return result;
}

Coverage coverage(const Features& real, const Features& generated, int k, Device& device, Communicator& ranks) {
  const std::vector<double> real_norms = norms_of(real);
  const std::vector<double> generated_norms = norms_of(generated);
  const std::vector<double> real_radii = radii(real, real_norms, k, device, ranks);
  const std::vector<double> generated_radii = radii(generated, generated_norms, k, device, ranks);
  // Of generated ones, in how many real balls each is; then counts of real ones.
  const std::size_t n = generated_norms.size();
  std::vector<std::int64_t> counts(n + 2);
  for_own_distances(real, real_norms, generated, generated_norms, device, ranks,
                    [&](int row, const std::vector<double>& squares) {
                      const double radius = real_radii[static_cast<std::size_t>(row)];
                      bool recalled = false;
                      bool covered = false;
                      for (std::size_t j = 0; j < n; ++j) {
                        const bool inside = squares[j] < radius;
                        counts[j] += inside ? 1 : 0;
                        covered |= inside;
                        recalled |= squares[j] < generated_radii[j];
                      }
                      counts[n] += recalled ? 1 : 0;
                      counts[n + 1] += covered ? 1 : 0;
                    });
  ranks.all_sum(std::span(counts));
  Coverage result;
  std::int64_t balls = 0;
  std::int64_t precise = 0;
  for (std::size_t j = 0; j < n; ++j) {
    balls += counts[j];
    precise += counts[j] > 0 ? 1 : 0;
  }
  const auto share = [](std::int64_t part, std::size_t of) {
    return static_cast<double>(part) / static_cast<double>(of);
  };
  result.precision = share(precise, n);
  result.recall = share(counts[n], real_norms.size());
  result.density = share(balls, n) / k;
  result.coverage = share(counts[n + 1], real_norms.size());
  return result;
}

double inception_score(std::span<const float> logits, int classes) {
  const auto stride = static_cast<std::size_t>(classes);
  const std::size_t n = logits.size() / stride;
  std::vector<double> mean(stride);
  double negative_entropy = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::vector<double> p = softmax(&logits[i * stride], classes);
    for (std::size_t c = 0; c < stride; ++c) {
      mean[c] += p[c] / static_cast<double>(n);
      if (p[c] > 0) negative_entropy += p[c] * std::log(p[c]) / static_cast<double>(n);
    }
  }
  for (const double p : mean)
    if (p > 0) negative_entropy -= p * std::log(p);
  return std::exp(negative_entropy);
}

std::vector<std::uint64_t> class_histogram(std::span<const float> logits, int classes) {
  const auto stride = static_cast<std::size_t>(classes);
  std::vector<std::uint64_t> counts(stride);
  for (std::size_t at = 0; at < logits.size(); at += stride) {
    const auto row = logits.subspan(at, stride);
    ++counts[static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin())];
  }
  return counts;
}

double histogram_divergence(std::span<const std::uint64_t> p, std::span<const std::uint64_t> q) {
  const auto total = [](std::span<const std::uint64_t> h) {
    return static_cast<double>(std::accumulate(h.begin(), h.end(), std::uint64_t{0}));
  };
  const double of_p = total(p);
  const double of_q = total(q);
  double sum = 0;
  for (std::size_t c = 0; c < p.size(); ++c) {
    if (p[c] == 0) continue;
    if (q[c] == 0) return std::numeric_limits<double>::infinity();
    const double share = static_cast<double>(p[c]) / of_p;
    sum += share * std::log(share / (static_cast<double>(q[c]) / of_q));
  }
  return sum;
}

}  // namespace ganymede::eval
