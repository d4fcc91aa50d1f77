// Evaluations in the midst of a training (--eval-every): what `ganymede eval` would measure of its generator as it is,
// with the samples that it would draw from the training's seed. They change nothing that the training goes on with, and
// end between two blocks of samples when a rank has been asked to stop.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "eval/metrics.hpp"
#include "eval/shipped_judge.hpp"
#include "gan/gan.hpp"
#include "gan/sampler.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/dataset.hpp"
#include "ganymede/metrics.hpp"
#include "ganymede/options.hpp"

namespace ganymede {

/// What the options ask for, `auto` resolved.
std::vector<std::string> eval_metrics(const TrainOptions& options);

/// Whether the data allow what the options ask for. Throws Error that says what does not.
void check_evaluation(const TrainOptions& options, const Dataset& data);

/// Rank 0 reads the judge (an empty name: the shipped one), the others get its bytes. Collective; throws AgreedError.
eval::ShippedJudge shared_judge(const std::string& file, Communicator& ranks);

struct UsedJudge {
  eval::ShippedJudge file;
  std::unique_ptr<eval::Judge> judge;
  std::optional<eval::Share> right;  ///< of the test images that were looked at, where they have labels
  std::string doubt;                 ///< a sentence for where that is too little
};

/// The same, and whether it can read the first `most` of the data's test images. Collective; throws AgreedError.
UsedJudge use_judge(const std::string& file, const Dataset& data, std::uint32_t most, Device& device,
                    Communicator& ranks);

/// All ranks take part; each has the same numbers, and on any number of ranks those of one alone.
class Evaluation {
 public:
  /// `gan`, `data` (with its test images) and `ranks` must outlive it; check_evaluation() lets them pass. `device` is
  /// the training's, which evaluates too where it is the host. Collective; throws AgreedError.
  Evaluation(const TrainOptions& options, const Gan& gan, const Dataset& data, Device& device, Communicator& ranks,
             std::vector<std::string>& warnings);

  /// Fills in the record's part: of the generator as it is after `step` steps. False, and the record is as it was,
  /// where a rank is asked to stop before the end. Collective.
  bool measure(std::uint64_t step, MetricsRecord& record);

 private:
  void fill(std::uint64_t step, MetricsRecord& record);
  void judge(eval::SampleSource& source, MetricsRecord& record);

  const TrainOptions& options_;
  const Gan& gan_;
  std::unique_ptr<Device> own_device_;  // where the training's is no host
  eval::Comparison comparison_;
  std::vector<std::string> metrics_;
  Sampler sampler_;
  std::unique_ptr<eval::Judge> judge_;
  std::optional<eval::Judged> real_;  // test images, once they were looked at
};

/// What an evaluation found, in a line.
std::string evaluation_text(const MetricsRecord& record);

}  // namespace ganymede
