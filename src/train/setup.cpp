// From options to a training that is ready to run.
#include "train/setup.hpp"

#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>

#include "comm/watchdog.hpp"
#include "core/cores.hpp"
#include "core/files.hpp"
#include "core/numbers.hpp"
#include "device/cuda_module.hpp"
#include "gan/gradient_penalty.hpp"
#include "gan/models/models.hpp"
#include "gan/update_schedule.hpp"
#include "ganymede/error.hpp"
#include "train/resume.hpp"
#include "train/rollback.hpp"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

// 1234567 as "1 234 567".
std::string grouped(std::uint64_t value) {
  std::string text = std::to_string(value);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3)
    text.insert(static_cast<std::size_t>(at), " ");
  return text;
}

// "1 step", "2 steps".
std::string counted(std::uint64_t count, const std::string& what) {
  return grouped(count) + " " + what + (count == 1 ? "" : "s");
}

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
  if (o.schedule != "constant")
    text += ", " + o.schedule + " to " + pretty(o.schedule_end) + " times that" +
            (o.schedule_start > 0 ? " from " + pretty(o.schedule_start) + " of the training on" : "");
  for (const auto& [name, value] : gan.generator_optimizer->own_constants()) text += ", " + name + " " + pretty(value);
  if (o.weight_decay > 0) text += ", weight decay " + pretty(o.weight_decay);
  if (o.clip_gradient > 0) text += ", gradients clipped to norm " + pretty(o.clip_gradient);
  if (o.clip_weights > 0) text += ", D's weights clipped to ±" + pretty(o.clip_weights);
  return text;
}

