// The options of a training, as a struct for callers and as a table for everything that handles them by
// name: command line, recipes, config.ini, checkpoints, documentation. Options are declared once, in
// src/train/options.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace ganymede {

/// Everything that a training can be told. Member defaults are the built-in ones (recipe `gan`).
struct TrainOptions {
  // data and run
  std::string data = "mnist-mini";
  int stack = 1;
  std::string out;  ///< the run's folder; must be set
  bool resume = false;
  std::vector<std::string> allow_change;  ///< trajectory options that may differ from the resumed run's

  // networks
  std::string model = "mlp";
  int latent = 100;
  std::string latent_distribution = "normal";
  std::string condition = "none";
  std::vector<int> generator_hidden = {128, 128};
  std::vector<int> discriminator_hidden = {128, 128};
  std::string generator_activation = "relu";
  std::string discriminator_activation = "relu";
  double leak = 0.2;
  std::string generator_norm = "none";
  std::string discriminator_norm = "none";
  bool spectral_norm = false;
  double dropout = 0;
  double input_dropout = 0;
  std::string init = "glorot";
  std::vector<std::string> init_from;  ///< weights files to start from, of either network or both
  std::vector<int> channels = {64, 128};
  int kernel = 5;
  int fully_connected = 1024;
  int blocks = 1;

  // objective
  std::string loss = "non-saturating";
  std::string scheme = "alternating";
  double label_smoothing = 0;
  int d_steps = 1;
  int d_burst = 0;  ///< 0: none
  std::uint64_t d_burst_first = 25;
  std::uint64_t d_burst_every = 500;
  double r1 = 5.0;
  double r2 = 0;
  double gradient_penalty = 0;
  std::uint64_t penalty_every = 1;
  double instance_noise = 0;
  double instance_noise_end = 1;
  double ema = 0.999;

  // optimiser
  std::string optimizer = "adam";
  double learning_rate = 2e-4;
  double generator_learning_rate = 0;  ///< 0: learning_rate
  double discriminator_learning_rate = 0;
  std::string schedule = "constant";
  double schedule_start = 0;
  double schedule_end = 0;
  double beta1 = 0.5;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double momentum = 0;
  double rmsprop_decay = 0.99;
  double weight_decay = 0;
  double clip_gradient = 0;
  double clip_weights = 0;

  // training
  int batch = 100;
  int micro_batch = 0;      ///< 0: a rank's rows of the batch at once
  std::uint64_t steps = 0;  ///< 0: as many as `epochs` take
  double epochs = 1000;
  std::uint64_t seed = 1;

  // execution
  std::string device = "auto";  ///< "auto", "cpu", "cuda", "cuda:0", …
  std::string reduction = "auto";
  bool debug = false;
  bool no_graph = false;
  std::string precision = "fp32";
  int threads = 0;  ///< per rank; 0: the node's cores shared by its ranks
  bool reproducible = false;
  int shards = 8;
  std::string instruction_set = "auto";
  std::string on_nan = "rollback";
  int timeout = 0;  ///< seconds without progress after which the program ends the job; 0: 60, or 100 median steps

  // what is written, and when (in steps)
  std::uint64_t checkpoint_every = 5000;
  int keep = 3;
  std::uint64_t keep_every = 0;  ///< 0: none
  std::string checkpoint_failure = "stop";
  std::uint64_t sample_every = 1000;
  int sample_count = 100;
  std::uint64_t log_every = 100;
  std::uint64_t drift_every = 1000;
  std::uint64_t diagnose_every = 500;
  std::string stop_on = "nothing";
  std::uint64_t eval_every = 0;
  std::vector<std::string> eval_metrics = {"auto"};
  std::uint64_t eval_samples = 10000;
  bool tensorboard = false;
  std::uint64_t tensorboard_histograms_every = 0;  ///< 0: none
};

/// What an option has a say in, the least first.
enum class OptionRole {
  call,        ///< this call alone: it is not written to config.ini
  execution,   ///< how a run is made and what is written of it
  gpu,         ///< the same, on a GPU alone
  trajectory,  ///< the weights: stored with them, and equal when a run is resumed
  tensors      ///< also what tensors a checkpoint has, so that it fits no other value
};

/// One entry of the table. One that is added takes the default with which a training is what it was before.
struct OptionSpec {
  const char* name;   ///< "batch", without dashes
  const char* group;  ///< heading in --help and the README
  const char* value;  ///< placeholder ("N", "NAME|DIR"); empty for a switch
  const char* help;
  OptionRole role;
  /// Parses `text`; throws Error(usage) naming the option, what it takes and what it got.
  void (*set)(TrainOptions& options, const OptionSpec& spec, const std::string& text);
  /// The value as `set` takes it: parsing it gives the same value back.
  std::string (*get)(const TrainOptions& options);

  [[nodiscard]] bool stored() const { return role != OptionRole::call; }
  [[nodiscard]] bool trajectory() const { return role >= OptionRole::trajectory; }
};

std::span<const OptionSpec> train_option_specs();

/// nullptr when there is none of that name.
const OptionSpec* find_train_option(const std::string& name);

/// Sets one option by name; an unknown name is an Error(usage) that suggests the nearest.
void set_train_option(TrainOptions& options, const std::string& name, const std::string& text);

/// Checks what concerns several options together: those that contradict each other, and those that do nothing beside
/// the others. Throws Error(usage).
void check_train_options(const TrainOptions& options);

/// The names of those options given that only a GPU looks at: "precision".
std::vector<std::string> given_gpu_options(const TrainOptions& options);

/// The options that config.ini has, as texts by name.
std::map<std::string, std::string> stored_options(const TrainOptions& options);

/// The trajectory options as texts by name.
std::map<std::string, std::string> trajectory_options(const TrainOptions& options);

/// Why --allow-change cannot let an option differ from a resumed run's; empty where it can.
std::string why_not_changeable(const std::string& name);

/// The content of config.ini: every stored option, with its help as a comment.
std::string config_text(const TrainOptions& options, const std::string& recipe);

}  // namespace ganymede
