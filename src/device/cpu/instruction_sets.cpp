// See instruction_sets.hpp, and of cpu_device.hpp what asks the machine.
#include "device/cpu/instruction_sets.hpp"

#include <cpuid.h>

#include <algorithm>
#include <string>

#include "core/stopwatch.hpp"
#include "device/cpu/cpu_device.hpp"
#include "ganymede/device.hpp"

namespace ganymede {
namespace cpu {
namespace {

// The three bits that the compiler's x86-64-v3 assumes and __builtin_cpu_supports does not know everywhere.
bool has_lzcnt_movbe_f16c() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_MOVBE) == 0 || (c & bit_F16C) == 0) return false;
  return __get_cpuid(0x80000001U, &a, &b, &c, &d) != 0 && (c & bit_LZCNT) != 0;
}

}  // namespace

std::vector<InstructionSet> instruction_sets() {
  std::vector<InstructionSet> sets = {{"x86-64-v2", "SSE4.2", &kernels_v2}};
  const bool v3 = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 &&
                  __builtin_cpu_supports("bmi") != 0 && __builtin_cpu_supports("bmi2") != 0 && has_lzcnt_movbe_f16c();
  if (!v3) return sets;
  sets.push_back({"x86-64-v3", "AVX2", &kernels_v3});
  const bool v4 = __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
                  __builtin_cpu_supports("avx512cd") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
                  __builtin_cpu_supports("avx512vl") != 0;
  if (v4) sets.push_back({"x86-64-v4", "AVX-512", &kernels_v4});
  return sets;
}

std::size_t product(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

}  // namespace cpu

std::vector<std::string> cpu_instruction_sets() {
  std::vector<std::string> names;
  for (const cpu::InstructionSet& set : cpu::instruction_sets()) names.emplace_back(set.name);
  return names;
}

double measure_fma_peak_gflops() {
  const cpu::Kernels& kernels = *cpu::instruction_sets().back().kernels;
  float sink = 0;
  double best = 0;
  for (int repeat = 0; repeat < 20; ++repeat) {
    const Stopwatch watch;
    const double operations = kernels.multiply_adds(100000, &sink);
    best = std::max(best, operations / watch.seconds() * 1e-9);
  }
  return best;
}

}  // namespace ganymede
