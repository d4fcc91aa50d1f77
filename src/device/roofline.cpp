// See roofline.hpp.
#include "device/roofline.hpp"

#include <algorithm>
#include <cctype>

#include "core/names.hpp"
#include "ganymede/error.hpp"

namespace ganymede {

const std::vector<GpuPeaks>& known_gpus() {
  // NVIDIA's data sheets: T4; A100 80GB SXM; L40S; H100 SXM; H200 SXM; HGX B200, an eighth of it. Tensor cores' figures
  // "with sparsity" are halved.
  static const std::vector<GpuPeaks> all = {
      {"T4", 8.1e12, 0, 0, 300e9},
      {"A100", 19.5e12, 156e12, 312e12, 2039e9},
      {"L40S", 91.6e12, 183e12, 362e12, 864e9},
      {"H100", 67e12, 494.5e12, 989.5e12, 3350e9},
      {"H200", 67e12, 494.5e12, 989.5e12, 4800e9},
      {"B200", 75e12, 1125e12, 2250e12, 8000e9},
  };
  return all;
}

const GpuPeaks& gpu_named(const std::string& name) {
  for (const GpuPeaks& gpu : known_gpus()) {
    const std::string own = gpu.name;
    if (std::equal(own.begin(), own.end(), name.begin(), name.end(),
                   [](unsigned char a, unsigned char b) { return std::toupper(a) == std::toupper(b); }))
      return gpu;
  }
  throw Error(ExitCode::usage,
              "no peaks are known of a GPU '" + name + "', but of " + joined(known_gpus(), ", ", &GpuPeaks::name));
}

double least_seconds(const Operation& operation, double flops_per_second, double bandwidth) {
  return std::max(operation.flops / flops_per_second, operation.bytes / bandwidth);
}

}  // namespace ganymede
