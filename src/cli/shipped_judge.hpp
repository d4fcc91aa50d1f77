// The judge's file: where the shipped one is, and what a file says of itself.
#pragma once

#include <cstdint>
#include <string>

#include "cli/saved_run.hpp"
#include "eval/judge.hpp"

namespace ganymede::cli {

struct ShippedJudge {
  std::string source;
  std::string digest;  ///< file.weights_digest()
  TensorFile file;
};

/// Reads a judge; of an empty name, the one in the program's share folder. Throws Error(data), also of a file whose
/// digest says that it is damaged.
ShippedJudge read_judge(const std::string& file);

/// A trained judge with its recipe: on how many images, of which set, and how often it is right about MNIST's test
/// images.
TensorFile judge_file(const eval::Judge& judge, const eval::JudgeRecipe& recipe, std::size_t images,
                      const std::string& data_digest, const eval::Share& right);

}  // namespace ganymede::cli
