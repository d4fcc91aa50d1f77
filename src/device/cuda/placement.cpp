// See placement.hpp.
#include "device/cuda/placement.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "device/cuda/runtime.hpp"
#include "ganymede/error.hpp"

namespace ganymede::cuda {
namespace {

/// Of each GPU that this process sees.
std::vector<bool> supported_gpus() {
  int count = 0;
  check(cudaGetDeviceCount(&count), "count the GPUs");
  std::vector<bool> supported;
  for (int gpu = 0; gpu < count; ++gpu) {
    CudaGpu it;
    check(cudaDeviceGetAttribute(&it.major, cudaDevAttrComputeCapabilityMajor, gpu), "ask the GPU what it is");
    check(cudaDeviceGetAttribute(&it.minor, cudaDevAttrComputeCapabilityMinor, gpu), "ask the GPU what it is");
    supported.push_back(it.supported());
  }
  return supported;
}

}  // namespace

int choose_gpu(int wanted, int node_rank, const std::vector<bool>& supported) {
  const int gpus = static_cast<int>(supported.size());
  if (wanted >= gpus)
    throw Error(ExitCode::launch, "there is no GPU " + std::to_string(wanted) + " here: this process sees " +
                                      std::to_string(gpus) +
                                      ", counted from 0 (nvidia-smi -L lists them, "
                                      "CUDA_VISIBLE_DEVICES chooses among them)");
  if (wanted >= 0) return wanted;
  std::vector<int> usable;
  for (int gpu = 0; gpu < gpus; ++gpu)
    if (supported[static_cast<std::size_t>(gpu)]) usable.push_back(gpu);
  if (usable.empty()) return node_rank % gpus;
  return usable[static_cast<std::size_t>(node_rank) % usable.size()];
}

std::string conflict(const std::vector<Place>& places, int wanted) {
  std::map<std::string, int> ranks_on;  // "host, PCI id" to the first rank there
  for (std::size_t rank = 0; rank < places.size(); ++rank) {
    const Place& place = places[rank];
    const auto [at, first] = ranks_on.emplace(place.host + " " + place.pci_id, static_cast<int>(rank));
    if (first) continue;
    const std::string shared = "ranks " + std::to_string(at->second) + " and " + std::to_string(rank) + " on " +
                               place.host + " share one GPU (" + place.gpu + ", " + place.pci_id +
                               "), which NCCL refuses: ";
    const std::string otherwise = ", or sum through the host with --reduction mpi";
    if (wanted >= 0)
      return shared + "--device cuda:" + std::to_string(wanted) +
             " names that GPU to all ranks; with --device cuda each takes one of its own" + otherwise;
    return shared + "start no more ranks on a host than it has GPUs" +
           (place.too_old > 0 ? " of compute capability 7.5 or more" : "") +
           " (mpirun --map-by ppr:N:node, or srun --gpus-per-task=1)" + otherwise;
  }
  return {};
}

std::vector<Place> place_ranks(Communicator& ranks, int wanted, bool shared) {
  Place mine;
  together(ranks, [&] {
    const std::vector<bool> supported = supported_gpus();
    mine.index = choose_gpu(wanted, ranks.node_rank(), supported);
    mine.too_old = static_cast<int>(std::count(supported.begin(), supported.end(), false));
    check(cudaSetDevice(mine.index), "use the GPU");
    // The first call that needs a context: a GPU that another process has to itself says so here.
    check(cudaFree(nullptr), "start on the GPU");
    cudaDeviceProp properties = {};
    check(cudaGetDeviceProperties(&properties, mine.index), "ask the GPU what it is");
    std::array<char, 32> pci = {};
    check(cudaDeviceGetPCIBusId(pci.data(), static_cast<int>(pci.size()), mine.index), "ask the GPU where it is");
    mine.host = host_name();
    mine.pci_id = pci.data();
    mine.gpu = static_cast<const char*>(properties.name);
    if (properties.major * 10 + properties.minor < 75)
      throw Error(ExitCode::launch, "the GPU " + mine.gpu + " has compute capability " +
                                        std::to_string(properties.major) + "." + std::to_string(properties.minor) +
                                        "; 7.5 (Turing, 2018) is the least: --device cpu trains without it");
  });
  // Fields apart by a character that no name holds.
  const std::vector<std::string> all =
      ranks.all_gather(mine.host + "\n" + mine.pci_id + "\n" + mine.gpu + "\n" + std::to_string(mine.index) + "\n" +
                       std::to_string(mine.too_old));
  std::vector<Place> places;
  for (const std::string& text : all) {
    std::array<std::string, 5> field;
    std::size_t at = 0;
    for (std::string& f : field) {
      const std::size_t end = std::min(text.find('\n', at), text.size());
      f = text.substr(at, end - at);
      at = end + 1;
    }
    places.push_back({field[0], field[1], field[2], std::stoi(field[3]), std::stoi(field[4])});
  }
  const std::string problem = conflict(places, wanted);
  if (!problem.empty() && !shared) throw AgreedError(ExitCode::launch, problem);
  return places;
}

}  // namespace ganymede::cuda
