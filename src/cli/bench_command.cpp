// `ganymede bench`
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "cli/commands.hpp"
#include "cli/operation_table.hpp"
#include "cli/train_arguments.hpp"
#include "core/names.hpp"
#include "core/numbers.hpp"
#include "core/quantile.hpp"
#include "core/stopwatch.hpp"
#include "device/roofline.hpp"
#include "gan/update_schedule.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/error.hpp"
#include "train/setup.hpp"
#include "train/step_operations.hpp"
#include "train/without_effect.hpp"

namespace ganymede::cli {
namespace {

/// D's gradient on its way over the ranks, when nothing else happens.
class SumAlone {
 public:
  SumAlone(Communicator& ranks, TrainSetup& setup, bool exact) : ranks_(ranks), device_(*setup.device) {
    if (ranks.size() == 1) return;
    const std::size_t count = setup.gan->discriminator.parameter_count() + StepResults::discriminator_extras;
    if (exact)
      fixed_ = device_.make_reduction<std::int64_t>(ranks, count + 1);
    else
      floats_ = device_.make_reduction<float>(ranks, count);
  }

  /// All ranks begin at once.
  void time() {
    if (fixed_) time(*fixed_);
    if (floats_) time(*floats_);
  }
  [[nodiscard]] double seconds() { return median(seconds_); }
  [[nodiscard]] std::size_t bytes() const {
    return fixed_ ? fixed_->size() * sizeof(std::int64_t) : floats_->size() * sizeof(float);
  }

 private:
  template <class T>
  void time(Reduction<T>& sum) {
    // As a step does: each rank's part is then where others have to fetch it from.
    device_.zero(sum.data(), sum.size() * sizeof(T));
    device_.synchronize();
    ranks_.barrier();
    const Stopwatch watch;
    sum.start();
    sum.finish();
    device_.synchronize();
    seconds_.push_back(watch.seconds());
  }

