// Noise and images: the CPU device's bits. (On a GPU, which fuses multiply-adds, noise is within 1e-6 of them.)
#include <cstdint>
#include <utility>

#include "math/philox.hpp"
#include "unit/cuda_kernels/cpu_reference.hpp"

namespace ganymede::testing {
namespace {

class CudaDraws : public Kernels {
 protected:
  CpuReference cpu_;
};

TEST_F(CudaDraws, NoiseIsTheCpus) {
  for (const int rows : {0, 1, 31, 32, 33, 100})
    for (const int columns : {1, 2, 3, 4, 5, 8, 61, 100}) {
      Memory<std::uint64_t> step(1, 4);
      const auto draw = static_cast<std::uint32_t>(math::Stream::noise_for_generator);
      for (const std::size_t shift : {std::size_t{0}, std::size_t{1}}) {
        // A sample beyond 2^32 uses both halves of its number.
        const std::uint64_t offset = shift == 0 ? 9 : std::uint64_t{1} << 33U;
        const std::string what = std::to_string(rows) + "x" + std::to_string(columns);
        Memory<float> out(area(rows, columns), nan, shift);
        cuda::draw_normal(nullptr, 77, draw, step.data(), 50, offset, rows, columns, out.data());
        Values expected(area(rows, columns));
        cpu_.draw_normal(77, draw, 4, 50, offset, rows, columns, expected.data());
        expect_same_bits(out.host(), expected, what);
        Memory<float> even(area(rows, columns), nan, shift);
        cuda::draw_uniform(nullptr, 77, draw, step.data(), 50, offset, rows, columns, even.data());
        cpu_.draw_uniform(77, draw, 4, 50, offset, rows, columns, expected.data());
        expect_same_bits(even.host(), expected, what + ", uniform");
      }
    }
}

// Noise on images, in another place and in the same, until it has fallen to 0.
TEST_F(CudaDraws, NoiseOnImagesIsTheCpus) {
  for (const int rows : {0, 1, 33})
    for (const int columns : {1, 3, 4, 61, 784})
      for (const std::uint64_t now : {0, 4, 10, 11})
        for (const std::size_t shift : {std::size_t{0}, std::size_t{1}}) {
          Memory<std::uint64_t> step(1, now);
          const auto draw = static_cast<std::uint32_t>(math::Stream::noise_on_real);
          const Values x = draws(area(rows, columns), 1);
          Memory<float> same(x, shift);
          Memory<float> from(x, shift);
          Memory<float> out(area(rows, columns), nan);
          cuda::add_noise(nullptr, 77, draw, step.data(), 50, 9, 0.75, 10, step.data(), rows, columns, same.data(),
                          same.data());
          cuda::add_noise(nullptr, 77, draw, step.data(), 50, 9, 0.75, 10, step.data(), rows, columns, from.data(),
                          out.data());
          Values expected(area(rows, columns));
          cpu_.add_noise(77, draw, now, 50, 9, 0.75, 10, rows, columns, x.data(), expected.data());
          const std::string what = std::to_string(rows) + "x" + std::to_string(columns) + " " + std::to_string(now);
          expect_same_bits(out.host(), expected, what);
          expect_same_bits(same.host(), expected, what);
          if (now >= 10) expect_same_bits(expected, x, what);
        }
}

TEST_F(CudaDraws, ImagesAreTheCpus) {
  for (const int pixels : {1, 3, 63, 300, 784, 1500})
    for (const int rows : {0, 1, 120}) {
      constexpr std::uint32_t count = 37;  // 120 rows are more than three epochs
      std::vector<std::uint8_t> images(area(count, pixels));
      for (std::size_t i = 0; i < images.size(); ++i) images[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
      for (const auto& [shift, channels] : {std::pair{std::size_t{0}, 1}, {std::size_t{1}, 1}, {std::size_t{0}, 3}}) {
        Memory<std::uint8_t> device_images(images, shift);
        Memory<std::uint64_t> step(1, 2);
        Memory<float> out(area(rows, pixels * channels), nan);
        cuda::gather_images(nullptr, 3, step.data(), 100, 5, device_images.data(), count, rows, pixels, channels,
                            out.data());
        Values expected(area(rows, pixels * channels));
        cpu_.gather_images(3, 2, 100, 5, images.data(), count, rows, pixels, channels, expected.data());
        expect_same_bits(out.host(), expected, std::to_string(pixels) + " pixels");
      }
    }
}

TEST_F(CudaDraws, LabelsAreTheCpus) {
  for (const std::uint32_t count : {1U, 31U, 32U, 37U})
    for (const int rows : {0, 1, 31, 32, 33, 255, 256, 257}) {
      std::vector<std::uint8_t> labels(count);
      for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::uint8_t>(i * 7 % 10);
      Memory<std::uint8_t> device_labels(labels, 1);
      Memory<std::uint64_t> step(1, 2);
      Memory<std::uint8_t> out(area(rows, 1), 0xFF);
      cuda::gather_labels(nullptr, 3, step.data(), 100, 5, device_labels.data(), count, rows, out.data());
      std::vector<std::uint8_t> expected(area(rows, 1));
      cpu_.gather_labels(3, 2, 100, 5, labels.data(), count, rows, expected.data());
      EXPECT_EQ(out.host(), expected) << rows << " of " << count;
    }
}

TEST_F(CudaDraws, PointsBetweenImagesAreTheCpus) {
  for (const int rows : {0, 1, 33})
    for (const int columns : {1, 255, 256, 257, 784}) {
      const Values a = draws(area(rows, columns), 1);
      const Values b = draws(area(rows, columns), 2);
      Memory<float> device_a(a);
      Memory<float> device_b(b);
      Memory<std::uint64_t> step(1, 2);
      Memory<float> out(area(rows, columns), nan);
      cuda::interpolate(nullptr, 3, 8, step.data(), 100, 5, rows, columns, device_a.data(), device_b.data(),
                        out.data());
      Values expected(area(rows, columns));
      cpu_.interpolate(3, 8, 2, 100, 5, rows, columns, a.data(), b.data(), expected.data());
      const Values actual = out.host();
      // The CPU's code may fuse the multiplications and the addition.
      for (std::size_t i = 0; i < actual.size(); ++i) ASSERT_NEAR(actual[i], expected[i], 3e-7F);
    }
}

}  // namespace
}  // namespace ganymede::testing
