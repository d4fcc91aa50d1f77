// Dropout's kernels: the masks are the CPU's, and what is kept is exact.
#include "math/dropout.hpp"

#include <cstdint>

#include "unit/cuda_kernels/cpu_reference.hpp"
#include "unit/cuda_kernels/memory.hpp"

namespace ganymede::testing {
namespace {

class CudaDropout : public Kernels {};

TEST_F(CudaDropout, DrawsTheCpusMasks) {
  CpuReference reference;
  for (const int rows : {0, 1, 5, 70})
    for (const int columns : {1, 3, 4, 5, 64, 131})
      for (const double share : {0.0, 0.25, 0.9}) {
        std::vector<std::uint8_t> expected(area(rows, columns), 7);
        reference.draw_mask(1ULL << 40 | 3, 22, 11, 100, 5, 2, rows, columns, share, expected.data());
        Memory<std::uint64_t> step(1, 11);
        Memory<std::uint8_t> mask(area(rows, columns), 9);
        cuda::draw_mask(nullptr, 1ULL << 40 | 3, 22, step.data(), 100, 5, 2, rows, columns, math::drop_threshold(share),
                        mask.data());
        EXPECT_EQ(mask.host(), expected) << rows << " × " << columns << ", " << share;
      }
}

TEST_F(CudaDropout, KeepsWhatTheMaskKeeps) {
  for (const std::size_t count : {0, 1, 255, 256, 257, 1000}) {
    const Values from = draws(count, 1);
    const Values x = draws(count, 2);
    std::vector<std::uint8_t> mask;
    Values kept;
    Values sloped;
    for (std::size_t i = 0; i < count; ++i) {
      mask.push_back(i * 7 % 3 == 0 ? 0 : 1);
      kept.push_back(mask[i] == 0 ? 0.0F : 1.25F * from[i]);
      sloped.push_back(mask[i] == 0 ? 0.0F : 1.25F * from[i] * (x[i] > 0 ? 1.0F : 0.0F));
    }
    Memory<std::uint8_t> device_mask(mask);
    Memory<float> device_from(from);
    Memory<float> device_x(x);
    Memory<float> to(count, nan);
    cuda::apply_mask(nullptr, count, device_mask.data(), 1.25F, device_from.data(), 0, 0, nullptr, to.data());
    expect_same_bits(to.host(), kept, "kept");
    cuda::apply_mask(nullptr, count, device_mask.data(), 1.25F, device_from.data(), 1, 0, device_x.data(), to.data());
    expect_same_bits(to.host(), sloped, "kept, behind relu");
  }
}

}  // namespace
}  // namespace ganymede::testing
