// The least time of operations by a GPU's data sheet, and the table of them.
#include "cli/operation_table.hpp"

#include <gtest/gtest.h>

#include "ganymede/error.hpp"

namespace ganymede::testing {
namespace {

TEST(Roofline, IsTheSlowerOfArithmeticAndMemory) {
  const GpuPeaks& h100 = gpu_named("h100");
  EXPECT_STREQ(h100.name, "H100");
  EXPECT_DOUBLE_EQ(least_seconds({"", "", "", 67e12, 1}, h100.float32, h100.bandwidth), 1);
  EXPECT_DOUBLE_EQ(least_seconds({"", "", "", 1, 6.7e12}, h100.float32, h100.bandwidth), 2);
  // The same chip beside faster memory.
  const GpuPeaks& h200 = gpu_named("H200");
  EXPECT_EQ(h200.bfloat16, h100.bfloat16);
  EXPECT_DOUBLE_EQ(least_seconds({"", "", "", 1, 9.6e12}, h200.float32, h200.bandwidth), 2);
  EXPECT_THROW(gpu_named("H10"), Error);
  EXPECT_THROW(cli::flops_per_second(gpu_named("T4"), Precision::bfloat16), Error);
  EXPECT_EQ(cli::flops_per_second(h100, Precision::float32), h100.float32);
  EXPECT_EQ(cli::flops_per_second(h100, Precision::tf32), h100.tf32);
  EXPECT_EQ(cli::flops_per_second(h100, Precision::bfloat16), h100.bfloat16);
}

TEST(Roofline, IsATable) {
  const std::string table =
      cli::operation_table({{"D forward", "layer", "2 × 3 → 4", 134e6, 8e3}, {"update", "optimiser", "9", 0, 6.7e6}},
                           gpu_named("H100"), Precision::float32);
  EXPECT_EQ(table,
            "part of the step  operation     shape      MFLOP      kB    µs\n"
            "D forward         layer         2 × 3 → 4  134.0     8.0  2.00\n"
            "update            optimiser     9            0.0  6700.0  2.00\n"
            "all               2 operations             134.0  6708.0  4.00\n");
}

}  // namespace
}  // namespace ganymede::testing
