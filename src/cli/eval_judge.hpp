// What `eval` asks the judge, a classifier of MNIST's digits, and whether it is worth asking.
#pragma once

#include <cstdint>
#include <string>

#include "cli/eval_report.hpp"
#include "eval/metrics.hpp"
#include "train/evaluation.hpp"

namespace ganymede::cli {

/// A sentence for a judge that is no better than the shipped one, where there is that; empty for others.
std::string inferiority(const eval::ShippedJudge& judge);

/// Noise is of `seed`. Adds to the report. Collective; the same on any number of ranks.
void measure_by_judge(eval::SampleSource& source, std::uint64_t seed, const eval::Comparison& beside,
                      const UsedJudge& used, EvalReport& report);
/// Of stacked images.
void measure_modes(eval::SampleSource& source, std::uint64_t seed, int channels, const eval::Comparison& beside,
                   const UsedJudge& used, EvalReport& report);

}  // namespace ganymede::cli
