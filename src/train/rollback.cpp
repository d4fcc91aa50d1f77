// See rollback.hpp.
#include "train/rollback.hpp"

#include <cmath>
#include <optional>

#include "core/numbers.hpp"
#include "ganymede/error.hpp"
#include "train/init_from.hpp"
#include "train/nan_guard.hpp"
#include "train/resume.hpp"

namespace ganymede {
namespace {

constexpr const char* rollbacks_field = "rollbacks";

}  // namespace

void lower_learning_rates(Gan& gan, std::uint64_t rollbacks) {
  // A power of two: the same bits, whether at once or one by one.
  const double factor = std::pow(NanGuard::rollback_factor, static_cast<double>(rollbacks));
  gan.generator_optimizer->scale_learning_rate(factor);
  gan.discriminator_optimizer->scale_learning_rate(factor);
}

// Beside the moments: what an optimiser goes on with.
std::uint64_t rollbacks_of(const Checkpoint& checkpoint) {
  const auto file = checkpoint.files.find("generator-optimizer");
  if (file == checkpoint.files.end()) return 0;
  const auto field = file->second.metadata.find(rollbacks_field);
  if (field == file->second.metadata.end()) return 0;
  const auto count = number_from<std::uint64_t>(field->second);
  if (!count || *count > NanGuard::most_rollbacks)
    throw Error(ExitCode::data, "the checkpoint's generator-optimizer.safetensors says '" + field->second +
                                    "' for its roll-backs, not a number from 0 to " +
                                    std::to_string(NanGuard::most_rollbacks));
  return *count;
}

void store_rollbacks(std::uint64_t rollbacks, Checkpoint& checkpoint) {
  if (rollbacks > 0) checkpoint.files["generator-optimizer"].metadata[rollbacks_field] = std::to_string(rollbacks);
}

WentBack go_back(const TrainOptions& options, Communicator& ranks, TrainSetup& setup, std::uint64_t rollbacks) {
  const std::uint64_t steps = setup.step->steps();
  const std::uint64_t every = options.checkpoint_every;
  WentBack result;
  // One that a training which was never interrupted has, too: where that goes on must not depend on interruptions.
  const auto regular = [&](std::uint64_t step) { return every > 0 && step > 0 && step % every == 0 && step <= steps; };
  const std::optional<FoundCheckpoint> found =
      find_checkpoint(ranks, [&] { return newest_checkpoint(options.out, result.refused, regular); });
  setup.step->settle();
  together(ranks, [&] {
    if (found) {
      setup.gan->load(found->checkpoint.files, found->folder.string());
    } else {
      TrainOptions resolved = options;
      resolved.steps = setup.plan.steps;
      setup.gan->load(make_gan(resolved, setup.images.shape(), *setup.device).save(), "initial weights");
    }
  });
  std::vector<std::string> said;  // when the training began
  if (!found && !options.init_from.empty()) load_initial_weights(options, ranks, *setup.gan, said);
  lower_learning_rates(*setup.gan, rollbacks - setup.rollbacks);
  setup.from = found ? Shown{found->checkpoint.step, found->checkpoint.images_seen} : Shown{};
  setup.step->set_steps(setup.from.steps);
  setup.rollbacks = rollbacks;
  result.to = found ? found->folder.filename().string() : "the initial weights";
  return result;
}

}  // namespace ganymede
