// The simulated machine: its devices, what they say of themselves, and the start and end of the simulation.
#include "cuda_sim/devices.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include "cuda_sim/cuda_sim.hpp"
#include "cuda_sim/errors.hpp"
#include "cuda_sim/graphs.hpp"
#include "cuda_sim/libraries.hpp"
#include "cuda_sim/memory.hpp"
#include "cuda_sim/scheduler.hpp"

namespace cuda_sim {
namespace {

struct Machine {
  std::vector<DeviceSpec> devices;
  std::vector<int> visible;  ///< indices of `devices`
  bool driver = true;
  bool visible_read = false;
};

Machine& machine() {
  static auto* const state = new Machine;
  return *state;
}

thread_local int current = 0;

const DeviceSpec presets[] = {
    {"H100", 9, 0, 132, std::size_t{80} << 30},   {"A100", 8, 0, 108, std::size_t{40} << 30},
    {"L40S", 8, 9, 142, std::size_t{48} << 30},   {"T4", 7, 5, 40, std::size_t{16} << 30},
    {"B200", 10, 0, 148, std::size_t{180} << 30}, {"P100", 6, 0, 56, std::size_t{16} << 30},
};

DeviceSpec parse_device(const std::string& text) {
  std::istringstream parts(text);
  std::string part;
  std::getline(parts, part, ':');
  const auto* const preset =
      std::find_if(std::begin(presets), std::end(presets), [&](const DeviceSpec& spec) { return spec.model == part; });
  if (preset == std::end(presets)) fatal("GANYMEDE_CUDA_SIM_DEVICES: an unknown device");
  DeviceSpec result = *preset;
  while (std::getline(parts, part, ':')) {
    if (part == "busy") {
      result.busy = true;
    } else if (part.rfind("memory=", 0) == 0) {
      result.memory = std::strtoull(part.c_str() + 7, nullptr, 10);
    } else {
      fatal("GANYMEDE_CUDA_SIM_DEVICES: :busy or :memory=BYTES is expected after a device");
    }
  }
  return result;
}

/// A device's UUID: 16 bytes that its index makes.
cudaUUID_t uuid(int index) {
  cudaUUID_t result{};
  for (std::size_t i = 0; i < sizeof result.bytes; ++i) {
    result.bytes[i] = static_cast<char>(index * 16 + static_cast<int>(i));
  }
  return result;
}

std::string uuid_text(int index) {
  std::string result = "GPU-";
  const cudaUUID_t id = uuid(index);
  for (std::size_t i = 0; i < sizeof id.bytes; ++i) {
    char digits[4];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(id.bytes[i]));
    if (i == 4 || i == 6 || i == 8 || i == 10) result += '-';
    result += digits;
  }
  return result;
}

/// CUDA_VISIBLE_DEVICES: entries up to the first that names no device.
void read_visible() {
  Machine& state = machine();
  if (std::exchange(state.visible_read, true)) return;
  const int count = static_cast<int>(state.devices.size());
  const char* const text = std::getenv("CUDA_VISIBLE_DEVICES");
  state.visible.clear();
  if (text == nullptr) {
    for (int i = 0; i < count; ++i) state.visible.push_back(i);
    return;
  }
  std::istringstream list(text);
  for (std::string entry; std::getline(list, entry, ',');) {
    int index = -1;
    if (entry.rfind("GPU-", 0) == 0) {
      for (int i = 0; i < count; ++i) {
        if (uuid_text(i).rfind(entry, 0) == 0) index = i;
      }
    } else if (!entry.empty() && entry.find_first_not_of("0123456789 ") == std::string::npos) {
      index = std::atoi(entry.c_str());
    }
    const bool twice = std::find(state.visible.begin(), state.visible.end(), index) != state.visible.end();
    if (index < 0 || index >= count || twice) break;
    state.visible.push_back(index);
  }
}

int physical(int device) { return machine().visible[static_cast<std::size_t>(device)]; }

const DeviceSpec& spec(int device) { return machine().devices[static_cast<std::size_t>(physical(device))]; }

/// What every function that needs the driver answers where there is none, or no device.
cudaError_t driver_state() {
  if (!machine().driver) return cudaErrorInsufficientDriver;
  read_visible();
  return machine().visible.empty() ? cudaErrorNoDevice : cudaSuccess;
}

cudaError_t check_device(int device) {
  if (const cudaError_t code = driver_state(); code != cudaSuccess) return code;
  return device >= 0 && device < device_count() ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t properties(cudaDeviceProp* to, int device) {
  if (to == nullptr) return cudaErrorInvalidValue;
  if (const cudaError_t code = check_device(device); code != cudaSuccess) return code;
  const DeviceSpec& from = spec(device);
  *to = cudaDeviceProp{};
  std::snprintf(to->name, sizeof to->name, "simulated %s (no GPU)", from.model.c_str());
  to->uuid = uuid(physical(device));
  to->totalGlobalMem = from.memory;
  to->major = from.major;
  to->minor = from.minor;
  to->multiProcessorCount = from.multiprocessors;
  to->sharedMemPerBlock = 48 << 10;
  to->sharedMemPerBlockOptin = 227 << 10;
  to->sharedMemPerMultiprocessor = 228 << 10;
  to->regsPerBlock = to->regsPerMultiprocessor = 65536;
  to->warpSize = 32;
  to->maxThreadsPerBlock = 1024;
  to->maxThreadsPerMultiProcessor = 2048;
  to->maxBlocksPerMultiProcessor = 32;
  std::copy_n(std::begin({1024, 1024, 64}), 3, to->maxThreadsDim);
  std::copy_n(std::begin({2147483647, 65535, 65535}), 3, to->maxGridSize);
  to->totalConstMem = 64 << 10;
  to->memoryBusWidth = 5120;
  to->l2CacheSize = 50 << 20;
  to->pciBusID = 0x17 + physical(device);
  to->concurrentKernels = to->asyncEngineCount = to->canMapHostMemory = to->unifiedAddressing = 1;
  to->streamPrioritiesSupported = to->hostRegisterSupported = to->cooperativeLaunch = to->ECCEnabled = 1;
  return cudaSuccess;
}

cudaError_t attribute(int* to, cudaDeviceAttr which, int device) {
  if (to == nullptr) return cudaErrorInvalidValue;
  cudaDeviceProp from{};
  if (const cudaError_t code = properties(&from, device); code != cudaSuccess) return code;
  switch (which) {
    case cudaDevAttrComputeCapabilityMajor:
      *to = from.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *to = from.minor;
      break;
    case cudaDevAttrMultiProcessorCount:
      *to = from.multiProcessorCount;
      break;
    case cudaDevAttrMaxThreadsPerBlock:
      *to = from.maxThreadsPerBlock;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *to = from.maxThreadsPerMultiProcessor;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *to = static_cast<int>(from.sharedMemPerBlock);
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *to = static_cast<int>(from.sharedMemPerBlockOptin);
      break;
    case cudaDevAttrWarpSize:
      *to = from.warpSize;
      break;
    case cudaDevAttrClockRate:
      *to = 1980000;
      break;  // kHz
    case cudaDevAttrMemoryClockRate:
      *to = 2619000;
      break;  // kHz
    case cudaDevAttrGlobalMemoryBusWidth:
      *to = from.memoryBusWidth;
      break;
    case cudaDevAttrL2CacheSize:
      *to = from.l2CacheSize;
      break;
    case cudaDevAttrPciBusId:
      *to = from.pciBusID;
      break;
    case cudaDevAttrPciDeviceId:
      *to = from.pciDeviceID;
      break;
    case cudaDevAttrPciDomainId:
      *to = from.pciDomainID;
      break;
    case cudaDevAttrComputeMode:
      *to = spec(device).busy ? cudaComputeModeExclusiveProcess : cudaComputeModeDefault;
      break;
    case cudaDevAttrCanMapHostMemory:
      *to = 1;
      break;
    case cudaDevAttrUnifiedAddressing:
      *to = 1;
      break;
    case cudaDevAttrConcurrentKernels:
      *to = 1;
      break;
    case cudaDevAttrStreamPrioritiesSupported:
      *to = 1;
      break;
    default:
      return cudaErrorNotSupported;
  }
  return cudaSuccess;
}

void write_at_exit() {
  if (const char* name = std::getenv("GANYMEDE_CUDA_SIM_CALLS"); name != nullptr) {
    std::ofstream file(name);
    for (const auto& [function, count] : calls()) file << function << ' ' << count << '\n';
  }
  if (std::getenv("GANYMEDE_CUDA_SIM_LEAVES_ALL") != nullptr) return;
  for (const std::string& leak : leaks()) std::fprintf(stderr, "[cuda_sim] leak: %s\n", leak.c_str());
}

}  // namespace

cudaError_t use_device() {
  if (const cudaError_t code = check_device(current); code != cudaSuccess) return code;
  return spec(current).busy ? cudaErrorDevicesUnavailable : cudaSuccess;
}

int current_device() { return current; }
int device_count() { return static_cast<int>(machine().visible.size()); }
std::size_t device_memory(int device) { return spec(device).memory; }
int device_capability(int device) { return spec(device).major * 10 + spec(device).minor; }

std::string device_pci(int device) {
  char text[16];
  std::snprintf(text, sizeof text, "0000:%02X:00.0", static_cast<unsigned>(0x17 + physical(device)));
  return text;
}

void reset_devices() {
  Machine& state = machine();
  state = Machine{};
  current = 0;
  const char* const text = std::getenv("GANYMEDE_CUDA_SIM_DEVICES");
  const std::string list = text == nullptr ? "H100" : text;
  if (list == "no-driver") {
    state.driver = false;
  } else if (list != "none") {
    std::istringstream entries(list);
    for (std::string entry; std::getline(entries, entry, ',');) state.devices.push_back(parse_device(entry));
  }
}

void start() {
  static bool started = false;
  if (std::exchange(started, true)) return;
  reset_scheduler();
  reset_devices();
  reset_errors();
  std::atexit(write_at_exit);
}

std::vector<std::string> reset() {
  const std::lock_guard lock(simulation_mutex());
  start();
  std::vector<std::string> left = leaks();
  reset_graphs();
  reset_streams();
  reset_libraries();
  reset_memory();
  reset_scheduler();
  reset_devices();
  reset_errors();
  return left;
}

std::vector<std::string> leaks() {
  const std::lock_guard lock(simulation_mutex());
  std::vector<std::string> result;
  for (const Allocation* allocation : live_allocations()) result.push_back(allocation->text() + " was not freed");
  describe_stream_leaks(result);
  describe_graph_leaks(result);
  describe_library_leaks(result);
  return result;
}

void set_devices(std::vector<DeviceSpec> devices) {
  const std::lock_guard lock(simulation_mutex());
  start();
  machine() = Machine{};
  machine().devices = std::move(devices);
}

void remove_driver() {
  const std::lock_guard lock(simulation_mutex());
  start();
  machine().driver = false;
}

}  // namespace cuda_sim

