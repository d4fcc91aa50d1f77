// The judge's file: where the shipped one is, and what a file says of itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "eval/judge.hpp"
#include "ganymede/tensor_file.hpp"

namespace ganymede::eval {

struct ShippedJudge {
  std::string source;
  std::string digest;  ///< file.weights_digest()
  TensorFile file;
  /// On MNIST's test images, as the file has it.
  [[nodiscard]] std::optional<double> test_accuracy() const;
};

/// Reads a judge; of an empty name, the one in the program's share folder. Throws Error(data), also of a file whose
/// digest says that it is damaged.
ShippedJudge read_judge(const std::string& file);

/// A trained judge with its recipe: on how many images, of which set, and how often it is right about MNIST's test
/// images.
TensorFile judge_file(const Judge& judge, const JudgeRecipe& recipe, std::size_t images, const std::string& data_digest,
                      const Share& right);

}  // namespace ganymede::eval
