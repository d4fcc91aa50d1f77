// Records and their sums, by published examples.
#include "tensorboard/tf_record.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <string>

#include "core/files.hpp"

namespace ganymede::tensorboard {
namespace {

// RFC 3720, appendix B.4; the last is the catalogue's check value.
TEST(TfRecord, SumsAreThoseOfTheRfc) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43U);
  std::string rising(32, '\0');
  std::iota(rising.begin(), rising.end(), '\0');
  EXPECT_EQ(crc32c(rising), 0x46DD794EU);
  EXPECT_EQ(crc32c(std::string(rising.rbegin(), rising.rend())), 0x113FDB5CU);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);
  EXPECT_EQ(crc32c(""), 0U);
}

// As TensorBoard's own RecordWriter writes b"foo" and b"".
TEST(TfRecord, IsFramedAsTensorBoardFramesIt) {
  const auto bytes = [](const std::string& record) {
    return hex({reinterpret_cast<const unsigned char*>(record.data()), record.size()});
  };
  EXPECT_EQ(bytes(tf_record("foo")), "0300000000000000b099490e666f6f618abefe");
  EXPECT_EQ(bytes(tf_record("")), "000000000000000029039807d8ea82a2");
}

}  // namespace
}  // namespace ganymede::tensorboard