using namespace cuda_sim;  // NOLINT(google-build-using-namespace): the functions below are C

extern "C" {

cudaError_t CUDARTAPI cudaGetDeviceCount(int* count) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  if (count == nullptr) return call.result(cudaErrorInvalidValue);
  const cudaError_t code = driver_state();
  if (code == cudaErrorInsufficientDriver) return call.result(code);  // and *count stays as it was
  *count = device_count();
  return call.result(code);
}

cudaError_t CUDARTAPI cudaSetDevice(int device) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  if (const cudaError_t code = check_device(device); code != cudaSuccess) return call.result(code);
  current = device;
  return call.result(use_device());
}

cudaError_t CUDARTAPI cudaGetDevice(int* device) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  if (device == nullptr) return call.result(cudaErrorInvalidValue);
  if (const cudaError_t code = driver_state(); code != cudaSuccess) return call.result(code);
  *device = current;
  return call.result(cudaSuccess);
}

cudaError_t CUDARTAPI cudaGetDeviceProperties(cudaDeviceProp* to, int device) {
  const Call call(__func__);
  return call.failed() ? call.error() : call.result(properties(to, device));
}

cudaError_t CUDARTAPI cudaDeviceGetAttribute(int* to, cudaDeviceAttr which, int device) {
  const Call call(__func__);
  return call.failed() ? call.error() : call.result(attribute(to, which, device));
}

