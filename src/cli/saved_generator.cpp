// See saved_generator.hpp.
#include "cli/saved_generator.hpp"

#include "checkpoint/finite.hpp"
#include "cli/train_arguments.hpp"
#include "gan/gan.hpp"
#include "train/shared_tensor_file.hpp"

namespace ganymede::cli {

SavedGenerator read_saved_generator(const std::string& place) {
  const SavedRun run = read_saved_run(place);
  warn_of_refused(run);
  SavedGenerator saved;
  saved.kind = kind_text(run.kind);
  saved.source = run.source.string();
  saved.step = run.step;
  saved.options = saved_options(run);
  saved.averaged = saved.options.ema > 0 && !run.facts.raw();
  saved.data_digest = run.facts.data_digest();
  saved.shape = saved_shape(run);
  saved.weights = picture_weights(run);
  check_finite(saved.weights, saved.source);
  if (const auto d = run.files.find("discriminator"); d != run.files.end()) saved.discriminator = d->second;
  return saved;
}

SavedGenerator read_saved_generator(const std::string& place, Communicator& ranks) {
  SavedGenerator saved;
  on_root(ranks, [&] { saved = read_saved_generator(place); });
  bool has_discriminator = saved.discriminator.has_value();
  saved.kind = shared_text(ranks, saved.kind);
  saved.source = shared_text(ranks, saved.source);
  saved.data_digest = shared_text(ranks, saved.data_digest);
  ranks.broadcast(&saved.step, sizeof saved.step, 0);
  ranks.broadcast(&saved.averaged, sizeof saved.averaged, 0);
  ranks.broadcast(&saved.shape, sizeof saved.shape, 0);
  share_train_options(saved.options, ranks);
  saved.weights = shared_tensor_file(ranks, std::move(saved.weights), saved.source);
  ranks.broadcast(&has_discriminator, sizeof has_discriminator, 0);
  if (has_discriminator)
    saved.discriminator =
        shared_tensor_file(ranks, std::move(saved.discriminator).value_or(TensorFile{}), saved.source);
  return saved;
}

Network load_generator(const SavedGenerator& saved, Device& device) {
  Network generator = make_generator(saved.options, saved.shape, device);
  generator.load(saved.weights, saved.source);
  return generator;
}

}  // namespace ganymede::cli