  Communicator& ranks_;
  Device& device_;
  std::unique_ptr<Reduction<float>> floats_;
  std::unique_ptr<Reduction<std::int64_t>> fixed_;
  std::vector<double> seconds_;
};

constexpr CountOption rounds_option{"rounds", 30, 1, 1'000'000};
constexpr CountOption round_steps_option{"round-steps", 50, 1, 1'000'000};

int run(const Parsed& parsed, Communicator& ranks) {
  const ResolvedOptions resolved = resolve_train_options(parsed, ranks);
  long rounds = 0;
  long per_round = 0;
  const GpuPeaks* roofline = nullptr;
  together(ranks, [&] {
    rounds = rounds_option.of(parsed);
    per_round = round_steps_option.of(parsed);
    if (parsed.has("roofline")) {
      roofline = &gpu_named(parsed.get("roofline", ""));
      static_cast<void>(flops_per_second(*roofline, precision_named(resolved.options.precision)));
    }
  });
  // Steps of a burst are others, and the first would take minutes before a step of the usual kind came.
  TrainOptions options = resolved.options;
  options.d_burst = 0;
  reset_options_without_effect(options, {});
  TrainSetup setup = set_up(options, ranks);
  GanStep& step = *setup.step;
  const auto advance = [&] {
    step.run(false, (step.steps() + 1) % options.log_every == 0);
    while (step.take_wanted_means()) {
    }
  };
  for (long i = 0; i < std::max(20L, per_round); ++i) advance();

  // The plain step first, then the same with a clock at every phase, in turn: so that the cost of measuring
  // stays out of the step's own figure and both see the same machine.
  std::vector<double> plain;
  PhaseClock clock;
  double clocked = 0;
  std::vector<double> waits;  // for D's sums, of each round
  SumAlone alone(ranks, setup, options.reproducible);
  const std::uint64_t before = step.steps();
  for (long round = 0; round < rounds; ++round) {
    ranks.barrier();
    const Stopwatch watch;
    for (long i = 0; i < per_round; ++i) advance();
    step.settle();
    plain.push_back(watch.seconds() / static_cast<double>(per_round));
    step.measure(&clock);
    const double waited_before = clock.seconds(Phase::discriminator_reduction);
    const Stopwatch watch_clocked;
    for (long i = 0; i < per_round; ++i) advance();
    clocked += watch_clocked.seconds();
    step.measure(nullptr);
    // The rank that waits least is the one that the others wait for: it waits for messages alone.
    auto least = static_cast<std::int64_t>(1e9 * (clock.seconds(Phase::discriminator_reduction) - waited_before));
    ranks.all_min(std::span(&least, 1));
    waits.push_back(1e-9 * static_cast<double>(least));
    for (int i = 0; i < 5; ++i) alone.time();
  }
  const double clocked_steps = static_cast<double>(rounds * per_round);
  // A step lasts as long as its slowest rank's; with the barrier before each round these hardly differ.
  const double best = *std::min_element(plain.begin(), plain.end());
  const auto updates =
      static_cast<double>(discriminator_updates(options, step.steps()) - discriminator_updates(options, before)) /
      static_cast<double>(step.steps() - before);
  const double middle = median(plain);
  TrainOptions whole = options;
  whole.steps = total_steps(options, setup.images.count);
  const std::vector<Operation> operations = operations_of_step(whole, ranks, setup.images, step.steps());
  double bytes = 0;
  for (const Operation& each : operations) bytes += each.bytes;
  const double achieved = step.flops() / best;
  const double moved = bytes / best;
  const double peak = setup.device->peak_flops();
  const double bandwidth = setup.device->peak_bandwidth();
  if (!ranks.is_root()) return 0;
  // Of a step, for each of D's sums.
  const double waited = median(waits) / static_cast<double>(per_round) / updates;
  const auto hidden = [&] { return std::max(0.0, 1 - waited / alone.seconds()); };
  for (const std::string& warning : setup.plan.warnings)
    std::fprintf(stderr, "ganymede: warning: %s\n", warning.c_str());
  if (resolved.options.d_burst > 0)
    std::fprintf(stderr, "ganymede: note: steps with --d-burst %d updates of D are left out\n",
                 resolved.options.d_burst);

  if (parsed.on("json")) {
    nlohmann::ordered_json json;
    for (const auto& [name, value] : setup.plan.rows) json["setup"][name] = value;
    json["ranks"] = ranks.size();
    json["batch"] = options.batch;
    json["seconds_per_step"] = {{"min", best}, {"median", middle}, {"all", plain}};
    json["images_per_second"] = options.batch * updates / middle;
    for (int p = 0; p < static_cast<int>(Phase::count); ++p)
      json["phases"][phase_name(static_cast<Phase>(p))] = clock.seconds(static_cast<Phase>(p)) / clocked_steps;
    json["clocked_seconds_per_step"] = clocked / clocked_steps;
    if (ranks.size() > 1)
      json["discriminator_sum"] = {{"bytes", alone.bytes()},
                                   {"seconds_alone", alone.seconds()},
                                   {"seconds_waited", waited},
                                   {"hidden_share", hidden()}};
    json["flops_per_step_and_rank"] = step.flops();
    json["gflops_per_rank"] = achieved / 1e9;
    json["peak_gflops_per_rank"] = peak / 1e9;
    json["least_bytes_per_step_and_rank"] = bytes;
    json["gbytes_per_second_per_rank"] = moved / 1e9;
    if (bandwidth > 0) json["peak_gbytes_per_second_per_rank"] = bandwidth / 1e9;
    if (!setup.device->is_host()) json["recorded_operations_per_step"] = step.recorded();
    if (roofline != nullptr)
      json["roofline"] = operations_json(operations, *roofline, precision_named(options.precision));
    std::printf("%s\n", json.dump(2).c_str());
    return 0;
  }
  for (const auto& [name, value] : setup.plan.rows) std::printf("%-14s%s\n", name.c_str(), value.c_str());
  std::printf("\nstep          %.3f ms at best, %.3f ms in the median of %s of %s; %.0f images/s\n", best * 1e3,
              middle * 1e3, counted(rounds, "round").c_str(), counted(per_round, "step").c_str(),
              options.batch * updates / middle);
  std::printf("arithmetic    %.1f MFLOP a step and rank in matrix products; %.1f GFLOP/s at best", step.flops() / 1e6,
              achieved / 1e9);
  if (peak > 0) std::printf(", %.0f%% of %.1f", 100 * achieved / peak, peak / 1e9);
  std::printf("\nmemory        %.1f MB a step and rank at least; %.1f GB/s at best", bytes / 1e6, moved / 1e9);
  if (bandwidth > 0) std::printf(", %.0f%% of %.0f", 100 * moved / bandwidth, bandwidth / 1e9);
  if (!setup.device->is_host())
    std::printf("\ngraph         %s", step.recorded() > 0
                                          ? (std::to_string(step.recorded()) + " kernels and copies a step").c_str()
                                          : "none: the step's calls are made one by one");
  std::printf("\n\n");
  double total = 0;
  for (int p = 0; p < static_cast<int>(Phase::count); ++p) total += clock.seconds(static_cast<Phase>(p));
  std::printf("phase (rank 0)          µs    share\n");
  for (int p = 0; p < static_cast<int>(Phase::count); ++p) {
    const double seconds = clock.seconds(static_cast<Phase>(p));
    if (seconds > 0)
      std::printf("%-16s%10.1f%8.1f%%\n", phase_name(static_cast<Phase>(p)), seconds / clocked_steps * 1e6,
                  100 * seconds / total);
  }
  if (ranks.size() > 1)
    std::printf(
        "\nsum over ranks  D's gradient, %.0f kB, takes %.1f µs alone; a step waits %.1f µs for it: %.0f%% hidden\n",
        static_cast<double>(alone.bytes()) / 1e3, alone.seconds() * 1e6, waited * 1e6, 100 * hidden());
  if (roofline != nullptr)
    std::printf(
        "\nstep %s on an NVIDIA %s, %.4g TFLOP/s and %.4g TB/s by its data sheet: the least of each operation\n\n%s",
        std::to_string(step.steps() + 1).c_str(), roofline->name,
        flops_per_second(*roofline, precision_named(options.precision)) / 1e12, roofline->bandwidth / 1e12,
        operation_table(operations, *roofline, precision_named(options.precision)).c_str());
  return 0;
}

}  // namespace

Command bench_command() {
  CommandSyntax syntax{"bench", "Times a training's step, split by phase, on this machine and these ranks.", "",
                       train_arguments()};
  // It writes nothing, goes on from nothing, and makes steps alone.
  std::erase_if(syntax.arguments, [](const Argument& a) {
    const OptionSpec* option = find_train_option(a.name);
    return option != nullptr && (!option->stored() || a.group == "Output" || a.name == "on-nan");
  });
  syntax.arguments.push_back(rounds_option.argument("rounds that are timed", "Measurement"));
  syntax.arguments.push_back(round_steps_option.argument("steps in a round", "Measurement"));
  const std::string gpus = joined(known_gpus(), ", ", &GpuPeaks::name);
  syntax.arguments.push_back(
      {"roofline", "GPU", "also a step's operations, and the least time that each takes by the data sheet of a " + gpus,
       "Measurement"});
  syntax.arguments.push_back({"json", "", "as JSON", "Measurement"});
  return {syntax, run};
}

}  // namespace ganymede::cli
