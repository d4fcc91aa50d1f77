// The one declaration of every training option: name, range, help, and whether the trajectory depends on it.
#include "ganymede/options.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <limits>
#include <type_traits>
#include <utility>

#include "comm/watchdog.hpp"
#include "core/names.hpp"
#include "core/numbers.hpp"
#include "device/precision.hpp"
#include "gan/losses.hpp"
#include "gan/models/models.hpp"
#include "ganymede/error.hpp"
#include "math/activation/activations.hpp"
#include "nn/optimizer.hpp"
#include "train/evaluation.hpp"
#include "train/nan_guard.hpp"

namespace ganymede {
namespace {

[[noreturn]] void refuse(const OptionSpec& spec, const std::string& text, const std::string& takes,
                         const std::string& near = {}) {
  throw Error(ExitCode::usage, "--" + std::string(spec.name) + " takes " + takes + ", not '" + text + "'" +
                                   (near.empty() ? "" : "; did you mean '" + near + "'?"));
}

template <class T>
std::string number_text(T value) {
  std::array<char, 64> buffer{};
  return {buffer.data(), std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr};
}

template <class T>
T number(const OptionSpec& spec, const std::string& text, T least, T most, const char* kind) {
  const std::optional<T> value = number_from<T>(text);
  // One that is no number is neither less nor more.
  if (!value || !(*value >= least && *value <= most))
    refuse(spec, text, std::string(kind) + " from " + number_text(least) + " to " + number_text(most));
  return *value;
}

// What each member's type needs of a setter, chosen by the entries below.
template <auto Member, auto Least, auto Most>
void set_number(TrainOptions& o, const OptionSpec& spec, const std::string& text) {
  using T = std::remove_reference_t<decltype(o.*Member)>;
  o.*Member = number<T>(spec, text, static_cast<T>(Least), static_cast<T>(Most),
                        std::is_integral_v<T> ? "a whole number" : "a number");
}
// Clang 14 knows no template arguments of floating-point type, so ranges that need them have names.
struct Range {
  double least;
  double most;
};
constexpr Range below_one{0, 0.9999999};
constexpr Range below_half{0, 0.4999999};
constexpr Range tiny_to_one{1e-30, 1};
constexpr Range tiny_to_huge{1e-9, 1e9};
template <auto Member, const Range& Allowed>
void set_real(TrainOptions& o, const OptionSpec& spec, const std::string& text) {
  o.*Member = number<double>(spec, text, Allowed.least, Allowed.most, "a number");
}
template <auto Member>
std::string get_number(const TrainOptions& o) {
  return number_text(o.*Member);
}

template <auto Member>
void set_switch(TrainOptions& o, const OptionSpec& spec, const std::string& text) {
  if (text != "true" && text != "false") refuse(spec, text, "true or false");
  o.*Member = text == "true";
}
template <auto Member>
std::string get_switch(const TrainOptions& o) {
  return o.*Member ? "true" : "false";
}

// A text that can be written to an INI file and read back: '#' would start a comment there, a line end
// would end the value, and blanks at the ends would be cut.
template <auto Member>
void set_text(TrainOptions& o, const OptionSpec& spec, const std::string& text) {
  const bool control = std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; });
  if (text.empty() || control || text.find('#') != std::string::npos || text.front() == ' ' || text.back() == ' ')
    refuse(spec, text, "a text without '#', line ends and outer blanks (it must fit into config.ini)");
  o.*Member = text;
}
template <auto Member>
std::string get_text(const TrainOptions& o) {
  return o.*Member;
}

template <auto Member, auto Names>
void set_choice(TrainOptions& o, const OptionSpec& spec, const std::string& text) {
  const std::vector<std::string> names = Names();
  if (std::find(names.begin(), names.end(), text) == names.end())
    refuse(spec, text, either(names), nearest_name(text, names));
  o.*Member = text;
}

