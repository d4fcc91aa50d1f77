// Which device every rank has: one kind for all.
#include "train/agreed_device.hpp"

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "comm/watchdog.hpp"
#include "core/cores.hpp"
#include "core/numbers.hpp"
#include "device/cuda_module.hpp"
#include "device/precision.hpp"
#include "gan/gradient_penalty.hpp"
#include "gan/step.hpp"
#include "ganymede/error.hpp"

namespace ganymede {
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
  cuda.precision = precision_named(options.precision);
  cuda.reproducible = options.reproducible;
  cuda.through_mpi = options.reduction == "mpi";
  // Before the watchdog's deadline: NCCL knows more of the reason.
  cuda.nccl_seconds = .75 * (options.timeout > 0 ? options.timeout : comm::Watchdog::least_deadline);
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
  for (const std::string& option : given_gpu_options(options))
    warnings.push_back("--" + option + " is for GPUs and does nothing here, where the CPU trains");
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

}  // namespace ganymede
