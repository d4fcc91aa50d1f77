// `ganymede eval --metrics memorisation`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "cli/eval_report.hpp"
#include "cli/generator_source.hpp"
#include "eval/memorisation.hpp"
#include "eval/metrics.hpp"
#include "ganymede/dataset.hpp"

namespace ganymede::cli {

/// What the data set is to the run; empty: it holds the images that the run was trained on, and others.
std::string memorisation_obstacle(const SavedGenerator& saved, const Dataset& data);

/// The closest pairs as rank 0 draws them.
struct PairsPicture {
  std::filesystem::path file;  ///< where to; empty: nowhere
  std::uint64_t seed;          ///< that the source's samples are drawn from
};

/// In words, what is certain by two standard deviations: whether samples copy training images, and, where there are
/// `enough_for_membership`, whether one can tell which images were trained on (`membership_told`).
std::string memorisation_verdict(const eval::Memorisation& found, bool enough_for_membership, bool membership_told);

/// Adds the metric. Of a run that knows classes D is asked where the test images have labels. Collective.
void measure_memorisation(const SavedGenerator& saved, eval::SampleSource& source, const eval::Comparison& beside,
                          const PairsPicture& picture, EvalReport& report);

}  // namespace ganymede::cli
