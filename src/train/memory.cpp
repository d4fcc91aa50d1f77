// See memory.hpp.
#include "train/memory.hpp"

#include <algorithm>
#include <optional>

#include "core/host_memory.hpp"
#include "core/numbers.hpp"
#include "device/counting_device.hpp"
#include "gan/batch_share.hpp"
#include "gan/gan.hpp"
#include "gan/models/models.hpp"
#include "gan/sampler.hpp"
#include "gan/step.hpp"
#include "ganymede/error.hpp"
#include "train/diagnostics.hpp"

namespace ganymede {
namespace {

std::string text(std::size_t bytes) { return bytes_text(static_cast<double>(bytes)); }

// The largest value from `least` to below `most` for which `fits` holds, as it does for all smaller ones.
template <class Fits>
std::optional<int> largest(int least, int most, const Fits& fits) {
  if (least >= most || !fits(least)) return {};
  while (most - least > 1) {
    const int middle = least + (most - least) / 2;
    (fits(middle) ? least : most) = middle;
  }
  return least;
}

// What slices of at most `most` rows come to, which are of nearly the same size: as a limit it makes the same ones, and
// says what goes through the networks, where 999 of a batch of 1000 is 500.
int largest_slice(const TrainOptions& o, int ranks, int most) {
  int rows = 0;
  for (int rank = 0; rank < ranks; ++rank)
    for (const Slice& slice :
         slices_of(share_of_batch(o.batch, rank, ranks, o.reproducible, o.shards), most, o.reproducible))
      rows = std::max(rows, slice.rows());
  return rows;
}

// What a GPU's libraries take when they are first used, and no plan knows: cuBLASLt's workspace, NCCL's buffers and
// kernels that are loaded, and cuDNN's workspace (Cudnn::most_workspace). Small GPUs have algorithms that take less.
std::size_t kept_for_libraries(const TrainOptions& o, std::size_t free) {
  constexpr std::size_t mebibyte = std::size_t{1} << 20;
  const bool by_cudnn = family_named(o.model).convolutions && !o.reproducible;
  return std::min(free / 4, (by_cudnn ? 768 : 256) * mebibyte);
}

// How many ranks share this rank's GPU, whose address is in its description. Collective.
std::size_t ranks_on(const Device& device, Communicator& ranks) {
  if (ranks.size() == 1) return 1;
  const std::string mine = host_name() + " " + device.description();
  const std::vector<std::string> all = ranks.all_gather(mine);
  return static_cast<std::size_t>(std::count(all.begin(), all.end(), mine));
}

class Planner {
 public:
  Planner(const TrainOptions& o, Communicator& ranks, const ImageSet& images, bool is_host)
      : ranks_(ranks),
        images_(images),
        device_(is_host, !is_host && o.precision == "bf16"),
        gan_(make_empty_gan(o, images.shape(), device_)) {
    networks_ = device_.bytes();
    if (is_host) return;
    // As RunWriter, Diagnostics and Evaluation have them; whose judges are on the host.
    std::optional<Sampler> pictures;
    std::optional<Sampler> evaluated;
    std::optional<Diagnostics::Workspace> diagnoses;
    if (ranks.is_root()) pictures.emplace(gan_.generator, o, gan_.data.classes);
    if (o.eval_every > 0) evaluated.emplace(gan_.generator, o, gan_.data.classes);
    if (o.diagnose_every > 0) diagnoses.emplace(o, gan_, ranks);
    samples_ = device_.bytes() - networks_;
  }

  /// Of options that may differ from the first ones in the batch and its slices alone.
  MemoryPlan plan(const TrainOptions& o) {
    std::size_t optimizers = 0;
    for (Optimizer* optimizer : {gan_.generator_optimizer.get(), gan_.discriminator_optimizer.get()})
      for (const Optimizer::State& state : optimizer->state()) optimizers += state.values.bytes();
    const GanStep step(device_, ranks_, gan_, images_, o);
    const std::size_t labels = gan_.data.classes > 0 ? images_.labels.size() : 0;
    const std::size_t data = device_.is_host() ? 0 : images_.images.size() + labels;
    const auto rows = static_cast<std::uint64_t>(step.rows());
    MemoryPlan plan;
    plan.parts = {{"weights", networks_ - optimizers - gan_.average.bytes()},
                  {"optimiser's state", optimizers},
                  {"average of G", gan_.average.bytes()},
                  {"sums over ranks", device_.sums()},
                  {"images, activations and their gradients, " + counted(rows, "image") + " at a time",
                   device_.bytes() - networks_ - device_.sums() - data},
                  {"samples for pictures, diagnoses and evaluations", samples_},
                  {"data set", data}};
    std::erase_if(plan.parts, [](const auto& part) { return part.second == 0; });
    return plan;
  }

