// See memory.hpp.
#include "train/memory.hpp"

#include <algorithm>
#include <optional>

#include "core/host_memory.hpp"
#include "core/numbers.hpp"
#include "device/counting_device.hpp"
#include "gan/gan.hpp"
#include "gan/step.hpp"
#include "ganymede/error.hpp"

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

}  // namespace

std::size_t MemoryPlan::total() const {
  std::size_t sum = 0;
  for (const auto& [what, bytes] : parts) sum += bytes;
  return sum;
}

MemoryPlan plan_memory(const TrainOptions& o, Communicator& ranks, const ImageSet& images, bool is_host) {
  CountingDevice device(is_host);
  Gan gan = make_empty_gan(o, images.shape(), device);
  const std::size_t networks = device.bytes();
  std::size_t optimizers = 0;
  for (Optimizer* optimizer : {gan.generator_optimizer.get(), gan.discriminator_optimizer.get()})
    for (const Optimizer::State& state : optimizer->state()) optimizers += state.values.bytes();
  const GanStep step(device, ranks, gan, images, o);
  const std::size_t data = is_host ? 0 : images.images.size() + (gan.data.classes > 0 ? images.labels.size() : 0);
  const std::size_t batch = device.bytes() - networks - device.sums() - data;
  MemoryPlan plan;
  plan.parts = {{"weights", networks - optimizers - gan.average.bytes()},
                {"optimiser's state", optimizers},
                {"average of G", gan.average.bytes()},
                {"sums over ranks", device.sums()},
                {"images, activations and their gradients, " +
                     counted(static_cast<std::uint64_t>(step.rows()), "image") + " at a time",
                 batch},
                {"data set", data}};
  std::erase_if(plan.parts, [](const auto& part) { return part.second == 0; });
  return plan;
}

void check_memory(const TrainOptions& options, Communicator& ranks, const ImageSet& images, const Device& device) {
  const std::size_t free = device.available_memory();
  const bool is_host = device.is_host();
  const auto sharing = static_cast<std::size_t>(is_host ? ranks.node_size() : 1);
  const auto needed = [&](const TrainOptions& o) { return sharing * plan_memory(o, ranks, images, is_host).total(); };
  const std::size_t wanted = needed(options);
  if (free == 0 || wanted <= free) return;
  std::string advice = "a smaller network, or more ";
  advice += is_host ? "hosts" : "GPUs";
  const auto fitting = [&](int TrainOptions::*field, int least) {
    return largest(least, options.batch, [&](int value) {
      TrainOptions smaller = options;
      smaller.*field = value;
      return needed(smaller) <= free;
    });
  };
  const int least = options.reproducible ? std::max(options.shards, ranks.size()) : ranks.size();
  if (const auto batch = fitting(&TrainOptions::batch, least)) {
    advice = "--batch " + std::to_string(*batch) + " is the largest that fits";
    TrainOptions sliced = options;
    try {
      sliced.micro_batch = 1;
      check_train_options(sliced);
      if (const auto slice = fitting(&TrainOptions::micro_batch, 1))
        advice += ", --micro-batch " + std::to_string(*slice) + " trains with all " + std::to_string(options.batch);
    } catch (const Error&) {
      // Not with these networks.
    }
  }
  throw Error(ExitCode::launch, "the training needs " + text(wanted) +
                                    (sharing > 1 ? " for the " + counted(sharing, "rank") + " of this host" : "") +
                                    ", and " + (is_host ? "the host" : "the GPU") + " has " + text(free) +
                                    " free: " + advice);
}

std::size_t taken_memory(const Device& device, std::size_t free_before) {
  if (device.is_host()) return peak_host_memory();
  const std::size_t free = device.available_memory();
  return free_before > free ? free_before - free : 0;
}

}  // namespace ganymede