void set_device(TrainOptions& o, const OptionSpec& spec, const std::string& text) {
  const std::string takes = "auto, cpu, cuda or cuda:N (the GPU number N of those this process sees)";
  if (text == "gpu") refuse(spec, text, takes, "cuda");
  const std::string cuda = "cuda:";
  if (text.starts_with(cuda)) {
    if (number_from<int>(text.substr(cuda.size())).value_or(-1) < 0) refuse(spec, text, takes);
  } else if (text != "auto" && text != "cpu" && text != "cuda") {
    refuse(spec, text, takes);
  }
  o.device = text;
}

template <auto Member>
void set_sizes(TrainOptions& o, const OptionSpec& spec, const std::string& text) {
  std::vector<int> sizes;
  for (const std::string& item : split(text, ',')) {
    const int value = number_from<int>(item).value_or(0);
    if (value < 1 || value > 65536 || sizes.size() == 64)
      refuse(spec, text, "one to 64 layer widths from 1 to 65536, separated by commas, such as 128,128");
    sizes.push_back(value);
  }
  o.*Member = sizes;
}
template <auto Member>
std::string get_sizes(const TrainOptions& o) {
  return joined(o.*Member, ",", [](int size) { return std::to_string(size); });
}

// As every working folder understands them: a run that goes on elsewhere started from the same.
void set_files(TrainOptions& o, const OptionSpec& spec, const std::string& text) {
  std::vector<std::string> files;
  for (const std::string& file : text.empty() ? std::vector<std::string>() : split(text, ',')) {
    TrainOptions one;
    if (file.empty()) refuse(spec, text, "the names of files with one comma between them");
    set_text<&TrainOptions::out>(one, spec, file);
    files.push_back(std::filesystem::absolute(one.out).lexically_normal().string());
  }
  if (files.size() > 2) refuse(spec, text, "one file, or two, of G and of D");
  o.init_from = files;
}
std::string get_files(const TrainOptions& o) { return joined(o.init_from, ","); }

void set_changes(TrainOptions& o, const OptionSpec& spec, const std::string& text) {
  std::vector<std::string> names = split(text, ',');
  for (const std::string& name : names)
    if (const std::string reason = why_not_changeable(name); !reason.empty())
      throw Error(ExitCode::usage, "--" + std::string(spec.name) + " cannot take '" + name + "': " + reason);
  o.allow_change = std::move(names);
}
std::string get_changes(const TrainOptions& o) { return joined(o.allow_change, ","); }

void set_eval_metrics(TrainOptions& o, const OptionSpec& spec, const std::string& text) {
  std::vector<std::string> names = split(text, ',');
  const std::vector<std::string> known = eval::metric_names(&eval::Metric::in_training);
  for (const std::string& name : names)
    if (text != "auto" && std::find(known.begin(), known.end(), name) == known.end())
      refuse(spec, text, "auto, or with commas " + either(known), nearest_name(name, known));
  o.eval_metrics = std::move(names);
}
std::string get_eval_metrics(const TrainOptions& o) { return joined(o.eval_metrics, ","); }

std::vector<std::string> scheme_names() { return {"alternating", "simultaneous"}; }
std::vector<std::string> on_nan_names() { return {"rollback", "skip", "stop"}; }
std::vector<std::string> reduction_names() { return {"auto", "nccl", "mpi"}; }
std::vector<std::string> known_precisions() { return {precision_names.begin(), precision_names.end()}; }
std::vector<std::string> stop_names() { return {"nothing", "collapse"}; }
std::vector<std::string> checkpoint_failure_names() { return {"stop", "warn"}; }
std::vector<std::string> instruction_set_names() { return {"auto", "x86-64-v2", "x86-64-v3", "x86-64-v4"}; }

