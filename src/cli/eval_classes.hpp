// What `eval` measures of a class-conditional run's samples by the classes that they were told.
#pragma once

#include <string>

#include "cli/eval_judge.hpp"
#include "cli/eval_report.hpp"
#include "cli/generator_source.hpp"
#include "eval/metrics.hpp"
#include "ganymede/dataset.hpp"

namespace ganymede::cli {

/// Why nothing can be said by the classes of test images: they have no labels. Empty where they have.
std::string test_labels_obstacle(const Dataset& data);

/// Why the samples' classes say nothing of the data's: the run knows none, or others. Empty where they do.
std::string classes_obstacle(const SavedGenerator& saved, const Dataset& data);

/// Each adds to the report. Collective; the same on any number of ranks.
void measure_classification(eval::SampleSource& source, const eval::Comparison& beside, EvalReport& report);
void measure_gan_train(eval::SampleSource& source, const eval::Comparison& beside, EvalReport& report);
/// The judge looked at the data's test images, too.
void measure_gan_test(eval::SampleSource& source, const eval::Comparison& beside, const UsedJudge& used,
                      EvalReport& report);

}  // namespace ganymede::cli
