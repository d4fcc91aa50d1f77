// What `eval` asks the judge, a classifier of MNIST's digits, and whether it is worth asking.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/eval_report.hpp"
#include "eval/judge.hpp"
#include "eval/sample_source.hpp"
#include "eval/share.hpp"
#include "eval/shipped_judge.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/dataset.hpp"

namespace ganymede::cli {

struct UsedJudge {
  eval::ShippedJudge file;
  std::unique_ptr<eval::Judge> judge;
  std::optional<eval::Share> right;  ///< of the data's test images, where these have labels
  std::vector<std::string> doubts;   ///< sentences about its worth; on rank 0
};

/// Of an empty name, the shipped one. Collective; throws AgreedError.
UsedJudge use_judge(const std::string& file, const Dataset& data, Device& device, Communicator& ranks);

/// Of `samples` images and noise of `seed`. Adds to the report. Collective; the same on any number of ranks.
void measure_by_judge(eval::SampleSource& source, std::uint64_t samples, std::uint64_t seed, const Dataset& data,
                      const UsedJudge& used, Device& device, Communicator& ranks, EvalReport& report);
/// Of `count` stacked images.
void measure_modes(eval::SampleSource& source, std::uint64_t count, std::uint64_t seed, int channels,
                   const Dataset& data, const UsedJudge& used, Communicator& ranks, EvalReport& report);

}  // namespace ganymede::cli
