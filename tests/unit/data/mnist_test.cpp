// The whole MNIST, registered where $GANYMEDE_DATA had it when the build was configured.
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <span>
#include <string>

#include "data/fetch.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/dataset.hpp"
#include "support/environment.hpp"
#include "unit/data/idx_bytes.hpp"

namespace ganymede {
namespace {

std::string file_of(std::string header, std::span<const std::uint8_t> elements) {
  header.append(elements.begin(), elements.end());
  return header;
}

TEST(Mnist, HasItsCountsAndItsCheckSums) {
  ASSERT_TRUE(std::filesystem::is_directory(GANYMEDE_TEST_DATA "/mnist"))
      << "configure again, with GANYMEDE_DATA set to a folder with mnist/ in it";
  const test::Environment data("GANYMEDE_DATA", GANYMEDE_TEST_DATA);
  const Dataset set =
      Dataset::open("mnist", {.train_labels = true, .test = true, .test_labels = true}, *make_local_communicator());
  EXPECT_EQ(set.folder(), GANYMEDE_TEST_DATA "/mnist");
  EXPECT_EQ(set.train().count, 60000U);
  EXPECT_EQ(set.test().count, 10000U);
  EXPECT_EQ(set.train().pixels(), 784);
  const auto& files = data::mnist_files();
  const std::array whole = {file_of(test::idx_header(0x803, {60000, 28, 28}), set.train().images),
                            file_of(test::idx_header(0x801, {60000}), set.train().labels),
                            file_of(test::idx_header(0x803, {10000, 28, 28}), set.test().images),
                            file_of(test::idx_header(0x801, {10000}), set.test().labels)};
  for (std::size_t i = 0; i < whole.size(); ++i) {
    EXPECT_EQ(whole[i].size(), files[i].size) << files[i].name;
    EXPECT_EQ(data::sha256(whole[i]), files[i].sha256) << files[i].name;
  }
}

}  // namespace
}  // namespace ganymede
