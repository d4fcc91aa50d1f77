// What TensorBoard is told of a run, as pieces of an event file. Each function gives whole records, to be written one
// after the other; `time` is in seconds since 1970.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ganymede/metrics.hpp"
#include "ganymede/tensor_file.hpp"

namespace ganymede::tensorboard {

/// What a file begins with.
std::string file_begin(double time);

/// Takes back what earlier files and records have of `step` and later ones.
std::string restart(double time, std::uint64_t step);

/// A run's options. Numbers and switches are numbers and switches there.
std::string hyperparameters(double time, const std::map<std::string, std::string>& options);

/// That the training was done.
std::string finished(double time);

/// All numbers of a record that are finite, by tag_of(). Those of an evaluation, which stand in all records up to the
/// next, are told once, at the step that was evaluated: where `before`, the record before this one, has not got them.
std::string scalars(double time, const MetricsRecord& record, const MetricsRecord& before);

/// The tag of a column of metrics.jsonl: "D/loss" of d_loss, "G/loss" of g_loss, "samples/diversity" of
/// sample_diversity, "evaluation/recall" of eval_recall, "training/penalty" of penalty. TensorBoard shows tags by what
/// is before the slash.
std::string tag_of(const std::string& column);

/// A picture, a PNG file's bytes, under the tag "samples". Throws Error(data) that names `source` where they are none.
std::string picture(double time, std::uint64_t step, const std::string& png, const std::string& source);

/// A histogram of each tensor's values that are finite, under "GROUP/NAME OF THE TENSOR". The buckets are TensorFlow's.
std::string histograms(double time, std::uint64_t step, const std::string& group, const std::vector<Tensor>& tensors);

}  // namespace ganymede::tensorboard