 private:
  Communicator& ranks_;
  const ImageSet& images_;
  CountingDevice device_;
  Gan gan_;
  std::size_t networks_ = 0;
  std::size_t samples_ = 0;
};

// The batch, smaller than that of the options, with which a rank takes no more than `bytes`, and the slices of the
// whole one; empty where there is none.
std::string what_fits(const TrainOptions& options, const Communicator& ranks, Planner& planner, std::size_t bytes) {
  const auto fitting = [&](int TrainOptions::*field, int least) {
    return largest(least, options.batch, [&](int value) {
      TrainOptions smaller = options;
      smaller.*field = value;
      return planner.plan(smaller).total() <= bytes;
    });
  };
  const int least = options.reproducible ? std::max(options.shards, ranks.size()) : ranks.size();
  const auto batch = fitting(&TrainOptions::batch, least);
  if (!batch) return {};
  std::string advice = "--batch " + std::to_string(*batch) + " is the largest that fits";
  TrainOptions sliced = options;
  try {
    sliced.micro_batch = 1;
    check_train_options(sliced);
    // Thousands of slices are no advice.
    if (const auto slice = fitting(&TrainOptions::micro_batch, std::max(1, options.batch / 1024)))
      advice += ", --micro-batch " + std::to_string(largest_slice(options, ranks.size(), *slice)) +
                " trains with all " + std::to_string(options.batch);
  } catch (const Error&) {
    // Not with these networks.
  }
  return advice;
}

}  // namespace

std::size_t MemoryPlan::total() const {
  std::size_t sum = 0;
  for (const auto& [what, bytes] : parts) sum += bytes;
  return sum;
}

MemoryPlan plan_memory(const TrainOptions& o, Communicator& ranks, const ImageSet& images, bool is_host) {
  return Planner(o, ranks, images, is_host).plan(o);
}

MemoryPlan plan_available_memory(const TrainOptions& options, Communicator& ranks, const ImageSet& images,
                                 const Device& device) {
  const bool is_host = device.is_host();
  // First, as all ranks take part in it: one that has failed before is none of them.
  const std::size_t sharing = is_host ? static_cast<std::size_t>(ranks.node_size()) : ranks_on(device, ranks);
  const std::size_t all_free = device.available_memory();
  const std::size_t kept = is_host ? 0 : kept_for_libraries(options, all_free);
  const std::size_t free = all_free - kept;
  Planner planner(options, ranks, images, is_host);
  MemoryPlan plan = planner.plan(options);
  const std::size_t wanted = sharing * plan.total();
  if (free == 0 || wanted <= free) return plan;
  std::string advice = what_fits(options, ranks, planner, free / sharing);
  if (advice.empty()) advice = std::string("a smaller network, or more ") + (is_host ? "hosts" : "GPUs");
  throw Error(
      ExitCode::launch,
      "the training needs " + text(wanted) +
          (sharing > 1 ? " for the " + counted(sharing, "rank") + " of this " + (is_host ? "host" : "GPU") : "") +
          ", and " + (is_host ? "the host" : "the GPU") + " has " + text(all_free) + " free" +
          (kept > 0 ? ", of which " + text(kept) + " are left to CUDA's libraries" : "") + ": " + advice);
}

Device::MemoryAdvice memory_advice(const TrainOptions& options, Communicator& ranks, const ImageSet& images) {
  return [options, &ranks, images](std::size_t available) -> std::string {
    Planner planner(options, ranks, images, false);
    return what_fits(options, ranks, planner, available - kept_for_libraries(options, available));
  };
}

std::size_t taken_memory(const Device& device, std::size_t free_before) {
  if (device.is_host()) return peak_host_memory();
  const std::size_t free = device.available_memory();
  return free_before > free ? free_before - free : 0;
}

}  // namespace ganymede
