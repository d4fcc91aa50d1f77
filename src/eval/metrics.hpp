// The metrics by name, and what samples are compared with in those that a training measures of itself (--eval-every) as
// `ganymede eval` does of a saved run.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "eval/judged.hpp"
#include "eval/nearest_neighbours.hpp"
#include "eval/parzen.hpp"

namespace ganymede::eval {

struct Metric {
  enum class Kind { parzen, two_sample, classification_error, gan_train, gan_test, memorisation, judge, modes };

  Kind kind;
  const char* name;   ///< as --metrics takes it
  const char* title;  ///< as a table has it
  bool in_training;   ///< quick enough for --eval-metrics
  bool labels;        ///< looks at the classes of test images
  bool judge;         ///< asks a judge
  bool stacked;       ///< of images that show several digits at a time (--stack), of which the others say nothing
};

/// In the order in which they are measured.
inline constexpr std::array metrics = std::to_array<Metric>({
    {Metric::Kind::parzen, "parzen", "parzen", true, false, false, false},
    {Metric::Kind::two_sample, "two-sample", "two-sample", true, false, false, false},
    {Metric::Kind::classification_error, "1nn-error", "1-NN classification error", true, true, false, false},
    {Metric::Kind::gan_train, "gan-train", "GAN-train accuracy", false, true, false, false},
    {Metric::Kind::gan_test, "gan-test", "GAN-test accuracy", false, true, true, false},
    {Metric::Kind::memorisation, "memorisation", "memorisation", false, true, false, false},
    {Metric::Kind::judge, "judge", "by a classifier of MNIST", true, false, true, false},
    {Metric::Kind::modes, "modes", "modes", true, false, true, true},
});

/// The one of this name, which is one of them.
inline const Metric& metric_named(const std::string& name) {
  return *std::find_if(metrics.begin(), metrics.end(), [&](const Metric& metric) { return metric.name == name; });
}

/// The names of all, or of those with a property.
inline std::vector<std::string> metric_names(bool Metric::*property = nullptr) {
  std::vector<std::string> names;
  for (const Metric& metric : metrics)
    if (property == nullptr || metric.*property) names.emplace_back(metric.name);
  return names;
}

/// Whether any of those named has the property.
inline bool any(const std::vector<std::string>& names, bool Metric::*property) {
  const std::vector<std::string> with = metric_names(property);
  return std::find_first_of(names.begin(), names.end(), with.begin(), with.end()) != names.end();
}

/// What samples are measured beside, and by whom. Each call is collective, and the same on any number of ranks.
struct Comparison {
  const Dataset& data;    ///< with its test images
  std::uint64_t samples;  ///< of a source the first so many
  Device& device;
  Communicator& ranks;

  [[nodiscard]] ParzenScore parzen(SampleSource& source) const {
    return parzen_score(source, samples, parzen_validation(data.train()), data.test(), device, ranks);
  }
  /// Of as many of the first samples and test images as there are of both.
  [[nodiscard]] TwoSampleAccuracy two_sample(SampleSource& source) const {
    const auto count = static_cast<std::uint32_t>(std::min<std::uint64_t>(samples, data.test().count));
    return two_sample_accuracy(source, part_of(data.test(), 0, count), device, ranks);
  }
  [[nodiscard]] Share classification_error(SampleSource& source) const {
    return eval::classification_error(source, samples, data.test(), device, ranks);
  }
  /// judged_images() of the source, which may be one of real images too.
  [[nodiscard]] Judged judged(SampleSource& source, Judge& judge) const {
    return eval::judged(source, judged_images(samples, data), judge, ranks);
  }
};

}  // namespace ganymede::eval
