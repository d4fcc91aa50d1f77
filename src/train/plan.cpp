// The rows of the plan.
#include "train/plan.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include "comm/watchdog.hpp"
#include "core/names.hpp"
#include "core/numbers.hpp"
#include "gan/gradient_penalty.hpp"
#include "gan/update_schedule.hpp"
#include "train/evaluation.hpp"

namespace ganymede {
namespace {

// The part of G's first weights in the average that draws the pictures from which it is said.
constexpr double worth_telling = 0.05;

std::string network_row(const Network& network) {
  std::string text;
  bool spectral = false;
  for (int l = 0; l < network.layers(); ++l) {
    const Layer& layer = network.layer(l);
    spectral = spectral || layer.spectral();
    if (l == 0) text = std::to_string(layer.inputs());
    text += " " + layer.row_text();
    if (!layer.activation().is_identity()) text += std::string(" ") + layer.activation().name();
  }
  if (spectral) text += ", spectral norm";
  return text + "  (" + grouped(network.parameter_count()) + " parameters)";
}

std::string optimizer_row(const TrainOptions& o, const Gan& gan) {
  const OptimizerConstants& g = gan.generator_optimizer->constants();
  const OptimizerConstants& d = gan.discriminator_optimizer->constants();
  std::string text = o.optimizer + ", learning rate " + pretty(g.learning_rate);
  if (d.learning_rate != g.learning_rate) text += " for G and " + pretty(d.learning_rate) + " for D";
  if (schedule_falls(o.schedule))
    text += ", " + o.schedule + " to " + pretty(o.schedule_end) + " times that" +
            (o.schedule_start > 0 ? " from " + pretty(o.schedule_start) + " of the training on" : "");
  for (const auto& [name, value] : gan.generator_optimizer->own_constants()) text += ", " + name + " " + pretty(value);
  if (o.weight_decay > 0) text += ", weight decay " + pretty(o.weight_decay);
  if (o.clip_gradient > 0) text += ", gradients clipped to norm " + pretty(o.clip_gradient);
  if (o.clip_weights > 0) text += ", D's weights clipped to ±" + pretty(o.clip_weights);
  return text;
}

std::string hosts_row(Communicator& ranks) {
  std::vector<std::string> hosts = ranks.all_gather(host_name());
  std::sort(hosts.begin(), hosts.end());
  hosts.erase(std::unique(hosts.begin(), hosts.end()), hosts.end());
  std::string names = joined(std::span(hosts).first(std::min<std::size_t>(hosts.size(), 4)));
  if (hosts.size() > 4) names += ", …";
  return std::to_string(ranks.size()) + (ranks.size() == 1 ? " rank" : " ranks") + " on " +
         std::to_string(hosts.size()) + (hosts.size() == 1 ? " host (" : " hosts (") + names + "); " +
         ranks.description();
}

// Of the steps in which D is updated more often.
std::string bursts(const TrainOptions& o) {
  std::string steps;
  if (o.d_burst_first > 0) steps = "the first " + grouped(o.d_burst_first);
  if (o.d_burst_every > 0) steps += (steps.empty() ? "every " : " and in every ") + grouped(o.d_burst_every) + "th";
  return " (" + std::to_string(o.d_burst) + " in " + steps + ")";
}

}  // namespace

TrainPlan make_plan(const TrainOptions& o, Communicator& ranks, const TrainSetup& s, const std::string& origin) {
  TrainPlan plan;
  const ImageSet& images = s.images;
  plan.steps = total_steps(o, images.count, s.from);
  plan.first_step = s.step->steps();
  plan.epochs = static_cast<double>(images_seen(o, s.from, plan.steps)) / images.count;
  std::string objective = o.loss + ", " + o.scheme;
  if (o.d_steps != 1) objective += ", " + std::to_string(o.d_steps) + " steps of D per step of G";
  if (o.d_burst > 0) objective += bursts(o);
  if (o.label_smoothing > 0) objective += ", labels smoothed by " + pretty(o.label_smoothing);
  if (o.r1 > 0) objective += ", R1 γ " + pretty(o.r1);
  if (o.r2 > 0) objective += ", R2 γ " + pretty(o.r2);
  if (o.gradient_penalty > 0) objective += ", gradient penalty λ " + pretty(o.gradient_penalty);
  if (!has_penalties(o))
    objective += ", no penalty";
  else if (o.penalty_every > 1)
    objective += " every " + std::to_string(o.penalty_every) + " steps";
  if (o.instance_noise > 0)
    objective += ", instance noise " + pretty(o.instance_noise) + " falling to 0 in " +
                 (o.instance_noise_end < 1 ? pretty(o.instance_noise_end) + " of " : "") + "the training";
  if (o.ema > 0) objective += ", average of G " + pretty(o.ema);
  const double first_weights = std::pow(o.ema, static_cast<double>(plan.steps));
  plan.rows = {
      {"data", s.dataset.name() + ": " + counted(images.count, "image") + " of " + std::to_string(images.height) + "×" +
                   std::to_string(images.width) +
                   (images.channels > 1 ? ", " + std::to_string(images.channels) + " at a time" : "") +
                   (s.gan->data.classes > 0 ? " in " + std::to_string(s.gan->data.classes) + " classes" : "") +
                   " from " + s.dataset.folder()},
      {"generator",
       (o.latent_distribution == "normal" ? "" : o.latent_distribution + " ") + network_row(s.gan->generator)},
      {"discriminator", network_row(s.gan->discriminator)},
      {"objective", objective},
      {"optimiser", optimizer_row(o, *s.gan)},
      {"training",
       counted(plan.steps, "step") + " of " + counted(o.batch, "image") +
           (o.micro_batch > 0 ? ", up to " + grouped(static_cast<std::uint64_t>(s.step->rows())) + " at a time" : "") +
           " (" + pretty(plan.epochs) + (plan.epochs == 1 ? " epoch" : " epochs") + "), seed " +
           std::to_string(o.seed)},
      {"ranks", hosts_row(ranks)},
      {"device", s.device->is_host()    ? s.device->description() + " per rank"
                 : o.reduction == "mpi" ? "GPUs, which ranks may share"
                                        : "one GPU per rank"},
      {"same again", o.reproducible ? "bit for bit on any number of ranks and threads (" + std::to_string(o.shards) +
                                          " virtual shards, fixed-point sums, " + s.device->arithmetic() + ")"
                                    // Over NCCL the order of float sums is no promise.
                                    : (s.device->is_host() || ranks.size() == 1
                                           ? "bit for bit on " + std::to_string(ranks.size()) +
                                                 (ranks.size() == 1 ? " rank" : " ranks placed as these") +
                                                 (s.device->is_host() ? " and any number of threads" : "") +
                                                 "; on others to rounding, which grows"
                                           : "to rounding, which grows; bit for bit with --reproducible")},
      {"start", origin},
  };
  if (first_weights > worth_telling)
    plan.rows.emplace_back("pictures",
                           "of G's average, in which the first weights still count for " +
                               pretty(std::round(100 * first_weights)) +
                               " % at the end: blurred or grey; longer trainings or --ema 0 draw sharper ones");
  plan.rows.emplace_back("memory", bytes_text(static_cast<double>(s.memory.total())) + " of each rank's " +
                                       (s.device->is_host() ? "host" : "GPU") + ", beside the program's own");
  plan.memory = s.memory.parts;
  if (o.eval_every > 0) {
    plan.rows.emplace_back("evaluation", joined(eval_metrics(o)) + " every " + counted(o.eval_every, "step") + ", of " +
                                             counted(o.eval_samples, "sample") + " beside the set's " +
                                             counted(s.dataset.test().count, "test image"));
  }
  if (comm::Watchdog::current() != nullptr) plan.rows.emplace_back("watchdog", comm::Watchdog::rule(o.timeout));
  if (!s.device->is_host()) {
    // Which GPU each rank has is the first thing to look at when a job is slow or does not start.
    const std::vector<std::string> gpus = ranks.all_gather(host_name() + "  " + s.device->description());
    for (std::size_t rank = 0; rank < gpus.size(); ++rank)
      plan.rows.emplace_back("rank " + std::to_string(rank), gpus[rank]);
  }
  return plan;
}

}  // namespace ganymede