// Help that lists what there is.
const std::string generator_activation_help = "of G's hidden layers: " + either(names_of<math::Activations>());
const std::string discriminator_activation_help = "of D's hidden layers: " + either(names_of<math::Activations>());
const std::string loss_help = "GAN loss: " + either(loss_names());
const std::string optimizer_help = "of both networks: " + either(optimizer_names());
const std::string schedule_help = "how step sizes fall over the training: " + either(schedule_names());
static_assert(NanGuard::rollback_factor == 0.5);
const std::string on_nan_help = "after steps whose gradient is not finite, of which no update is made: rollback (of " +
                                number_text(NanGuard::row_to_roll_back) +
                                " in a row to the last checkpoint, with half the learning rate, up to " +
                                number_text(NanGuard::most_rollbacks) + " times), skip (up to " +
                                number_text(NanGuard::row_to_give_up) + " in a row) or stop";
const std::string timeout_help = "when nothing is completed for so long the job ends, and says who holds it up; 0: " +
                                 number_text(comm::Watchdog::least_deadline) + ", or as long as 100 steps take";

using O = TrainOptions;
constexpr std::uint64_t most_steps = 1'000'000'000'000;
constexpr int most_int = std::numeric_limits<int>::max();

using enum OptionRole;

const std::array specs = std::to_array<OptionSpec>({
    {"data", "Data and run", "NAME|DIR",
     "image set: mnist-mini (comes with the program), mnist (fetched once), or a folder of IDX files", trajectory,
     set_text<&O::data>, get_text<&O::data>},
    {"stack", "Data and run", "N",
     "images shown at a time, one in each channel, from 1 to 3: 3 of MNIST's digits are stacked MNIST", tensors,
     set_number<&O::stack, 1, 3>, get_number<&O::stack>},
    {"out", "Data and run", "RUN", "the run's folder; made when missing", call, set_text<&O::out>, get_text<&O::out>},
    {"resume", "Data and run", "",
     "go on from the run's newest valid checkpoint, on any number of ranks; without one, from the beginning", call,
     set_switch<&O::resume>, get_switch<&O::resume>},
    {"allow-change", "Data and run", "NAME,…",
     "with --resume: options that may differ from the run's own although its trajectory depends on them", call,
     set_changes, get_changes},

    {"model", "Networks", "NAME", "family of networks: mlp (fully connected), dcgan or modern (convolutions)", tensors,
     set_choice<&O::model, model_names>, get_text<&O::model>},
    {"latent", "Networks", "N", "dimensions of z", tensors, set_number<&O::latent, 1, 65536>, get_number<&O::latent>},
    {"latent-distribution", "Networks", "NAME", "of z: normal (N(0, 1)) or uniform (U(-1, 1))", trajectory,
     set_choice<&O::latent_distribution, latent_distribution_names>, get_text<&O::latent_distribution>},
    {"condition", "Networks", "NAME",
     "how networks learn of an image's class: none, concat (one-hot beside the input, with dcgan of every layer) or "
     "projection (in D)",
     tensors, set_choice<&O::condition, condition_names>, get_text<&O::condition>},
    {"generator-hidden", "Networks", "N,N,…", "mlp: widths of G's hidden layers", tensors,
     set_sizes<&O::generator_hidden>, get_sizes<&O::generator_hidden>},
    {"discriminator-hidden", "Networks", "N,N,…", "mlp: widths of D's hidden layers", tensors,
     set_sizes<&O::discriminator_hidden>, get_sizes<&O::discriminator_hidden>},
    {"generator-activation", "Networks", "NAME", generator_activation_help.c_str(), trajectory,
     set_choice<&O::generator_activation, names_of<math::Activations>>, get_text<&O::generator_activation>},
    {"discriminator-activation", "Networks", "NAME", discriminator_activation_help.c_str(), trajectory,
     set_choice<&O::discriminator_activation, names_of<math::Activations>>, get_text<&O::discriminator_activation>},
    {"leak", "Networks", "X", "slope of leaky-relu for negative inputs", trajectory, set_number<&O::leak, 0, 1>,
     get_number<&O::leak>},
    {"generator-norm", "Networks", "NAME", "normalisation of G's hidden layers: none or batch", tensors,
     set_choice<&O::generator_norm, norm_names>, get_text<&O::generator_norm>},
    {"discriminator-norm", "Networks", "NAME", "normalisation of D's hidden layers (but dcgan's first): none or batch",
     tensors, set_choice<&O::discriminator_norm, norm_names>, get_text<&O::discriminator_norm>},
    {"spectral-norm", "Networks", "", "every weight of D is divided by its largest singular value", tensors,
     set_switch<&O::spectral_norm>, get_switch<&O::spectral_norm>},
    {"dropout", "Networks", "P", "share of D's hidden units that is set to zero in training, drawn for each image",
     trajectory, set_real<&O::dropout, below_one>, get_number<&O::dropout>},
    {"input-dropout", "Networks", "P", "the same of D's input", trajectory, set_real<&O::input_dropout, below_one>,
     get_number<&O::input_dropout>},
    {"init", "Networks", "NAME", "initial weights: glorot (uniform) or normal (N(0, 0.02²))", trajectory,
     set_choice<&O::init, init_names>, get_text<&O::init>},
    {"init-from", "Networks", "FILE,…",
     "weights to start from in place of drawn ones: a safetensors file, ours or PyTorch's, of G or D, or one of each",
     trajectory, set_files, get_files},
    {"channels", "Networks", "N,N,…",
     "dcgan, modern: channels of D's convolutions of stride 2 from the image on; G has them in reverse", tensors,
     set_sizes<&O::channels>, get_sizes<&O::channels>},
    {"kernel", "Networks", "N", "dcgan, modern: side of these convolutions' kernels", tensors,
     set_number<&O::kernel, 2, 15>, get_number<&O::kernel>},
    {"fully-connected", "Networks", "N", "dcgan: units between the convolutions and z or the logit; 0: none", tensors,
     set_number<&O::fully_connected, 0, 65536>, get_number<&O::fully_connected>},
    {"blocks", "Networks", "N", "modern: 3×3 convolutions behind each of stride 2", tensors,
     set_number<&O::blocks, 0, 16>, get_number<&O::blocks>},

    {"loss", "Objective", "NAME", loss_help.c_str(), trajectory, set_choice<&O::loss, loss_names>, get_text<&O::loss>},
    {"scheme", "Objective", "NAME",
     "alternating (D, then G with a fresh z) or simultaneous (both from one forward pass)", trajectory,
     set_choice<&O::scheme, scheme_names>, get_text<&O::scheme>},
    {"label-smoothing", "Objective", "X",
     "one-sided: what the target of real images is lowered by (less than half), for losses that have one", trajectory,
     set_real<&O::label_smoothing, below_half>, get_number<&O::label_smoothing>},
    {"d-steps", "Objective", "N", "updates of D per update of G", trajectory, set_number<&O::d_steps, 1, 1000>,
     get_number<&O::d_steps>},
    {"d-burst", "Objective", "N",
     "updates of D in the steps that --d-burst-first and --d-burst-every name; 0: as in all others", trajectory,
     set_number<&O::d_burst, 0, 1000>, get_number<&O::d_burst>},
    {"d-burst-first", "Objective", "N", "with --d-burst: the first N steps", trajectory,
     set_number<&O::d_burst_first, 0, most_steps>, get_number<&O::d_burst_first>},
    {"d-burst-every", "Objective", "N", "with --d-burst: every N-th step; 0: none of these", trajectory,
     set_number<&O::d_burst_every, 0, most_steps>, get_number<&O::d_burst_every>},
    {"r1", "Objective", "GAMMA", "weight γ of the R1 penalty γ/2·E‖∇D(x)‖² on real images; 0: none", trajectory,
     set_number<&O::r1, 0, 1'000'000>, get_number<&O::r1>},
    {"r2", "Objective", "GAMMA", "weight γ of the same penalty on generated images; 0: none", trajectory,
     set_number<&O::r2, 0, 1'000'000>, get_number<&O::r2>},
    {"gradient-penalty", "Objective", "LAMBDA",
     "weight λ of WGAN-GP's penalty λ·E(‖∇D(x)‖ - 1)² between real and generated images; 0: none", trajectory,
     set_number<&O::gradient_penalty, 0, 1'000'000>, get_number<&O::gradient_penalty>},
    {"penalty-every", "Objective", "N", "apply penalties in every N-th step alone, N times as strong", trajectory,
     set_number<&O::penalty_every, 1, most_steps>, get_number<&O::penalty_every>},
    {"instance-noise", "Objective", "SIGMA",
     "standard deviation of noise on every image that D sees in training, which falls linearly to 0; 0: none",
     trajectory, set_number<&O::instance_noise, 0, 1000>, get_number<&O::instance_noise>},
    {"instance-noise-end", "Objective", "X", "fraction of the training's steps after which that noise is 0", trajectory,
     set_real<&O::instance_noise_end, tiny_to_one>, get_number<&O::instance_noise_end>},
    {"ema", "Objective", "DECAY", "per-step decay of the moving average of G that pictures are drawn from; 0: none",
     trajectory, set_real<&O::ema, below_one>, get_number<&O::ema>},

    {"optimizer", "Optimiser", "NAME", optimizer_help.c_str(), tensors, set_choice<&O::optimizer, optimizer_names>,
     get_text<&O::optimizer>},
    {"learning-rate", "Optimiser", "X", "step size of both networks", trajectory,
     set_number<&O::learning_rate, 0, 1000>, get_number<&O::learning_rate>},
    {"generator-learning-rate", "Optimiser", "X", "step size of G; 0: as --learning-rate", trajectory,
     set_number<&O::generator_learning_rate, 0, 1000>, get_number<&O::generator_learning_rate>},
    {"discriminator-learning-rate", "Optimiser", "X", "step size of D; 0: as --learning-rate", trajectory,
     set_number<&O::discriminator_learning_rate, 0, 1000>, get_number<&O::discriminator_learning_rate>},
    {"schedule", "Optimiser", "NAME", schedule_help.c_str(), trajectory, set_choice<&O::schedule, schedule_names>,
     get_text<&O::schedule>},
    {"schedule-start", "Optimiser", "X",
     "fraction of the training's steps (0 to 1) after which step sizes begin to fall", trajectory,
     set_real<&O::schedule_start, below_one>, get_number<&O::schedule_start>},
    {"schedule-end", "Optimiser", "FACTOR", "what step sizes have been multiplied by at the training's end", trajectory,
     set_number<&O::schedule_end, 0, 1>, get_number<&O::schedule_end>},
    {"beta1", "Optimiser", "X", "β₁ of adam and adamw", trajectory, set_real<&O::beta1, below_one>,
     get_number<&O::beta1>},
    {"beta2", "Optimiser", "X", "β₂ of adam and adamw", trajectory, set_real<&O::beta2, below_one>,
     get_number<&O::beta2>},
    {"epsilon", "Optimiser", "X", "ε of adam, adamw and rmsprop", trajectory, set_real<&O::epsilon, tiny_to_one>,
     get_number<&O::epsilon>},
    {"momentum", "Optimiser", "X", "momentum of sgd", trajectory, set_real<&O::momentum, below_one>,
     get_number<&O::momentum>},
    {"rmsprop-decay", "Optimiser", "X", "decay of rmsprop's mean square (α)", trajectory,
     set_real<&O::rmsprop_decay, below_one>, get_number<&O::rmsprop_decay>},
    {"weight-decay", "Optimiser", "X", "added to the gradient, times the weight; with adamw decoupled from it",
     trajectory, set_number<&O::weight_decay, 0, 1000>, get_number<&O::weight_decay>},
    {"clip-gradient", "Optimiser", "NORM", "a gradient of a greater norm is scaled to this one; 0: none", trajectory,
     set_number<&O::clip_gradient, 0, 1'000'000'000>, get_number<&O::clip_gradient>},
    {"clip-weights", "Optimiser", "C", "after each update D's weights and biases are clipped to ±C; 0: never",
     trajectory, set_number<&O::clip_weights, 0, 1'000'000'000>, get_number<&O::clip_weights>},

    {"batch", "Training", "N", "images per step, over all ranks together", trajectory,
     set_number<&O::batch, 1, 1 << 24>, get_number<&O::batch>},
    {"micro-batch", "Training", "N",
     "images of a rank that go through the networks at a time, their gradients adding up: less memory, the same "
     "weights (to rounding; with --reproducible bit for bit), also in a run that is resumed; 0: all",
     execution, set_number<&O::micro_batch, 0, 1 << 24>, get_number<&O::micro_batch>},
    {"steps", "Training", "N", "steps to train; 0: as many as --epochs take", execution,
     set_number<&O::steps, 0, most_steps>, get_number<&O::steps>},
    {"epochs", "Training", "X", "passes over the images to train", execution, set_real<&O::epochs, tiny_to_huge>,
     get_number<&O::epochs>},
    {"seed", "Training", "N", "every random draw is a function of it", trajectory,
     set_number<&O::seed, 0, std::numeric_limits<std::uint64_t>::max()>, get_number<&O::seed>},

    {"device", "Execution", "NAME", "auto (a GPU where there is one), cpu, cuda or cuda:N", execution, set_device,
     get_text<&O::device>},
    {"reduction", "Execution", "NAME",
     "how GPUs sum over ranks: auto (NCCL), nccl, or mpi by way of the hosts, with which ranks may share a GPU", gpu,
     set_choice<&O::reduction, reduction_names>, get_text<&O::reduction>},
    {"debug", "Execution", "",
     "on a GPU: wait for every operation and name the first that fails or writes a number that is not finite", gpu,
     set_switch<&O::debug>, get_switch<&O::debug>},
    {"no-graph", "Execution", "", "on a GPU: make a step's calls one by one instead of replaying them as a CUDA graph",
     gpu, set_switch<&O::no_graph>, get_switch<&O::no_graph>},
    {"precision", "Execution", "NAME",
     "on a GPU: what large matrix products and convolutions are made of: fp32, tf32 (10 bits of fraction) or bf16 (7; "
     "weights, their updates and all sums stay fp32)",
     gpu, set_choice<&O::precision, known_precisions>, get_text<&O::precision>},
    {"threads", "Execution", "N", "threads per rank; 0: the node's cores shared by its ranks", execution,
     set_number<&O::threads, 0, 4096>, get_number<&O::threads>},
    {"reproducible", "Execution", "",
     "the same weights, bit for bit, on any number of ranks; of gradients below 1024 an element", trajectory,
     set_switch<&O::reproducible>, get_switch<&O::reproducible>},
    {"shards", "Execution", "V", "virtual shards of a batch with --reproducible: the most ranks it can use", trajectory,
     set_number<&O::shards, 1, 4096>, get_number<&O::shards>},
    {"instruction-set", "Execution", "NAME", "auto (the widest that all ranks have), x86-64-v2, x86-64-v3 or x86-64-v4",
     execution, set_choice<&O::instruction_set, instruction_set_names>, get_text<&O::instruction_set>},
    {"on-nan", "Execution", "NAME", on_nan_help.c_str(), execution, set_choice<&O::on_nan, on_nan_names>,
     get_text<&O::on_nan>},
    {"timeout", "Execution", "SECONDS", timeout_help.c_str(), execution, set_number<&O::timeout, 0, 1'000'000>,
     get_number<&O::timeout>},

    {"checkpoint-every", "Output", "N", "steps between checkpoints; 0: at the end alone", execution,
     set_number<&O::checkpoint_every, 0, most_steps>, get_number<&O::checkpoint_every>},
    {"keep", "Output", "N", "newest checkpoints to keep; those of interruptions come on top; 0: all", execution,
     set_number<&O::keep, 0, most_int>, get_number<&O::keep>},
    {"keep-every", "Output", "N",
     "checkpoints of steps that are multiples of N are kept beside the newest; 0: none of them", execution,
     set_number<&O::keep_every, 0, most_steps>, get_number<&O::keep_every>},
    {"checkpoint-failure", "Output", "NAME",
     "when a checkpoint, a record or a picture cannot be written (disk full, say): stop, or warn and train on",
     execution, set_choice<&O::checkpoint_failure, checkpoint_failure_names>, get_text<&O::checkpoint_failure>},
    {"sample-every", "Output", "N", "steps between sample grids; 0: at the end alone", execution,
     set_number<&O::sample_every, 0, most_steps>, get_number<&O::sample_every>},
    {"sample-count", "Output", "N", "images in a sample grid", execution, set_number<&O::sample_count, 1, 10000>,
     get_number<&O::sample_count>},
    {"log-every", "Output", "N", "steps between records in metrics.jsonl; a diagnosis makes one, too", execution,
     set_number<&O::log_every, 1, most_steps>, get_number<&O::log_every>},
    {"drift-every", "Output", "N", "steps between comparisons of all replicas' weights; 0: at the end alone", execution,
     set_number<&O::drift_every, 0, most_steps>, get_number<&O::drift_every>},
    {"diagnose-every", "Output", "N",
     "steps between diagnoses: how varied samples are, how steep D is, how far updates go; 0: none", execution,
     set_number<&O::diagnose_every, 0, most_steps>, get_number<&O::diagnose_every>},
    {"stop-on", "Output", "NAME",
     "nothing, or collapse: end with code 5, and a checkpoint, once samples have collapsed", execution,
     set_choice<&O::stop_on, stop_names>, get_text<&O::stop_on>},
    {"eval-every", "Output", "N",
     "steps between evaluations, as `ganymede eval` makes them, and one at the end; 0: none", execution,
     set_number<&O::eval_every, 0, most_steps>, get_number<&O::eval_every>},
    {"eval-metrics", "Output", "LIST",
     "of parzen, two-sample, judge, with --condition 1nn-error, and with --stack modes alone; auto: judge, or modes",
     execution, set_eval_metrics, get_eval_metrics},
    {"eval-samples", "Output", "N", "images drawn for such an evaluation", execution,
     set_number<&O::eval_samples, 2, 1 << 24>, get_number<&O::eval_samples>},
    {"tensorboard", "Output", "", "records, sample grids and options as TensorBoard reads them, in RUN/tensorboard",
     execution, set_switch<&O::tensorboard>, get_switch<&O::tensorboard>},
    {"tensorboard-histograms-every", "Output", "N",
     "steps between histograms of parameters and gradients there; 0: none", execution,
     set_number<&O::tensorboard_histograms_every, 0, most_steps>, get_number<&O::tensorboard_histograms_every>},
});

}  // namespace

std::span<const OptionSpec> train_option_specs() { return specs; }

const OptionSpec* find_train_option(const std::string& name) {
  const auto found = std::find_if(specs.begin(), specs.end(), [&](const OptionSpec& s) { return name == s.name; });
  return found == specs.end() ? nullptr : &*found;
}

void set_train_option(TrainOptions& options, const std::string& name, const std::string& text) {
  const OptionSpec* spec = find_train_option(name);
  if (spec == nullptr) {
    std::vector<std::string> names;
    names.reserve(specs.size());
    for (const OptionSpec& s : specs) names.emplace_back(s.name);
    const std::string near = nearest_name(name, names);
    throw Error(ExitCode::usage,
                "there is no option '" + name + "'" + (near.empty() ? "" : "; did you mean '" + near + "'?"));
  }
  spec->set(options, *spec, text);
}

}  // namespace ganymede
