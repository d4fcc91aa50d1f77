// See shipped_judge.hpp.
#include "eval/shipped_judge.hpp"

#include "checkpoint/weights_facts.hpp"
#include "core/files.hpp"
#include "core/numbers.hpp"
#include "ganymede/error.hpp"

namespace ganymede::eval {
namespace {

constexpr const char* judge_network = "judge";
constexpr const char* accuracy_entry = "test-accuracy";

}  // namespace

std::optional<double> ShippedJudge::test_accuracy() const {
  const auto found = file.metadata.find(accuracy_entry);
  return found == file.metadata.end() ? std::nullopt : number_from<double>(found->second);
}

ShippedJudge read_judge(const std::string& file) {
  ShippedJudge judge;
  judge.source = file.empty() ? (share_folder() / "judge" / "mnist.safetensors").string() : file;
  judge.file = TensorFile::read(judge.source);
  if (WeightsFacts(judge.file.metadata).network() != judge_network)
    throw Error(ExitCode::data, judge.source + " holds no judge: ganymede judge --out FILE trains one");
  judge.digest = judge.file.weights_digest();
  return judge;
}

TensorFile judge_file(const Judge& judge, const JudgeRecipe& recipe, std::size_t images, const std::string& data_digest,
                      const Share& right) {
  TensorFile file;
  file.tensors = judge.tensors();
  WeightsFacts facts({{"images", std::to_string(images) + " of MNIST's training set, none of mnist-mini's"},
                      {"optimizer", "adam, beta1 0.9, beta2 0.999, learning rate " + pretty(recipe.learning_rate) +
                                        " falling to 0 as a cosine"},
                      {"average", pretty(recipe.average)},
                      {"shift", std::to_string(recipe.shift)},
                      {"features", "of mean square 1 over these images"},
                      {"batch", std::to_string(recipe.batch)},
                      {"epochs", std::to_string(recipe.epochs)},
                      {"seed", std::to_string(recipe.seed)},
                      {accuracy_entry, pretty(right.share())}});
  facts.set_network(judge_network);
  facts.set_data_digest(data_digest);
  facts.set_pytorch();
  file.metadata = facts.entries();
  return file;
}

}  // namespace ganymede::eval
