// From options to a training that is ready to run.
#include "train/setup.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "core/names.hpp"
#include "core/numbers.hpp"
#include "data/labels.hpp"
#include "device/cuda_module.hpp"
#include "device/precision.hpp"
#include "gan/models/models.hpp"
#include "gan/update_schedule.hpp"
#include "ganymede/error.hpp"
#include "report/run_folder.hpp"
#include "train/agreed_device.hpp"
#include "train/evaluation.hpp"
#include "train/init_from.hpp"
#include "train/plan.hpp"
#include "train/resume.hpp"
#include "train/rollback.hpp"

namespace ganymede {
namespace {

// Device::arithmetic() of what a checkpoint was computed on: what has it still.
std::string what_keeps_bits(const std::string& arithmetic) {
  if (!arithmetic.starts_with("cuda"))
    return "--instruction-set " + arithmetic + " keeps the bits where every rank's CPU has it";
  const std::string last = arithmetic.substr(arithmetic.rfind(' ') + 1);
  const bool named = std::find(precision_names.begin(), precision_names.end(), last) != precision_names.end();
  return "such GPUs with --precision " + (named ? last : name_of(Precision::float32)) + " keep the bits";
}

void check_same_options(const TrainOptions& options, Communicator& ranks) {
  std::string mine;
  for (const OptionSpec& spec : train_option_specs()) mine += std::string(spec.name) + " = " + spec.get(options) + "\n";
  const std::vector<std::string> all = ranks.all_gather(mine);
  for (std::size_t r = 1; r < all.size(); ++r) {
    if (all[r] == all[0]) continue;
    const auto at = std::mismatch(all[0].begin(), all[0].end(), all[r].begin(), all[r].end());
    const auto line = [](const std::string& text, std::string::const_iterator place) {
      const auto offset = static_cast<std::size_t>(place - text.begin());
      const std::size_t before = offset == 0 ? std::string::npos : text.rfind('\n', offset - 1);
      const std::size_t begin = before == std::string::npos ? 0 : before + 1;
      return text.substr(begin, text.find('\n', offset) - begin);
    };
    throw AgreedError(ExitCode::usage, "rank 0 was started with '" + line(all[0], at.first) + "', rank " +
                                           std::to_string(r) + " with '" + line(all[r], at.second) +
                                           "': start all ranks with the same options");
  }
}

// Whether tensors fit after changes that were allowed, only the networks themselves can say.
void load_checkpoint(Gan& gan, const FoundCheckpoint& found, const TrajectoryChanges& changes) {
  const std::string folder = found.folder.string();
  try {
    gan.load(found.checkpoint.files, folder);
    if (const auto other = generator_facts(found).difference_from(gan.data))
      throw Error(ExitCode::data, folder + " is of images with " + other->name + " " + std::to_string(other->stated) +
                                      ", not " + std::to_string(other->needed));
  } catch (const Error& failure) {
    if (changes.made.empty()) throw;
    throw Error(ExitCode::usage, "the checkpoint does not fit what --allow-change let through (" +
                                     joined(changes.made) + "): " + failure.what() +
                                     ". Give the run's own values, or train anew");
  }
}

// Loads a checkpoint that all ranks have and gives what the training starts from, in words, and what of its trajectory
// is changed. Collective.
std::string go_on(TrainSetup& s, const FoundCheckpoint& found, const TrainOptions& options, Communicator& ranks,
                  std::vector<std::string>& changed) {
  const Checkpoint& c = found.checkpoint;
  TrajectoryChanges changes;
  together(ranks, [&] {
    changes = check_same_trajectory(found, options, s.data_digest, s.dataset.folder(), s.gan->data);
    load_checkpoint(*s.gan, found, changes);
    s.rollbacks = rollbacks_of(c);
  });
  lower_learning_rates(*s.gan, s.rollbacks);
  s.step->set_steps(c.step);
  s.warnings.insert(s.warnings.end(), changes.warnings.begin(), changes.warnings.end());
  s.warnings.insert(s.warnings.end(), found.refused.begin(), found.refused.end());
  if (c.arithmetic != s.device->arithmetic())
    s.warnings.push_back("the checkpoint was computed with " + c.arithmetic + ", this run computes with " +
                         s.device->arithmetic() + ": it goes on to rounding, not bit for bit (" +
                         what_keeps_bits(c.arithmetic) + ")");
  std::string origin = "resumed from " + found.folder.filename().string();
  for (const std::string& change : changes.made) origin += ", " + change;
  changed = changes.made;
  if (s.rollbacks > 0) origin += ", with the learning rates of " + counted(s.rollbacks, "roll-back");
  return origin;
}

// They would be another training's from now on, and overwritten at its end.
void check_no_final_weights(const TrainOptions& options) {
  const RunFolder folder(options.out);
  std::error_code error;
  if (std::filesystem::exists(folder.generator(), error) || std::filesystem::exists(folder.discriminator(), error))
    throw Error(ExitCode::usage, "--resume: " + options.out +
                                     " holds final weights, but no checkpoint to go on from: choose another folder, "
                                     "or delete its generator.safetensors and discriminator.safetensors to begin anew "
                                     "here");
}

}  // namespace

std::uint64_t total_steps(const TrainOptions& options, std::uint32_t images, const Shown& from) {
  if (options.steps > 0) return options.steps;
  return steps_to_see(options, options.epochs * images, from);
}

TrainSetup set_up(const TrainOptions& options, Communicator& ranks) {
  together(ranks, [&] {
    check_train_options(options);
    // Says now, on every rank alike, when there are too many ranks for the batch.
    share_of_batch(options.batch, ranks.rank(), ranks.size(), options.reproducible, options.shards);
  });
  check_same_options(options, ranks);
  TrainSetup s;
  DatasetNeeds needs;
  needs.train_labels = is_conditional(options);
  needs.test = options.eval_every > 0;
  needs.test_labels = needs.test && eval::any(eval_metrics(options), &eval::Metric::labels);
  needs.test_if_there = options.diagnose_every > 0;
  // Of a conditional training D judges images by their classes; an evaluation asks whether its judge can read them.
  needs.test_labels_if_there = needs.train_labels || needs.test;
  if (needs.train_labels)
    needs.without_train_labels =
        "--condition " + options.condition + " needs labels; " +
        (options.resume ? "a run goes on with the --condition that it began with" : "--condition none trains without");
  if (needs.test) needs.without_test = "--eval-every compares with test images; 0 trains without";
  if (needs.test_labels)
    needs.without_test_labels =
        "--eval-metrics 1nn-error needs labelled test images; leave it out to do without the labels";
  if (options.resume) needs.otherwise = "where the set lies elsewhere now, give that with --data";
  s.dataset = Dataset::open(options.data, needs, ranks);
  together(ranks, [&] { check_evaluation(options, s.dataset); });
  s.images = s.dataset.train();
  s.images.channels = options.stack;
  if (!needs.train_labels || !s.dataset.test().labels.empty()) s.held_out = s.dataset.test();
  s.held_out.channels = options.stack;
  if (needs.train_labels)
    if (std::string gap = gap_in_labels(s.images, s.dataset.name()); !gap.empty()) s.warnings.push_back(std::move(gap));
  s.data_digest = needs.train_labels ? s.dataset.labelled_digest() : s.dataset.digest();
  s.device = make_agreed_device(options, ranks, s.warnings);
  // Before the networks are made: how long their training is depends on where it stands.
  std::optional<FoundCheckpoint> found;
  if (options.resume) found = find_checkpoint(ranks, [&] { return newest_checkpoint(options.out); });
  if (found) s.from = {found->checkpoint.step, found->checkpoint.images_seen};
  TrainOptions resolved = options;
  resolved.steps = total_steps(options, s.dataset.train().count, s.from);
  s.free_memory = s.device->available_memory();
  together(ranks, [&] {
    s.memory = plan_available_memory(resolved, ranks, s.images, *s.device);
    s.device->set_memory_advice(memory_advice(resolved, ranks, s.images));
    s.gan = std::make_unique<Gan>(make_gan(resolved, s.images.shape(), *s.device));
    const std::size_t most = std::max(s.gan->generator.parameter_count(), s.gan->discriminator.parameter_count());
    if (!s.device->is_host() && most + most / 16 > CudaLimits::parameters)
      throw Error(ExitCode::usage,
                  "a network of " + grouped(most) + " parameters is more than the GPU backend takes (" +
                      grouped(CudaLimits::parameters - CudaLimits::parameters / 16) + "): use narrower layers");
  });
  check_same_arithmetic(options, *s.device, ranks, s.warnings);
  // Not in together(): it makes reductions, in which the others would wait for a rank that has no memory for its share
  // and is already in the agreement on how things went. Such a failure is the rank's alone, and the caller ends the
  // job.
  s.step = std::make_unique<GanStep>(*s.device, ranks, *s.gan, s.images, resolved);

  std::string origin = "from initial weights";
  std::vector<std::string> changed;
  if (found) {
    origin = go_on(s, *found, options, ranks, changed);
  } else {
    if (options.resume) {
      on_root(ranks, [&] { check_no_final_weights(options); });
      origin += ", as there is no run to go on with";
    }
    if (!options.init_from.empty())
      origin = "from the weights of " + load_initial_weights(options, ranks, *s.gan, s.warnings);
  }
  s.plan = make_plan(options, ranks, s, origin);
  s.plan.warnings = std::move(s.warnings);
  if (s.plan.first_step > s.plan.steps)
    throw AgreedError(ExitCode::usage, "the run already has " + std::to_string(s.plan.first_step) +
                                           " steps, more than the " + std::to_string(s.plan.steps) +
                                           " asked for: raise --steps or --epochs");
  // The run would say from then on what no step was made with.
  if (s.plan.first_step == s.plan.steps && !changed.empty())
    throw AgreedError(ExitCode::usage, "the run has all its " + std::to_string(s.plan.steps) +
                                           " steps already, and none is left to change (" + joined(changed) +
                                           "): raise --steps or --epochs");
  return s;
}

}  // namespace ganymede
