// See shipped_judge.hpp.
#include "eval/shipped_judge.hpp"

#include "core/files.hpp"
#include "core/numbers.hpp"
#include "ganymede/error.hpp"

namespace ganymede::eval {
ShippedJudge read_judge(const std::string& file) {
  ShippedJudge judge;
  judge.source = file.empty() ? (share_folder() / "judge" / "mnist.safetensors").string() : file;
  judge.file = TensorFile::read(judge.source);
  const auto network = judge.file.metadata.find("network");
  if (network == judge.file.metadata.end() || network->second != "judge")
    throw Error(ExitCode::data, judge.source + " holds no judge: ganymede judge --out FILE trains one");
  judge.digest = judge.file.weights_digest();
  return judge;
}

TensorFile judge_file(const Judge& judge, const JudgeRecipe& recipe, std::size_t images, const std::string& data_digest,
                      const Share& right) {
  TensorFile file;
  file.tensors = judge.tensors();
  file.metadata = {{"format", "pt"},
                   {"network", "judge"},
                   {"images", std::to_string(images) + " of MNIST's training set, none of mnist-mini's"},
                   {"data-digest", data_digest},
                   {"optimizer", "adam, beta1 0.9, beta2 0.999, learning rate " + pretty(recipe.learning_rate) +
                                     " falling to 0 as a cosine"},
                   {"average", pretty(recipe.average)},
                   {"shift", std::to_string(recipe.shift)},
                   {"features", "of mean square 1 over these images"},
                   {"batch", std::to_string(recipe.batch)},
                   {"epochs", std::to_string(recipe.epochs)},
                   {"seed", std::to_string(recipe.seed)},
                   {"test-accuracy", pretty(right.share())}};
  return file;
}

}  // namespace ganymede::eval