// Whether a run's folder can be made or written to, as far as that can be told without trying.
void check_writable(const fs::path& run) {
  const auto refuse = [&](const std::string& why) {
    throw Error(ExitCode::data, "--out " + run.string() + " " + why + ": choose another folder");
  };
  std::error_code error;
  fs::path place = run;
  while (!place.empty() && fs::status(place, error).type() == fs::file_type::not_found) {
    if (fs::is_symlink(place, error))
      refuse("leads nowhere: " + place.string() + " is a symbolic link to " + fs::read_symlink(place, error).string() +
             ", which does not exist");
    place = place.parent_path();
  }
  if (place.empty()) place = ".";
  const fs::file_status status = fs::status(place, error);
  if (!fs::status_known(status)) refuse("cannot be examined: " + error.message());
  if (!fs::is_directory(status))
    refuse(place == run ? "is not a folder" : "cannot be made: " + place.string() + " is not a folder");
  const std::string what = place == run ? "cannot be written to" : "cannot be made in " + place.string();
  // Root is told of a file system that is read-only, but not of one that takes no files.
  struct statfs system {};
  if (::access(place.c_str(), W_OK | X_OK) != 0) refuse(what + ": " + std::strerror(errno));
  if (::statfs(place.c_str(), &system) == 0 && (system.f_type == PROC_SUPER_MAGIC || system.f_type == SYSFS_MAGIC))
    refuse(what + ": it is the kernel's");
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

// CPU ranks choose one instruction set for all; GPUs are what they are.
void check_same_arithmetic(const TrainOptions& options, const Device& device, Communicator& ranks,
                           std::vector<std::string>& warnings) {
  const std::vector<std::string> all = ranks.all_gather(device.arithmetic());
  const auto other = std::find_if(all.begin(), all.end(), [&](const std::string& a) { return a != all[0]; });
  if (other == all.end()) return;
  const std::string what = "the ranks' GPUs differ: rank 0 computes with " + all[0] + ", rank " +
                           std::to_string(other - all.begin()) + " with " + *other;
  if (options.reproducible)
    throw AgreedError(ExitCode::launch, what +
                                            ", so bits could depend on who computes what: start on GPUs of one kind, "
                                            "or without --reproducible");
  warnings.push_back(what + ": a run on other GPUs will agree with it to rounding");
}

// Whether tensors fit after changes that were allowed, only the networks themselves can say.
void load_checkpoint(Gan& gan, const FoundCheckpoint& found, const TrajectoryChanges& changes) {
  const std::string folder = found.folder.string();
  try {
    gan.load(found.checkpoint.files, folder);
    const std::map<std::string, std::string>& facts = found.checkpoint.files.at("generator").metadata;
    for (const auto& [name, value] : shape_facts(gan.data))
      if (facts.contains(name) && facts.at(name) != value)
        throw Error(ExitCode::data, folder + " is of images with " + name + " " + facts.at(name) + ", not " + value);
  } catch (const Error& failure) {
    if (changes.made.empty()) throw;
    std::string list;
    for (const std::string& change : changes.made) list += (list.empty() ? "" : ", ") + change;
    throw Error(ExitCode::usage, "the checkpoint does not fit what --allow-change let through (" + list +
                                     "): " + failure.what() + ". Give the run's own values, or train anew");
  }
}

std::string hosts_row(Communicator& ranks) {
  std::vector<std::string> hosts = ranks.all_gather(host_name());
  std::sort(hosts.begin(), hosts.end());
  hosts.erase(std::unique(hosts.begin(), hosts.end()), hosts.end());
  std::string names;
  for (std::size_t i = 0; i < hosts.size() && i < 4; ++i) names += (i == 0 ? "" : ", ") + hosts[i];
  if (hosts.size() > 4) names += ", …";
  return std::to_string(ranks.size()) + (ranks.size() == 1 ? " rank" : " ranks") + " on " +
         std::to_string(hosts.size()) + (hosts.size() == 1 ? " host (" : " hosts (") + names + "); " +
         ranks.description();
}

TrainPlan make_plan(const TrainOptions& o, Communicator& ranks, const TrainSetup& s, const std::string& origin) {
  TrainPlan plan;
  const ImageSet& images = s.images;
  plan.steps = total_steps(o, images.count);
  plan.first_step = s.step->steps();
  plan.epochs = static_cast<double>(discriminator_updates(o, plan.steps)) * static_cast<double>(o.batch) / images.count;
  std::string objective = o.loss + ", " + o.scheme;
  if (o.d_steps != 1) objective += ", " + std::to_string(o.d_steps) + " steps of D per step of G";
  if (o.d_burst > 0) objective += " (" + std::to_string(o.d_burst) + " now and then)";
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
           (o.micro_batch > 0 ? ", up to " + grouped(static_cast<std::uint64_t>(o.micro_batch)) + " at a time" : "") +
           " (" + pretty(plan.epochs) + (plan.epochs == 1 ? " epoch" : " epochs") + "), seed " +
           std::to_string(o.seed)},
      {"ranks", hosts_row(ranks)},
      {"device", s.device->is_host()    ? s.device->description() + " per rank"
                 : o.reduction == "mpi" ? "GPUs, which ranks may share"
                                        : "one GPU per rank"},
      {"same again", o.reproducible
                         ? "bit for bit on any number of ranks and threads (" + std::to_string(o.shards) +
                               " virtual shards, fixed-point sums, " + s.device->arithmetic() + ")"
                         : "bit for bit on " + std::to_string(ranks.size()) + (ranks.size() == 1 ? " rank" : " ranks") +
                               (s.device->is_host() ? " and any number of threads" : "") +
                               "; to rounding on another number of ranks"},
      {"start", origin},
  };
  if (comm::Watchdog::current() != nullptr) plan.rows.emplace_back("watchdog", comm::Watchdog::rule(o.timeout));
  if (!s.device->is_host()) {
    // Which GPU each rank has is the first thing to look at when a job is slow or does not start.
    const std::vector<std::string> gpus = ranks.all_gather(host_name() + "  " + s.device->description());
    for (std::size_t rank = 0; rank < gpus.size(); ++rank)
      plan.rows.emplace_back("rank " + std::to_string(rank), gpus[rank]);
  }
  return plan;
}

}  // namespace

std::string shared_text(Communicator& ranks, std::string text) {
  auto size = static_cast<std::uint64_t>(text.size());
  ranks.broadcast(&size, sizeof size, 0);
  text.resize(size);
  ranks.broadcast(text.data(), text.size(), 0);
  return text;
}

void check_run_place(const TrainOptions& options) {
  if (options.out.empty())
    throw Error(ExitCode::usage, "no folder for the run: add --out RUN (for example --out runs/first)");
  check_writable(options.out);
}

bool holds_run(const TrainOptions& options) {
  const fs::path run = options.out;
  std::error_code error;
  return fs::exists(run / "config.ini", error) || fs::exists(run / "checkpoints", error);
}

