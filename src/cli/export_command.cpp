// `ganymede export`: a network's weights or the network, or what a run has recorded.
#include <cstdio>
#include <filesystem>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "checkpoint/checkpoint.hpp"
#include "cli/commands.hpp"
#include "cli/eval_report.hpp"
#include "cli/file_ending.hpp"
#include "cli/recorded_run.hpp"
#include "cli/saved_run.hpp"
#include "core/files.hpp"
#include "gan/gan.hpp"
#include "ganymede/error.hpp"
#include "onnx/onnx_model.hpp"
#include "report/run_folder.hpp"
#include "tensorboard/event_file.hpp"

namespace ganymede::cli {
namespace {

// Whether its training kept an average of G. (Weights that other programs wrote say nothing of a training.)
bool averages(const SavedRun& saved) { return !saved.options.empty() && saved_options(saved).ema > 0; }

// The weights to write. `saved` becomes the checkpoint that they are taken from where it does not hold them itself.
const TensorFile& chosen(SavedRun& saved, const std::string& network, const std::string& weights) {
  const bool raw = weights == "raw";
  // Also where this file of a checkpoint is all that was given.
  if (network == "generator" && !raw && saved.files.contains("generator-average")) return picture_weights(saved);
  if (!saved.files.contains(network)) throw Error(ExitCode::data, saved.source.string() + " holds no " + network);
  if (network == "discriminator" || !averages(saved)) return saved.files.at(network);
  if (saved.kind == SavedRun::Kind::weights_file) {
    const bool holds_raw = saved.facts.raw();
    if (raw != holds_raw)
      throw Error(ExitCode::data, saved.source.string() + " holds " +
                                      (holds_raw ? "G's raw weights alone: export it with --weights raw"
                                                 : "G's average alone: name one of the run's checkpoints to export "
                                                   "the raw weights"));
    return saved.files.at("generator");
  }
  if (raw && saved.kind == SavedRun::Kind::finished_run) {
    // Its last checkpoint has the same step and G as it was trained.
    std::optional<SavedRun> last = newest_saved_checkpoint(saved.source);
    if (!last || last->step != saved.step)
      throw Error(ExitCode::data, saved.source.string() + " has G's raw weights of step " + std::to_string(saved.step) +
                                      " no more: its checkpoint of that step is gone or damaged");
    saved = std::move(*last);
  }
  return saved.files.at("generator");
}

// A model's weights are checked against the network that the saved options describe.
std::string onnx_model(const SavedRun& saved, const std::string& network, const TensorFile& file) {
  const TrainOptions options = saved_options(saved);
  const DataShape shape = saved_shape(saved);
  const std::unique_ptr<Device> device = make_cpu_device(1);
  const bool generator = network == "generator";
  Network built = generator ? make_generator(options, shape, *device) : make_discriminator(options, shape, *device);
  built.load(file, saved.source.string());
  return generator ? onnx_generator(built, shape, file.metadata) : onnx_discriminator(built, shape, file.metadata);
}

// A file of eval's: its text, and the digest of the weights that it is of. One that cannot be read, or is something
// else, is of no weights.
struct Measured {
  std::string text;
  std::string weights;
};

Measured read_measured(const std::filesystem::path& place) {
  std::string text = read_evaluation(place);
  const nlohmann::ordered_json json = parse_evaluation(text);
  const nlohmann::ordered_json::json_pointer weights("/run/weights");
  const bool says = json.contains(weights) && json.at(weights).is_string();
  return {std::move(text), says ? json.at(weights).get<std::string>() : std::string()};
}

// What `ganymede eval` has measured of these weights, beside them; nothing where it has measured others. What lies
// there already may be anybody's: it gives way to the numbers of these weights where it is eval's, and is never
// deleted. Says what it did.
std::string put_measured_beside(const std::string& out, const std::filesystem::path& run, const TensorFile& file) {
  const std::filesystem::path measured = RunFolder(run).evaluation();
  const std::filesystem::path beside = out + ".eval.json";
  const std::string digest = file.weights_digest();
  std::error_code error;
  const bool there = std::filesystem::exists(beside, error);
  const std::string of_there = there ? read_measured(beside).weights : "";
  std::string why;
  if (std::filesystem::is_regular_file(measured, error)) {
    const Measured found = read_measured(measured);
    if (found.weights == digest && (!there || !of_there.empty())) {
      write_file_atomically(beside, found.text);
      return ", what eval measured of it in " + beside.string();
    }
    if (found.weights != digest) why = "; " + measured.string() + " is of other weights, and not beside it";
  }
  if (there && of_there != digest)
    std::fprintf(stderr, "ganymede: warning: %s was there before and %s: move it away\n", beside.c_str(),
                 of_there.empty() ? "is not what eval measured" : "is what eval measured of other weights");
  return why;
}

// A run's own weights and a checkpoint's are not for other files: their names say which network they are.
void refuse_runs_own(const std::filesystem::path& out) {
  const std::filesystem::path folder = out.has_parent_path() ? out.parent_path() : ".";
  std::error_code error;
  const bool own = std::filesystem::exists(RunFolder(folder).config(), error) || is_checkpoint(folder);
  if (own && std::filesystem::exists(out, error))
    throw Error(ExitCode::usage, "--out " + out.string() + " is a file of the run's own: name another");
}

void export_network(const Parsed& parsed, const std::string& format) {
  const std::string network = parsed.get("network", "generator");
  if (network != "generator" && network != "discriminator")
    throw Error(ExitCode::usage, "--network takes generator or discriminator, not '" + network + "'");
  const std::string weights = parsed.get("weights", "average");
  if (weights != "average" && weights != "raw")
    throw Error(ExitCode::usage, "--weights takes average or raw, not '" + weights + "'");
  const std::string out = parsed.get("out", network + "." + format);
  refuse_other_ending(out, format == "onnx" ? "ONNX model" : "safetensors file", {"." + format});
  refuse_runs_own(out);
  SavedRun saved = read_saved_run(parsed.positional[0]);
  warn_of_refused(saved);
  TensorFile file = chosen(saved, network, weights);
  const bool raw = network == "generator" && weights == "raw" && averages(saved);
  WeightsFacts facts(saved.options);
  facts.copy_data(saved.facts);
  facts.set_network(network);
  facts.set_raw(raw);
  facts.set_progress(saved.step, saved.images_seen);
  if (format == "safetensors") facts.set_pytorch();
  file.metadata = facts.entries();
  if (format == "onnx")
    write_file_atomically(out, onnx_model(saved, network, file));
  else
    file.write(out);
  // Not into the file itself, nor beside it, should that be the standard output.
  const bool lasting = std::filesystem::is_regular_file(out);
  std::string measured;
  if (lasting && network == "generator") measured = put_measured_beside(out, parsed.positional[0], file);
  std::fprintf(lasting ? stdout : stderr, "%s of %s (step %llu) in %s%s\n", network.c_str(), saved.source.c_str(),
               static_cast<unsigned long long>(saved.step), out.c_str(), measured.c_str());
}

void export_events(const Parsed& parsed) {
  for (const char* option : {"network", "weights"})
    if (parsed.has(option))
      throw Error(ExitCode::usage, std::string("--") + option +
                                       " chooses weights, and --format tensorboard writes what a run has recorded: "
                                       "leave it out");
  const std::string& place = parsed.positional[0];
  std::vector<MetricsRecord> records;
  const ReportedRun recorded = read_recorded_run(place, &records);
  if (!recorded.damage.empty()) std::fprintf(stderr, "ganymede: warning: %s\n", recorded.damage.c_str());
  const RunFolder folder(place);
  const std::filesystem::path out = parsed.get("out", folder.tensorboard().string());
  const std::filesystem::path file = tensorboard::exported_event_file(out);
  if (tensorboard::holds_events(out, file))
    throw Error(ExitCode::usage, out.string() +
                                     " holds events already, as of a training with --tensorboard: show these, or name "
                                     "another folder with --out");
  make_folders(out);
  write_file_atomically(
      file, tensorboard::past_events(folder, recorded.options, records, std::numeric_limits<std::uint64_t>::max()));
  std::printf("events of %s in %s; to see them: tensorboard --logdir %s\n", place.c_str(), file.c_str(), out.c_str());
}

int run(const Parsed& parsed, Communicator& ranks) {
  on_root(ranks, [&] {
    const std::string format = parsed.get("format", "safetensors");
    if (format == "tensorboard")
      export_events(parsed);
    else if (format == "safetensors" || format == "onnx")
      export_network(parsed, format);
    else
      throw Error(ExitCode::usage, "--format takes safetensors, onnx or tensorboard, not '" + format + "'");
  });
  return 0;
}

}  // namespace

Command export_command() {
  return {{"export",
           "Writes the weights of a run or checkpoint, or its records and samples, as other tools read them.",
           "RUN",
           {{"format", "NAME",
             "safetensors (weights in PyTorch's names and layouts), onnx (the network too) or tensorboard (a run's "
             "records, sample grids and options)",
             "Options", "safetensors"},
            {"network", "NAME", "generator or discriminator", "Options", "generator"},
            {"weights", "NAME", "of G: average (what pictures are drawn from) or raw", "Options", "average"},
            {"out", "FILE", "the file; with tensorboard the folder", "Options", "NETWORK.FORMAT; RUN/tensorboard"}}},
          run};
}

}  // namespace ganymede::cli
