// Training options that contradict each other.
#include "gan/gradient_penalty.hpp"
#include "gan/losses.hpp"
#include "gan/models/models.hpp"
#include "ganymede/device.hpp"
#include "ganymede/error.hpp"
#include "ganymede/options.hpp"
#include "train/evaluation.hpp"
#include "train/without_effect.hpp"

namespace ganymede {

void check_train_options(const TrainOptions& o) {
  // Whoever set a member, and not an option by name, is told of its range here.
  TrainOptions copy = o;
  for (const OptionSpec& spec : train_option_specs())
    if (spec.stored()) spec.set(copy, spec, spec.get(o));
  const auto refuse_updates = [&](const char* option, int updates) {
    throw Error(ExitCode::usage, std::string("--scheme simultaneous updates D and G from the same forward pass, so ") +
                                     option + " " + std::to_string(updates) +
                                     " makes no sense with it: use --scheme alternating");
  };
  if (o.scheme == "simultaneous" && o.d_steps != 1) refuse_updates("--d-steps", o.d_steps);
  if (o.scheme == "simultaneous" && o.d_burst > 0) refuse_updates("--d-burst", o.d_burst);
  if (o.reproducible && o.shards > o.batch)
    throw Error(ExitCode::usage, "--shards " + std::to_string(o.shards) + " cuts a batch of " +
                                     std::to_string(o.batch) + " into empty pieces: use at most --shards " +
                                     std::to_string(o.batch));
  for (const auto& [option, norm] : {std::pair{"--generator-norm batch", &o.generator_norm},
                                     std::pair{"--discriminator-norm batch", &o.discriminator_norm}}) {
    if (*norm != "batch") continue;
    if (o.micro_batch > 0)
      throw Error(ExitCode::usage, std::string(option) +
                                       " takes statistics over the whole batch, and --micro-batch shows the networks "
                                       "a slice at a time: use --micro-batch 0, or no batch normalisation");
    if (o.batch < 2)
      throw Error(
          ExitCode::usage,
          std::string(option) + " takes statistics over the batch, and one image is none: use --batch 2 or more");
  }
  if (o.micro_batch > 0) {
    const int largest = (o.batch + o.shards - 1) / o.shards;
    if (o.reproducible && largest > o.micro_batch)
      throw Error(ExitCode::usage, "--reproducible sums a virtual shard at a time, of up to " +
                                       std::to_string(largest) + " images, so --micro-batch " +
                                       std::to_string(o.micro_batch) + " is too small: use --micro-batch " +
                                       std::to_string(largest) + " or more, or at least --shards " +
                                       std::to_string((o.batch + o.micro_batch - 1) / o.micro_batch) +
                                       " (which changes the trajectory)");
  }
  if (o.keep_every > 0 && o.keep == 0)
    throw Error(ExitCode::usage, "--keep 0 keeps every checkpoint, so --keep-every " + std::to_string(o.keep_every) +
                                     " makes no sense with it: use --keep-every 0, or --keep 1 or more");
  if (o.keep_every > 0 && (o.checkpoint_every == 0 || o.keep_every % o.checkpoint_every != 0))
    throw Error(ExitCode::usage, "--keep-every " + std::to_string(o.keep_every) +
                                     " keeps checkpoints of steps that are multiples of it, and --checkpoint-every " +
                                     std::to_string(o.checkpoint_every) +
                                     " does not write one at each: use a multiple of --checkpoint-every");
  if (o.precision != "fp32" && o.reproducible)
    throw Error(ExitCode::usage, "--precision " + o.precision +
                                     " and --reproducible exclude each other: the products of --reproducible are "
                                     "float32's, in an order of their own: use --precision fp32");
  for (const PenaltySpec& spec : penalties_of(o)) {
    if (!Activation::named(o.discriminator_activation).piecewise_linear())
      throw Error(ExitCode::usage,
                  std::string(spec.option) +
                      " needs a discriminator made of straight lines, but --discriminator-activation " +
                      o.discriminator_activation + " is curved: use relu or leaky-relu, or " + spec.option + " 0");
    if (o.discriminator_norm == "batch")
      throw Error(ExitCode::usage, std::string(spec.option) +
                                       " needs a discriminator that judges each image by itself, but "
                                       "--discriminator-norm batch looks at the whole batch: use "
                                       "--discriminator-norm none, or " +
                                       spec.option + " 0");
  }
  if (o.stack > 1 && is_conditional(o))
    throw Error(ExitCode::usage, "--stack " + std::to_string(o.stack) +
                                     " shows images of several classes at a time, so --condition " + o.condition +
                                     " makes no sense with it: use --condition none");
  if (loss_is_unbounded(loss_index(o.loss)) && o.clip_weights == 0 && !o.spectral_norm && !has_penalties(o))
    throw Error(ExitCode::usage,
                "--loss " + o.loss +
                    " has no least value: D makes it smaller by growing alone, and nothing here bounds D; add "
                    "--clip-weights 0.01 (as in WGAN), --gradient-penalty 10, --r1 or --spectral-norm");
  if (o.clip_weights > 0 && o.gradient_penalty > 0)
    throw Error(ExitCode::usage,
                "--clip-weights and --gradient-penalty exclude each other: a critic of clipped weights does not reach "
                "the slope of 1 that the penalty asks for; use --clip-weights 0");
  if (o.spectral_norm && o.clip_weights > 0)
    throw Error(ExitCode::usage,
                "--clip-weights and --spectral-norm exclude each other: weights that are divided by their largest "
                "singular value are no longer within ±C; use --clip-weights 0");
  if (o.spectral_norm && o.discriminator_norm == "batch")
    throw Error(
        ExitCode::usage,
        "--spectral-norm and --discriminator-norm batch exclude each other: batch normalisation divides the "
        "scale of the weights before it away, so that their norm bounds nothing; use --discriminator-norm none");
  if (o.stop_on == "collapse" && o.diagnose_every == 0)
    throw Error(ExitCode::usage,
                "--stop-on collapse needs diagnoses to see one, and --diagnose-every 0 makes none: leave that at its "
                "default");
  if (o.eval_every > 0)
    for (const std::string& metric : eval_metrics(o)) {
      const eval::Metric& of = eval::metric_named(metric);
      if (of.stacked != (o.stack > 1))
        throw Error(ExitCode::usage, o.stack > 1
                                         ? "--eval-metrics " + metric + " looks at single images, and --stack " +
                                               std::to_string(o.stack) + " shows " + std::to_string(o.stack) +
                                               " at a time: give --eval-metrics modes"
                                         : "--eval-metrics modes counts those of stacked images, and this "
                                           "training has none: leave it out, or give --stack");
      if (of.labels && !is_conditional(o))
        throw Error(ExitCode::usage,
                    "--eval-metrics 1nn-error needs samples that have labels, and --condition none gives them none: "
                    "leave it out, or give --condition");
    }
  if (!o.allow_change.empty() && !o.resume)
    throw Error(ExitCode::usage,
                "--allow-change lets a run go on with other options, and nothing is resumed here: add --resume, or "
                "leave it out");
  if (o.d_burst > 0 && o.d_burst_first == 0 && o.d_burst_every == 0)
    throw Error(ExitCode::usage, "--d-burst " + std::to_string(o.d_burst) +
                                     " names no step with --d-burst-first 0 and --d-burst-every 0: give one of them, "
                                     "or --d-burst 0");
  const std::map<std::string, std::string> idle = options_without_effect(o);
  if (!idle.empty()) throw Error(ExitCode::usage, idle.begin()->second);
}

}  // namespace ganymede