void check_no_other_run(const TrainOptions& options) {
  if (!options.resume && holds_run(options))
    throw Error(ExitCode::usage, "--out " + options.out +
                                     " already holds a run: add --resume to go on with it, or choose another folder");
}

std::uint64_t total_steps(const TrainOptions& options, std::uint32_t images) {
  if (options.steps > 0) return options.steps;
  return steps_to_see(options, options.epochs * images);
}

namespace {

// Whether this job trains on GPUs: what --device says, or with `auto` what all ranks find. A message for the user, if
// any, goes to `warnings`.
bool use_gpus(const TrainOptions& options, Communicator& ranks, std::vector<std::string>& warnings) {
  if (options.device != "auto") return options.device != "cpu";
  const CudaProbe probe = probe_cuda();
  const std::vector<std::string> all = ranks.all_gather((probe.problem.empty() ? "gpu"
                                                         : probe.expected      ? "none"
                                                                               : "bad") +
                                                        ("\n" + host_name() + "\n" + probe.problem));
  const auto starts = [](const char* word) {
    return [word](const std::string& text) { return text.starts_with(word); };
  };
  const auto with = std::find_if(all.begin(), all.end(), starts("gpu"));
  const auto without = std::find_if_not(all.begin(), all.end(), starts("gpu"));
  const auto host = [](const std::string& text) {
    const std::size_t at = text.find('\n') + 1;
    return text.substr(at, text.find('\n', at) - at);
  };
  if (without == all.end()) return true;
  const std::string problem = without->substr(without->rfind('\n') + 1);
  if (with != all.end())
    throw AgreedError(ExitCode::launch, "host " + host(*with) + " has a GPU, but on " + host(*without) + " " + problem +
                                            ". Start the job on hosts that are alike, or everywhere with --device cpu");
  const auto bad = std::find_if(all.begin(), all.end(), starts("bad"));
  if (bad != all.end())
    warnings.push_back("training on the CPU, because on " + host(*bad) + " " + bad->substr(bad->rfind('\n') + 1));
  return false;
}

std::unique_ptr<Device> make_gpu_device(const TrainOptions& options, Communicator& ranks) {
  CudaOptions cuda;
  if (options.device.starts_with("cuda:")) cuda.device = std::stoi(options.device.substr(5));
  cuda.debug = options.debug;
  cuda.graph = !options.no_graph;
  cuda.tf32 = options.tf32;
  cuda.reproducible = options.reproducible;
  cuda.through_mpi = options.reduction == "mpi";
  together(ranks, [&] {
    const BatchShare share =
        share_of_batch(options.batch, ranks.rank(), ranks.size(), options.reproducible, options.shards);
    int shards = 0;
    int rows = 0;
    for (const Slice& slice : slices_of(share, options.micro_batch, options.reproducible)) {
      shards = std::max(shards, slice.parts(1).shards());
      rows = std::max(rows, slice.rows());
    }
    if (shards > CudaLimits::shards)
      throw Error(ExitCode::usage,
                  "a GPU takes at most " + std::to_string(CudaLimits::shards) + " virtual shards at a time, not " +
                      std::to_string(shards) +
                      ": use a smaller --shards (which changes the trajectory), --micro-batch or more ranks");
    if (has_penalties(options) && rows > CudaLimits::penalty_rows)
      throw Error(ExitCode::usage, "a gradient penalty on a GPU takes at most " +
                                       std::to_string(CudaLimits::penalty_rows) + " images at a time, not " +
                                       std::to_string(rows) + ": use --micro-batch " +
                                       std::to_string(CudaLimits::penalty_rows) + ", a smaller --batch or more ranks");
  });
  MakeCudaDevice make = nullptr;
  together(ranks, [&] { make = cuda_device_factory(); });
  return make(ranks, cuda);
}

}  // namespace

