// The GPU backend lives in a module, libganymede_cuda.so, that the program opens when it needs it: what the two know of
// each other, and how it is opened. No CUDA header here, and none of CUDA's libraries in the program itself.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/heartbeat.hpp"
#include "device/precision.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/device.hpp"

namespace ganymede {

struct CudaOptions {
  int device = -1;                           ///< -1: by local rank
  bool debug = false;                        ///< wait for every operation, and look for numbers that are not finite
  bool graph = true;                         ///< replay steps as one CUDA graph
  Precision precision = Precision::float32;  ///< of large matrix products and of convolutions
  bool reproducible = false;                 ///< no product may depend on the number of rows
  bool through_mpi = false;                  ///< sum over ranks by way of the host instead of NCCL
  bool nccl_alone = false;                   ///< one rank's sums, too, go through NCCL, which leaves them as they are
  double nccl_seconds = 45;                  ///< what NCCL has not done by then, it will not do
  double wait_seconds = 0;                   ///< the GPU's work is waited for no longer at a time; 0: for ever
  /// Matrix products of so many multiply-adds and more go to cuBLASLt; smaller ones to our kernels, which need one
  /// launch where it needs two or three.
  std::size_t blas_from = std::size_t{1} << 27;
};

/// What the GPU backend can take, checked before anything is written.
struct CudaLimits {
  static constexpr int shards = 256;                               ///< that one rank holds
  static constexpr int penalty_rows = 65536;                       ///< images at a time, with a gradient penalty
  static constexpr std::size_t parameters = std::size_t{1} << 27;  ///< of one network, and what travels with them
};

using MakeCudaDevice = std::unique_ptr<Device> (*)(Communicator& ranks, const CudaOptions& options);

/// A GPU as CUDA describes it.
struct CudaGpu {
  std::string name;    ///< "NVIDIA H100 80GB HBM3"
  std::string pci_id;  ///< "0000:1B:00.0"
  int major = 0;       ///< compute capability
  int minor = 0;
  std::size_t memory = 0;  ///< bytes

  /// Whether the module has code for it.
  [[nodiscard]] bool supported() const { return major > 7 || (major == 7 && minor >= 5); }
};

/// What the module sees of drivers and GPUs, without a context on any of them. Versions as CUDA writes them: 13000 is
/// 13.0; a driver's is that of the newest CUDA it runs.
struct CudaSight {
  enum class State {
    ready,       ///< `gpus` are there
    no_driver,   ///< no libcuda.so.1
    old_driver,  ///< one that cannot run this CUDA
    no_gpu,      ///< a driver, and no GPU that this process may see
    failed,      ///< anything else: `reason` has CUDA's words
  };
  State state = State::failed;
  int driver = 0;
  int runtime = 0;
  std::string reason;
  std::string libraries;  ///< "cuBLASLt 13.1.0, NCCL 2.28.9": what was loaded
  std::vector<CudaGpu> gpus;
};

/// What of CUDA is loaded: "driver for CUDA 13.0, CUDA runtime 13.0, cuBLASLt 13.1.0, cuDNN 9.19.0, NCCL 2.28.9"; empty
/// where no module was asked.
std::string cuda_versions(const CudaSight& sight);

/// The module's only symbol, `ganymede_cuda_module`. `interface` comes first for ever: the rest is read by nobody
/// whose own build_interface (core/build_info.hpp) differs.
struct CudaModule {
  const char* interface;
  CudaSight (*look)();
  MakeCudaDevice make_device;
  /// Where the program keeps its marks (core/heartbeat.hpp), for those of the module.
  void (*mark_in)(Pulse* marks);
};

/// Opens the module: $GANYMEDE_CUDA_MODULE, else libganymede_cuda.so in ../lib of the folder `program`, or where an
/// installation has it. It stays open. Throws Error(launch) when it is not there, when a library that it needs is
/// missing, or when it is of another build.
const CudaModule& open_cuda_module(const std::filesystem::path& program);
/// The same, from the folder of the running executable.
const CudaModule& open_cuda_module();

/// What becomes of `--device auto` and `--device cuda` on this machine.
struct CudaProbe {
  CudaSight sight;
  std::string problem;  ///< why there is no training on a GPU here, a sentence; empty: there may be
  /// Nobody expects a GPU: no module was built or installed, no driver is there, or no GPU. `auto` takes the CPU and
  /// says nothing; any other problem deserves a warning.
  bool expected = false;

  [[nodiscard]] int devices() const { return static_cast<int>(sight.gpus.size()); }
};

/// Looks for a GPU as `--device auto` does: the module is opened only where a driver is. Never throws.
CudaProbe probe_cuda(const std::filesystem::path& program);
CudaProbe probe_cuda();

/// The factory, once the module is open and sees a GPU that it has code for; for `--device cuda`. Throws Error(launch)
/// with the one thing that is in the way.
MakeCudaDevice cuda_device_factory(const std::filesystem::path& program);
MakeCudaDevice cuda_device_factory();

/// Why the module cannot use what it sees; empty when it can use at least one GPU.
std::string cuda_problem(const CudaSight& sight);

/// "13.0" for 13000.
std::string cuda_version_text(int version);

}  // namespace ganymede
