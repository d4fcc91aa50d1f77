// See init_from.hpp.
#include "train/init_from.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>
#include <vector>

#include "checkpoint/finite.hpp"
#include "checkpoint/weights_facts.hpp"
#include "core/names.hpp"
#include "gan/models/models.hpp"
#include "ganymede/error.hpp"
#include "ganymede/tensor_file.hpp"
#include "report/run_folder.hpp"
#include "train/setup.hpp"
#include "train/shared_tensor_file.hpp"

namespace ganymede {
namespace {

// Why the network cannot start from the file; empty once it does.
std::string why_not_loaded(Network& network, const TensorFile& file, const std::string& source) {
  const std::vector<Tensor> own = network.tensors(network.parameter_array());
  for (const Tensor& tensor : file.tensors)
    if (std::none_of(own.begin(), own.end(), [&](const Tensor& t) { return t.name == tensor.name; }))
      return source + " has a tensor '" + tensor.name +
             "', which the network does not have: the file belongs to another network";
  try {
    network.load(file, source);
  } catch (const Error& failure) {
    return failure.what();
  }
  return {};
}

// What shapes the file's network and is other than here, as the command line has it; of a file of ours.
std::string options_of(const WeightsFacts& facts, const TrainOptions& options) {
  const bool generator = facts.network() == "generator";
  std::vector<std::string> given;
  for (const OptionSpec& spec : train_option_specs()) {
    const std::string name = spec.name;
    const std::string* found = facts.find(name);
    if (found == nullptr || *found == spec.get(options)) continue;
    if (spec.role != OptionRole::tensors || name == "optimizer") continue;
    // The other network's.
    if (generator ? name.starts_with("discriminator-") || name == "spectral-norm"
                  : name.starts_with("generator-") || name == "latent")
      continue;
    const bool is_switch = spec.value[0] == '\0';
    given.push_back("--" + name + (!is_switch ? " " + *found : *found == "true" ? "" : "=false"));
  }
  return joined(given, " ");
}

enum class Holds { generator, discriminator };

Holds load(const TensorFile& file, const std::string& source, const TrainOptions& options, Gan& gan) {
  const WeightsFacts facts(file.metadata, source);
  const std::string named = facts.network();
  const bool may_be_generator = named.empty() || named == "generator";
  const bool may_be_discriminator = named.empty() || named == "discriminator";
  if (!may_be_generator && !may_be_discriminator)
    throw Error(ExitCode::data,
                source + " says that it is of the network '" + named + "', not of a generator or discriminator");
  std::string reasons;
  if (may_be_generator) {
    reasons = why_not_loaded(gan.generator, file, source);
    if (reasons.empty()) return Holds::generator;
  }
  if (may_be_discriminator) {
    const std::string why = why_not_loaded(gan.discriminator, file, source);
    if (why.empty()) return Holds::discriminator;
    reasons = reasons.empty() ? why : "as a generator's: " + reasons + "; as a discriminator's: " + why;
  }
  const std::string given = options_of(facts, options);
  throw Error(ExitCode::data, "cannot start from these weights: " + reasons +
                                  ". Give the options of the network that they are of" +
                                  (given.empty() ? "" : ": " + given));
}

// What a network makes of its weights beside their shapes, where the file says that it was trained with another.
std::string other_meaning(const WeightsFacts& facts, Holds holds, const TrainOptions& options) {
  const bool generator = holds == Holds::generator;
  const std::string activation = generator ? "generator-activation" : "discriminator-activation";
  const auto value = [&](const std::string& name) { return find_train_option(name)->get(options); };
  std::vector<std::string> names = {"model", activation};
  if (generator) names.emplace_back("latent-distribution");
  if (takes_leak(value(activation))) names.emplace_back("leak");
  std::string said;
  for (const std::string& name : names) {
    const std::string* found = facts.find(name);
    if (found == nullptr || *found == value(name)) continue;
    said += (said.empty() ? "" : ", ") + std::string("--") + name + " " + *found + " (here " + value(name) + ")";
    // Whose leak is not compared with that of another function.
    if (name == activation) break;
  }
  return said;
}

TensorFile read_weights(const std::string& source) {
  std::error_code error;
  if (!std::filesystem::is_directory(source, error)) return TensorFile::read(source);
  const RunFolder folder(source);
  std::string files;
  for (const std::filesystem::path& file : {folder.generator(), folder.discriminator()})
    if (std::filesystem::exists(file, error)) files += (files.empty() ? "" : ",") + file.string();
  throw Error(ExitCode::usage, "--init-from takes weights files, and " + source + " is a folder: give " +
                                   (files.empty() ? "a safetensors file of G or of D" : files));
}

}  // namespace

std::string load_initial_weights(const TrainOptions& options, Communicator& ranks, Gan& gan,
                                 std::vector<std::string>& warnings) {
  std::string origin;
  std::optional<Holds> before;
  for (const std::string& source : options.init_from) {
    TensorFile file;
    on_root(ranks, [&] { file = read_weights(source); });
    file = shared_tensor_file(ranks, std::move(file), source);
    together(ranks, [&] {
      check_finite(file, source);
      const Holds holds = load(file, source, options, gan);
      const char* network = holds == Holds::generator ? "G" : "D";
      if (before == holds)
        throw Error(ExitCode::usage, std::string("--init-from names two files of ") + network +
                                         ": give one of each network, or one alone");
      before = holds;
      if (const std::string other = other_meaning(WeightsFacts(file.metadata), holds, options); !other.empty())
        warnings.push_back("the weights of " + source + " were trained with " + other +
                           ": in this network they mean something else; give the same, unless that is meant");
      origin += (origin.empty() ? "" : ", ") + std::string(network) + " in " + source;
    });
  }
  if (gan.average.size() > 0)
    gan.generator.device().copy(gan.average.data(), gan.generator.parameters(), gan.average.bytes());
  return origin;
}

}  // namespace ganymede