std::unique_ptr<Device> make_agreed_device(const TrainOptions& options, Communicator& ranks,
                                           std::vector<std::string>& warnings) {
  if (use_gpus(options, ranks, warnings)) return make_gpu_device(options, ranks);
  const std::vector<std::string> here = cpu_instruction_sets();
  auto widest = static_cast<std::int64_t>(here.size());
  if (options.instruction_set != "auto") {
    const auto wanted = std::find(here.begin(), here.end(), options.instruction_set);
    together(ranks, [&] {
      if (wanted == here.end())
        throw Error(ExitCode::launch, "this CPU has no " + options.instruction_set + ", the widest it has is " +
                                          here.back() + ": use --instruction-set auto");
    });
    widest = wanted - here.begin() + 1;
  }
  ranks.all_min(std::span(&widest, 1));
  // A launcher may have given each rank cores of its own.
  const std::vector<int> mine = usable_cores();
  const std::vector<std::string> places = ranks.all_gather(host_name() + " " + core_list(mine));
  const auto sharing =
      static_cast<int>(std::count(places.begin(), places.end(), places[static_cast<std::size_t>(ranks.rank())]));
  const auto cores = static_cast<int>(mine.size());
  const int threads = options.threads > 0 ? options.threads : std::max(1, cores / sharing);
  // One thread each on more ranks than cores is how ranks are tried out.
  if (options.threads > 1 && threads * sharing > cores)
    warnings.push_back("--threads " + std::to_string(threads) + " on " + counted(sharing, "rank") + " of a host with " +
                       counted(cores, "core") +
                       " makes threads wait for each other: training is faster without --threads");
  std::unique_ptr<Device> device;
  together(ranks, [&] { device = make_cpu_device(threads, here[static_cast<std::size_t>(widest - 1)]); });
  return device;
}

std::unique_ptr<Device> make_agreed_cpu_device(int threads, Communicator& ranks, std::vector<std::string>& warnings) {
  TrainOptions options;
  options.device = "cpu";
  options.threads = threads;
  return make_agreed_device(options, ranks, warnings);
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
  try {
    s.dataset = Dataset::open(options.data, needs, ranks);
  } catch (const AgreedError& failure) {
    if (!needs.train_labels) throw;
    throw AgreedError(failure.code(), std::string(failure.what()) + " (--condition " + options.condition +
                                          " needs labels; --condition none trains without)");
  }
  s.images = s.dataset.train();
  s.images.channels = options.stack;
  s.data_digest = needs.train_labels ? s.dataset.labelled_digest() : s.dataset.digest();
  s.device = make_agreed_device(options, ranks, s.warnings);
  TrainOptions resolved = options;
  resolved.steps = total_steps(options, s.dataset.train().count);
  together(ranks, [&] {
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
  if (options.resume) {
    if (const std::optional<FoundCheckpoint> found =
            find_checkpoint(ranks, [&] { return newest_checkpoint(options.out); })) {
      const Checkpoint& c = found->checkpoint;
      TrajectoryChanges changes;
      together(ranks, [&] {
        changes = check_same_trajectory(*found, options, s.data_digest, s.dataset.folder());
        load_checkpoint(*s.gan, *found, changes);
      });
      s.rollbacks = rollbacks_of(c);
      lower_learning_rates(*s.gan, s.rollbacks);
      s.step->set_steps(c.step);
      s.images_seen = c.images_seen;
      s.warnings.insert(s.warnings.end(), changes.warnings.begin(), changes.warnings.end());
      s.warnings.insert(s.warnings.end(), found->refused.begin(), found->refused.end());
      if (c.arithmetic != s.device->arithmetic())
        s.warnings.push_back("the checkpoint was computed with " + c.arithmetic + ", this run computes with " +
                             s.device->arithmetic() + ": it goes on to rounding, not bit for bit (--instruction-set " +
                             c.arithmetic + " keeps the bits where every rank's CPU has it)");
      origin = "resumed from " + found->folder.filename().string();
      for (const std::string& change : changes.made) origin += ", " + change;
      if (s.rollbacks > 0) origin += ", with the learning rates of " + counted(s.rollbacks, "roll-back");
    }
  }
  s.plan = make_plan(options, ranks, s, origin);
  s.plan.warnings = std::move(s.warnings);
  if (s.plan.first_step > s.plan.steps)
    throw AgreedError(ExitCode::usage, "the run already has " + std::to_string(s.plan.first_step) +
                                           " steps, more than the " + std::to_string(s.plan.steps) +
                                           " asked for: raise --steps or --epochs");
  return s;
}

}  // namespace ganymede
