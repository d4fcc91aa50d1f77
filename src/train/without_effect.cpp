// See without_effect.hpp: one rule per option that needs another.
#include "train/without_effect.hpp"

#include <algorithm>
#include <vector>

#include "core/names.hpp"
#include "gan/gradient_penalty.hpp"
#include "gan/losses.hpp"
#include "gan/models/models.hpp"
#include "math/optimizer/optimizers.hpp"
#include "nn/optimizer.hpp"

namespace ganymede {
namespace {

bool among(const std::string& name, const std::vector<std::string>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// The optimisers whose rule says that it uses a constant.
std::vector<std::string> optimizers_with(math::ConstantMember constant) {
  std::vector<std::string> names;
  for (int i = 0; i < math::Optimizers::size; ++i)
    math::Optimizers::visit(i, [&](auto rule) {
      for (const math::UsedConstant& used : decltype(rule)::constants)
        if (used.value == constant) names.emplace_back(decltype(rule)::name);
    });
  return names;
}

}  // namespace

std::map<std::string, std::string> options_without_effect(const TrainOptions& o) {
  std::map<std::string, std::string> result;
  const TrainOptions defaults;
  // `has_effect` unless it is left at its default.
  const auto rule = [&](const char* name, bool has_effect, const std::string& why) {
    const OptionSpec& spec = *find_train_option(name);
    if (!has_effect && spec.get(o) != spec.get(defaults)) result[name] = "--" + std::string(name) + " " + why;
  };
  const auto needs = [&](const char* name, const std::string& needed, bool there) {
    rule(name, there,
         "does nothing without " + needed + ": add that, or leave --" + std::string(name) + " at its default");
  };
  const auto of_optimizers = [&](const char* name, math::ConstantMember constant) {
    const std::vector<std::string> names = optimizers_with(constant);
    needs(name, "--optimizer " + either(names), among(o.optimizer, names));
  };
  for (const auto& [name, models] : models_with_options())
    rule(name.c_str(), among(o.model, models),
         "belongs to --model " + either(models) + ", and this is --model " + o.model + ": leave it at its default");
  needs("leak", "--generator-activation or --discriminator-activation leaky-relu",
        takes_leak(o.generator_activation) || takes_leak(o.discriminator_activation));
  rule("init", o.init_from.size() < 2,
       "draws the weights that both networks have from --init-from: leave it at its default");

  rule("label-smoothing", loss_has_target(loss_index(o.loss)),
       "lowers the target of real images, and --loss " + o.loss +
           " has none: use --label-smoothing 0, or a loss with targets such as non-saturating or least-squares");
  rule("d-burst", o.d_burst != o.d_steps,
       std::to_string(o.d_burst) + " is what --d-steps makes at every step: give another number, or --d-burst 0");
  needs("d-burst-first", "--d-burst", o.d_burst > 0);
  needs("d-burst-every", "--d-burst", o.d_burst > 0);
  needs("penalty-every", "a penalty (--r1, --r2 or --gradient-penalty)", has_penalties(o));
  needs("instance-noise-end", "--instance-noise", o.instance_noise > 0);

  rule("learning-rate", o.generator_learning_rate == 0 || o.discriminator_learning_rate == 0,
       "is for networks without one of their own, and there are --generator-learning-rate and "
       "--discriminator-learning-rate: leave it at its default");
  const std::string falling = "a --schedule by which step sizes fall";
  needs("schedule-start", falling, schedule_falls(o.schedule));
  needs("schedule-end", falling, schedule_falls(o.schedule));
  if (schedule_falls(o.schedule))
    rule("schedule-end", o.schedule_end < 1,
         "is the part of the step size that --schedule " + o.schedule +
             " falls to, and all of it is no fall: use less "
             "than 1, or --schedule constant");
  of_optimizers("beta1", &OptimizerConstants::beta1);
  of_optimizers("beta2", &OptimizerConstants::beta2);
  of_optimizers("epsilon", &OptimizerConstants::epsilon);
  of_optimizers("momentum", &OptimizerConstants::momentum);
  of_optimizers("rmsprop-decay", &OptimizerConstants::rmsprop_decay);

  rule("micro-batch", o.micro_batch < o.batch,
       std::to_string(o.micro_batch) + " cuts nothing off a batch of " + std::to_string(o.batch) +
           ": use less than --batch, or --micro-batch 0");
  needs("shards", "--reproducible", o.reproducible);
  for (const std::string& name : given_gpu_options(o))
    rule(name.c_str(), o.device != "cpu", "is for GPUs and does nothing with --device cpu: leave it out");
  rule("instruction-set", !o.device.starts_with("cuda"),
       "is for CPUs and does nothing with --device " + o.device + ": leave it out");

  needs("eval-metrics", "--eval-every", o.eval_every > 0);
  needs("eval-samples", "--eval-every", o.eval_every > 0);
  needs("tensorboard-histograms-every", "--tensorboard, to whose files it writes", o.tensorboard);
  return result;
}

void reset_options_without_effect(TrainOptions& options, const std::set<std::string>& meant) {
  const TrainOptions defaults;
  for (const auto& [name, why] : options_without_effect(options))
    if (!meant.contains(name)) set_train_option(options, name, find_train_option(name)->get(defaults));
}

}  // namespace ganymede
