// The kernels between float32 and bfloat16.
#include <cmath>
#include <cstdint>

#include "ganymede/device.hpp"
#include "support/bfloat16.hpp"
#include "unit/cuda_kernels/memory.hpp"

namespace ganymede::testing {
namespace {

class CudaRounding : public Kernels {};

using Halves = std::vector<std::uint16_t>;

// Around a thread's four elements, a warp's, and a block's.
const std::vector<std::size_t> counts = {0, 1, 2, 3, 4, 5, 31, 127, 128, 129, 1023, 1024, 1025, 5000};

// Ordinary numbers, and among them those that rounding may go wrong with.
Values mixed(std::size_t count, unsigned seed) {
  const Values special = {0.0F,        -0.0F,       0x1.01p0F,        0x1.03p0F,  -0x1.01p3F,
                          -0x1.03p3F,  0x1.00FFp0F, 0x1.0101p0F,      infinity,   -infinity,
                          nan,         0x1p-133F,   0x1.8p-134F,      -0x1p-134F, 0x1p-149F,
                          0x1.FEp127F, 0x1.FFp127F, -0x1.FFFFFEp127F, 0x1p-126F,  0x1.FFFFp-127F};
  Values values = draws(count, seed, 3);
  for (std::size_t i = 0; i < count; i += 2) values[i] = special[(i / 2 + seed) % special.size()];
  return values;
}

void expect_rounded(const Halves& actual, const Values& from, const std::string& what) {
  ASSERT_EQ(actual.size(), from.size()) << what;
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (std::isnan(from[i])) {
      ASSERT_TRUE(std::isnan(bfloat16_value(actual[i]))) << what << ", element " << i;
    } else {
      ASSERT_EQ(actual[i], bfloat16_bits(nearest_bfloat16(from[i])))
          << what << ", element " << i << ", which is " << from[i];
    }
  }
}

TEST_F(CudaRounding, NarrowsOneArrayOrTwo) {
  for (const std::size_t count : counts)
    for (const std::size_t other : {std::size_t{0}, std::size_t{3}, std::size_t{1025}})
      for (const std::size_t shift : {std::size_t{0}, std::size_t{1}, std::size_t{2}}) {
        const Values a = mixed(count, 1);
        const Values b = mixed(other, 2);
        Memory<float> from_a(a, shift == 1 ? 1 : 0);
        Memory<float> from_b(b);
        Memory<std::uint16_t> to_a(count, std::uint16_t{0x1234}, shift);
        Memory<std::uint16_t> to_b(other, std::uint16_t{0x1234}, shift == 2 ? 3 : 0);
        cuda::narrow(nullptr, {from_a.data(), to_a.data(), count}, {from_b.data(), to_b.data(), other});
        expect_rounded(to_a.host(), a, "the first");
        expect_rounded(to_b.host(), b, "the second");
      }
  const Values alone = mixed(77, 3);
  Memory<float> from(alone);
  Memory<std::uint16_t> to(alone.size());
  cuda::narrow(nullptr, {from.data(), to.data(), alone.size()});
  expect_rounded(to.host(), alone, "alone");
}

TEST_F(CudaRounding, WidensAsAConvolutionEnds) {
  const Activation sigma = Activation::named("leaky-relu", 0.2F);
  const auto f = [](float value) { return static_cast<double>(value); };
  for (const int rows : {0, 1, 33})
    for (const int columns : {1, 3, 4, 128, 131})
      for (const std::size_t shift : {std::size_t{0}, std::size_t{1}})
        for (const bool accumulate : {false, true}) {
          SCOPED_TRACE(std::to_string(rows) + "×" + std::to_string(columns));
          const std::size_t count = area(rows, columns);
          const auto width = static_cast<std::size_t>(columns);
          const Values sums = nearest_bfloat16(draws(count, 1, 5));
          const Values before = draws(count, 2);
          const Values b = draws(width, 3);
          const Values h = draws(count, 4);
          Halves bits;
          for (const float value : sums) bits.push_back(bfloat16_bits(value));
          Memory<std::uint16_t> from(bits, shift);
          Memory<float> bias(b, shift);
          Memory<float> slope_of(h, shift);
          for (const auto& [what, finish] :
               {std::pair<const char*, cuda::Finishing>{"alone", {nullptr, sigma.kind, sigma.parameter, nullptr}},
                {"bias", {bias.data(), sigma.kind, sigma.parameter, nullptr}},
                {"slope", {nullptr, sigma.kind, sigma.parameter, slope_of.data()}}}) {
            Memory<float> to(before, shift);
            cuda::widen(nullptr, rows, columns, from.data(), finish, accumulate, to.data());
            std::vector<double> expected;
            for (std::size_t i = 0; i < count; ++i) {
              const double leak = f(0.2F);
              double value = f(sums[i]);
              if (finish.bias != nullptr) {
                value += f(b[i % width]);
                value *= value > 0 ? 1 : leak;
              } else if (finish.slope_of != nullptr) {
                value *= h[i] > 0 ? 1 : leak;
              }
              expected.push_back(value + (accumulate ? f(before[i]) : 0));
            }
            expect_close(to.host(), expected, 1e-7, what);
          }
        }
}

// Every bfloat16 comes back as it is, also those that are no ordinary number.
TEST_F(CudaRounding, WidensExactly) {
  Halves all(0x10000);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
  Memory<std::uint16_t> from(all);
  Memory<float> to(all.size());
  cuda::widen(nullptr, 256, 256, from.data(), {}, false, to.data());
  for (std::size_t i = 0; i < all.size(); ++i)
    ASSERT_EQ(std::bit_cast<std::uint32_t>(to[i]), static_cast<std::uint32_t>(i) << 16U);
}

}  // namespace
}  // namespace ganymede::testing
