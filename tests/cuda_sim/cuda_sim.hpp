// A simulated CUDA for tests: the functions of cuda_runtime_api.h, cublasLt.h and nccl.h that Ganymede's CUDA
// backend calls, over CPU memory and MPI, so that its host code runs unmodified where there is no GPU. There
// is no GPU and no time measured on one: every device says so in its name. Only tests link this library; no
// option of the program selects it.
//
// Its devices have a clock all the same, which shows what waits for what, not how fast anything is: whenever an
// operation happens to run here, by that clock it begins when all that it follows has ended, but not before it was
// enqueued; a kernel takes as long as every other, an all-reduce until the last rank's has begun. The host's clock is
// the same, but a device may be ahead of its host.
//
// What it holds a program to, because a GPU does not forgive it or does not promise it:
//  - Nothing runs when it is enqueued. A synchronisation runs what it waits for, in a random order that streams,
//    events and graph edges allow, and a random amount more.
//  - Two operations on the same bytes, one of which writes, must be ordered by streams, events, graph edges or the
//    host's synchronisations, whatever order they happened to run in.
//  - Device memory is not the host's: touching it ends the process with a message. Pinned memory has one
//    address for the host and another for devices (cudaHostGetDevicePointer), and the host may look only at what
//    it has synchronised with (see host_may_race()).
//  - New memory is poisoned with bytes 0xFF (NaN as float, double, bfloat16); freed memory is never used again.
//    cudaFree does not synchronise: freeing what an operation still uses is an error.
//  - What a stream capture forbids fails and invalidates the capture, as CUDA does.
//
// A broken rule is a violation: printed with the seed, and the process aborts, unless a Violations object collects.
// The environment configures child processes:
//   GANYMEDE_CUDA_SIM_SEED=N              the scheduler's seed (default 1)
//   GANYMEDE_CUDA_SIM_DEVICES=H100,T4     presets (H100, A100, L40S, T4, P100), each with :busy or :memory=BYTES;
//                                         "none": no device; "no-driver": no driver (default H100)
//   GANYMEDE_CUDA_SIM_FAIL=FUNCTION:N[:CODE],…   the N-th call of that function fails (see fail())
//   GANYMEDE_CUDA_SIM_KERNEL_MICROSECONDS=N  what a kernel takes, by the device's clock (default 1)
//   GANYMEDE_CUDA_SIM_UNREACHABLE=1       see make_peers_unreachable()
//   GANYMEDE_CUDA_SIM_CALLS=FILE          how often each function was called, a line each, is written there at the end
//   GANYMEDE_CUDA_SIM_LEAVES_ALL=1        what the process has not released at its end is not told
//   CUDA_VISIBLE_DEVICES                  as for CUDA: indices or UUID prefixes
#pragma once

#include <cuda_runtime_api.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace cuda_sim {

// --- configuration ----------------------------------------------------------------------------------------
/// What a simulated device says of itself.
struct DeviceSpec {
  std::string model = "H100";  ///< its name is "simulated MODEL (no GPU)"
  int major = 9;
  int minor = 0;
  int multiprocessors = 132;
  std::size_t memory = std::size_t{80} << 30;
  bool busy = false;  ///< in exclusive-process mode, and another process has it
};

/// Forgets everything: streams, memory, graphs, devices, injected errors; returns what had not been released (each
/// a sentence). Devices, seed and errors are then those of the environment. All pointers and handles become invalid.
std::vector<std::string> reset();

/// The devices of this machine, before CUDA_VISIBLE_DEVICES. Call it before anything else, or after reset().
void set_devices(std::vector<DeviceSpec> devices);
/// No driver: cudaGetDeviceCount returns cudaErrorInsufficientDriver and leaves its argument alone.
void remove_driver();
void set_seed(std::uint64_t seed);
/// What a kernel that is enqueued from now on takes, by the device's clock.
void set_kernel_time(std::chrono::nanoseconds each);
/// The host does nothing for so long, by its clock, which this puts forward.
void pass(std::chrono::nanoseconds time);

// --- kernels ------------------------------------------------------------------------------------------------
/// Enqueues a kernel (or captures it): what a launch calls. `run` may be called several times, by graphs.
void submit(cudaStream_t stream, const char* name, std::function<void()> run);
/// Says that the operation now running reads or writes these bytes; for kernels, which know only when they run. May
/// be called from any of the kernel's threads.
void note_access(const void* begin, std::size_t bytes, bool write);
/// The device's clock, in nanoseconds, as the operation now running begins; the host's where none runs.
[[nodiscard]] std::uint64_t device_clock();
/// The priority that the operation now running has on its device: its stream's, or in a graph what instantiation makes
/// of it. Nothing here goes before anything else because of it.
[[nodiscard]] int running_priority();
/// Those that operations of each name (see NodeInfo) have run at since the start or reset().
[[nodiscard]] std::map<std::string, std::set<int>> priorities();

// --- violations -----------------------------------------------------------------------------------------------
/// Collects violations while it lives, instead of ending the process. Not nested.
class Violations {
 public:
  Violations();
  Violations(const Violations&) = delete;
  Violations& operator=(const Violations&) = delete;
  ~Violations();
  [[nodiscard]] const std::vector<std::string>& texts() const { return texts_; }
  /// True when some text contains `part`.
  [[nodiscard]] bool contain(const std::string& part) const;

 private:
  std::vector<std::string> texts_;
};

/// Says that the host and devices share these bytes of pinned memory without synchronisation on purpose (a flag,
/// a counter); `host` is the host's address. A host write of a single aligned word that devices read needs no such
/// permission.
void host_may_race(const void* host, std::size_t bytes);

/// Whether a copy that makes the host wait for what was enqueued before it, or may, is a violation from now on:
/// cudaMemcpy, and cudaMemcpyAsync to or from pageable memory, which CUDA may first have to stage.
void forbid_waiting_copies(bool forbidden);

// --- errors ---------------------------------------------------------------------------------------------------
/// The nth call from now (1: the next) of this function fails. `function` is the name of an API function,
/// "cudaLaunchKernel" for kernels (the error waits in cudaGetLastError), or "operation" for the nth operation to run,
/// whose error every later call returns. code 0: cudaErrorUnknown, CUBLAS_STATUS_EXECUTION_FAILED,
/// CUDNN_STATUS_EXECUTION_FAILED, ncclUnhandledCudaError; operation: cudaErrorIllegalAddress.
void fail(const std::string& function, int nth, int code = 0);
/// cuBLASLt's heuristic has no algorithm for products with this cublasLtEpilogue_t any more, until reset().
void refuse_epilogue(int epilogue);
/// How often each function was called since the start or reset().
[[nodiscard]] std::map<std::string, std::size_t> calls();
/// Every ncclCommInitRankConfig stays in progress for ever, as with a peer that cannot be reached.
void make_peers_unreachable();

// --- what there is ----------------------------------------------------------------------------------------------
/// What has not been released: allocations, streams, events, graphs, handles, communicators.
[[nodiscard]] std::vector<std::string> leaks();
/// Operations enqueued and not yet run.
[[nodiscard]] std::size_t pending();

struct NodeInfo {
  cudaGraphNodeType kind;
  std::string name;                       ///< "adam", "memcpy", "cublasLtMatmul 128x100x784"
  std::vector<std::size_t> dependencies;  ///< indices of nodes
};
/// The nodes of a captured graph, in the order of cudaGraphGetNodes.
[[nodiscard]] std::vector<NodeInfo> nodes(cudaGraph_t graph);

}  // namespace cuda_sim