cudaError_t CUDARTAPI cudaDeviceGetPCIBusId(char* to, int length, int device) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  if (const cudaError_t code = check_device(device); code != cudaSuccess) return call.result(code);
  const std::string text = device_pci(device);
  if (to == nullptr || length <= static_cast<int>(text.size())) return call.result(cudaErrorInvalidValue);
  std::memcpy(to, text.c_str(), text.size() + 1);
  return call.result(cudaSuccess);
}

cudaError_t CUDARTAPI cudaDriverGetVersion(int* version) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  if (version == nullptr) return call.result(cudaErrorInvalidValue);
  *version = machine().driver ? CUDART_VERSION : 0;
  return call.result(cudaSuccess);
}

cudaError_t CUDARTAPI cudaRuntimeGetVersion(int* version) {
  const Call call(__func__);
  if (call.failed()) return call.error();
  if (version == nullptr) return call.result(cudaErrorInvalidValue);
  *version = CUDART_VERSION;
  return call.result(cudaSuccess);
}

cudaError_t CUDARTAPI cudaDeviceReset() {
  const Call call(__func__, Call::query);
  if (call.failed()) return call.error();
  reset_graphs();
  reset_streams();
  reset_memory();
  reset_scheduler();
  return cudaSuccess;
}

}  // extern "C"
