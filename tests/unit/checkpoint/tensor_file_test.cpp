// safetensors: what is written, what comes back, and a table of files that must be refused.
#include "ganymede/tensor_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <random>

#include "core/files.hpp"
#include "ganymede/error.hpp"
#include "support/refusal.hpp"
#include "support/temporary_folder.hpp"

namespace ganymede {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

/// A file of this header and data, put together by the format's description alone.
std::string file_of(const std::string& header, const std::string& data = {}) {
  std::string bytes;
  for (unsigned shift = 0; shift < 64; shift += 8) bytes += static_cast<char>((header.size() >> shift) & 255U);
  return bytes + header + data;
}

std::string refusal(const std::string& bytes) {
  std::string said = testing::refusal(ExitCode::data, [&] { TensorFile::parse(bytes, "w.safetensors"); });
  EXPECT_THAT(said, AnyOf("", HasSubstr("w.safetensors: ")));
  return said;
}

std::vector<std::uint32_t> bits(const std::vector<float>& values) {
  std::vector<std::uint32_t> result(values.size());
  if (!values.empty()) std::memcpy(result.data(), values.data(), values.size() * sizeof(float));
  return result;
}

void expect_same(const TensorFile& a, const TensorFile& b) {
  EXPECT_EQ(a.metadata, b.metadata);
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (std::size_t i = 0; i < a.tensors.size(); ++i) {
    EXPECT_EQ(a.tensors[i].name, b.tensors[i].name);
    EXPECT_EQ(a.tensors[i].shape, b.tensors[i].shape);
    EXPECT_EQ(bits(a.tensors[i].values), bits(b.tensors[i].values));
  }
}

TensorFile example() {
  TensorFile file;
  file.tensors.push_back({"0.weight", {2, 3}, {1, 2, 3, 4, 5, 6}});
  file.tensors.push_back({"0.bias", {2}, {-1, .5F}});
  file.metadata = {{"step", "12"}, {"format", "pt"}};
  return file;
}

TEST(TensorFile, WritesTheFormatByteForByte) {
  const std::string header = R"({"__metadata__":{"format":"pt","step":"12"},)"
                             R"("0.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
                             R"("0.bias":{"dtype":"F32","shape":[2],"data_offsets":[24,32]}})";
  const std::string padding((8 - header.size() % 8) % 8, ' ');
  const std::string data(
      "\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40\0\0\xa0\x40\0\0\xc0\x40"
      "\0\0\x80\xbf\0\0\0\x3f",
      32);
  EXPECT_EQ(example().serialize(), file_of(header + padding, data));
  EXPECT_EQ(example().serialize().size() % 8, 0U);
}

TEST(TensorFile, BringsBackEveryBit) {
  TensorFile file;
  std::vector<float> special;
  for (const std::uint32_t pattern : {0x00000000U, 0x80000000U, 0x00000001U, 0x807FFFFFU, 0x7F800000U, 0xFF800000U,
                                      0x7FC00000U, 0x7F800001U, 0xFFC12345U, 0x7FFFFFFFU, 0x7F7FFFFFU, 0x00800000U}) {
    special.push_back(std::bit_cast<float>(pattern));
  }
  file.tensors.push_back({"special", {3, 4}, special});
  file.tensors.push_back({"scalar", {}, {3.25F}});
  file.tensors.push_back({"none", {0, 7}, {}});
  file.tensors.push_back({"a \"name\" with \\ and \n and \xc3\xa9", {1, 1, 2}, {1, 2}});
  file.metadata = {{"", "empty key"}, {"empty value", ""}, {"quote", "\"\\\t\xe2\x82\xac"}};
  const auto back = TensorFile::parse(file.serialize(), "test");
  expect_same(file, back);
  EXPECT_EQ(back.serialize(), file.serialize());
  expect_same(TensorFile{}, TensorFile::parse(TensorFile{}.serialize(), "test"));
}

TEST(TensorFile, BringsBackRandomFilesInOrder) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    TensorFile file;
    for (std::uint32_t i = random() % 6; i > 0; --i) {
      Tensor tensor{std::to_string(random()), {}, {}};
      std::size_t count = 1;
      for (std::uint32_t d = random() % 4; d > 0; --d) {
        tensor.shape.push_back(1 + random() % 5);
        count *= static_cast<std::size_t>(tensor.shape.back());
      }
      for (std::size_t k = 0; k < count; ++k) {
        tensor.values.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
      }
      file.tensors.push_back(tensor);
    }
    expect_same(file, TensorFile::parse(file.serialize(), "test"));
  }
}

TEST(TensorFile, ReadsTensorsInTheOrderOfTheirBytes) {
  // A header may list them in any order.
  const auto file = TensorFile::parse(
      file_of(
          R"({"b":{"data_offsets":[4,8],"dtype":"F32","shape":[]},"a":{"shape":[1],"dtype":"F32","data_offsets":[0,4]}}  )",
          std::string("\0\0\x80\x3f\0\0\0\x40", 8)),
      "test");
  ASSERT_EQ(file.tensors.size(), 2U);
  EXPECT_EQ(file.tensors[0].name, "a");
  EXPECT_EQ(file.tensors[0].values, std::vector<float>{1});
  EXPECT_EQ(file.at("b").values, std::vector<float>{2});
  EXPECT_TRUE(file.at("b").shape.empty());
}

TEST(TensorFile, PassesOverPyTorchsCountsOfBatches) {
  const auto file =
      TensorFile::parse(file_of(R"({"1.num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
                                R"("1.weight":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})",
                                std::string("\x05\0\0\0\0\0\0\0\0\0\0\x40", 12)),
                        "test");
  ASSERT_EQ(file.tensors.size(), 1U);
  EXPECT_EQ(file.at("1.weight").values, std::vector<float>{2});
}

TEST(TensorFile, NamesItsTensorsWhenOneIsMissing) {
  EXPECT_THAT(testing::refusal(ExitCode::data, [] { (void)example().at("1.weight"); }),
              AllOf(HasSubstr("1.weight"), HasSubstr("0.weight, 0.bias")));
}

TEST(TensorFile, RefusesToWriteWhatItCouldNotRead) {
  const auto refused = [](const Tensor& tensor, const std::map<std::string, std::string>& metadata = {}) {
    TensorFile file = example();
    file.tensors.push_back(tensor);
    file.metadata = metadata;
    EXPECT_THROW((void)file.serialize(), Error) << tensor.name;
  };
  refused({"", {1}, {1}});
  refused({"__metadata__", {1}, {1}});
  refused({"0.bias", {1}, {1}});
  refused({"\xff", {1}, {1}});
  refused({"x", {2}, {1}});
  refused({"x", {-1}, {}});
  refused({"x", {std::int64_t{1} << 62, 16}, {}});
  refused({"x", {1}, {1}}, {{"key", "\xc3"}});
}

struct Damage {
  const char* name;
  std::string bytes;
  std::vector<std::string> says;
};

void PrintTo(const Damage& damage, std::ostream* out) { *out << damage.name; }

std::string entry(const std::string& shape, const std::string& offsets, const std::string& dtype = "F32") {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

std::vector<Damage> damages() {
  const std::string four(4, '\0');
  const std::string eight(8, '\0');
  const std::string valid = entry("[1]", "[0,4]");
  std::string huge_length = file_of(R"({"x":)" + valid + "}", four);
  huge_length[7] = '\x7f';
  return {
      {"empty", "", {"length", "at least 8", "found 0"}},
      {"seven bytes", std::string(7, '\0'), {"length", "found 7"}},
      {"header of zero bytes", file_of(""), {"header length", "found 0"}},
      {"header length of exabytes", huge_length, {"header length", "100000000"}},
      {"header beyond the file", file_of("{}").substr(0, 9), {"header length", "the 1 bytes", "found 2"}},
      {"not JSON", file_of("{]"), {"header", "no safetensors file"}},
      {"a PNG", "\x89PNG\r\n\x1a\n" + std::string(100, ' '), {"header length", "no safetensors file"}},
      {"JSON cut short", file_of(R"({"x":{}})").replace(15, 1, " "), {"not valid JSON", "end of input"}},
      {"broken JSON", file_of(R"({"x":,})"), {"not valid JSON", "line 1, column 6"}},
      {"leading space", file_of(" {}"), {"header"}},
      {"newline behind the header", file_of("{}\n"), {"header"}},
      {"two objects", file_of("{}{}"), {"not valid JSON"}},
      {"byte order mark", file_of("\xef\xbb\xbf{}"), {"header"}},
      {"an array", file_of("[]"), {"header"}},
      {"invalid UTF-8", file_of("{\"\xc3\x28\":" + valid + "}", four), {"not valid JSON", "UTF-8"}},
      {"control character", file_of("{\"\x1b[2J\":" + valid + "}", four), {"not valid JSON"}},
      {"number too large for a double",
       file_of(R"({"x":)" + entry("[1e999]", "[0,4]") + "}", four),
       {"not valid JSON"}},
      {"the same tensor twice", file_of(R"({"x":)" + valid + R"(,"x":)" + valid + "}", four), {"\"x\"", "two"}},
      {"the same field twice",
       file_of(R"({"x":{"dtype":"F16","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", four),
       {"\"dtype\"", "two"}},
      {"metadata twice", file_of(R"({"__metadata__":{},"__metadata__":{}})"), {"__metadata__", "two"}},
      {"metadata of numbers", file_of(R"({"__metadata__":{"step":12}})"), {"__metadata__ \"step\"", "a string", "12"}},
      {"metadata null", file_of(R"({"__metadata__":null})"), {"__metadata__", "an object", "null"}},
      {"an empty name", file_of(R"({"":)" + valid + "}", four), {"a name"}},
      {"tensor is a number", file_of(R"({"x":5})"), {"tensor \"x\"", "an object", "found 5"}},
      {"no dtype", file_of(R"({"x":{"shape":[1],"data_offsets":[0,4]}})", four), {"tensor \"x\"", "no dtype"}},
      {"an unknown field",
       file_of(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"order":"F"}})", four),
       {"tensor \"x\"", "\"order\""}},
      {"half precision",
       file_of(R"({"x":)" + entry("[2]", "[0,4]", "F16") + "}", four),
       {"tensor \"x\" dtype", "F32", "found F16", "tensor.float()"}},
      {"whole numbers of another name",
       file_of(R"({"x":)" + entry("[]", "[0,8]", "I64") + "}", four + four),
       {"tensor \"x\" dtype", "F32", "found I64"}},
      {"counts that are no scalar",
       file_of(R"({"1.num_batches_tracked":)" + entry("[1]", "[0,8]", "I64") + "}", four + four),
       {"shape", "found"}},
      {"dtype with an escape sequence",
       file_of(R"({"x":)" + entry("[2]", "[0,4]", "\\u001b[2J") + "}", four),
       {"found \\x1b[2J"}},
      {"dtype null", file_of(R"({"x":{"dtype":null,"shape":[1],"data_offsets":[0,4]}})", four), {"dtype", "null"}},
      {"shape is a number", file_of(R"({"x":)" + entry("1", "[0,4]") + "}", four), {"shape", "an array", "found 1"}},
      {"shape negative", file_of(R"({"x":)" + entry("[-1]", "[0,4]") + "}", four), {"shape", "found -1"}},
      {"shape with a fraction", file_of(R"({"x":)" + entry("[1.0]", "[0,4]") + "}", four), {"shape", "found 1.0"}},
      {"shape beyond int64", file_of(R"({"x":)" + entry("[9223372036854775808]", "[0,4]") + "}", four), {"2^63"}},
      {"shape beyond uint64", file_of(R"({"x":)" + entry("[18446744073709551616]", "[0,4]") + "}", four), {"shape"}},
      {"product overflows to 4",
       file_of(R"({"x":)" + entry("[4611686018427387905]", "[0,4]") + "}", four),
       {"shape", "64 bits"}},
      {"product overflows to 0",
       file_of(R"({"x":)" + entry("[4294967296,4294967296]", "[0,0]") + "}"),
       {"shape", "64 bits"}},
      {"zero hides an overflow",
       file_of(R"({"x":)" + entry("[4294967296,4294967296,0]", "[0,0]") + "}"),
       {"shape", "64 bits"}},
      {"65 dimensions",
       file_of(R"({"x":)" +
                   entry(
                       "[1" +
                           [] {
                             std::string ones;
                             for (int i = 0; i < 64; ++i) ones += ",1";
                             return ones;
                           }() +
                           "]",
                       "[0,4]") +
                   "}",
               four),
       {"at most 64"}},
      {"claims 2^40 values",
       file_of(R"({"x":)" + entry("[1099511627776]", "[0,4398046511104]") + "}", four),
       {"data_offsets", "4 bytes that the file holds", "4398046511104"}},
      {"offsets are one", file_of(R"({"x":)" + entry("[1]", "[0]") + "}", four), {"[begin, end]"}},
      {"offsets are three", file_of(R"({"x":)" + entry("[1]", "[0,4,4]") + "}", four), {"[begin, end]"}},
      {"offsets are strings", file_of(R"({"x":)" + entry("[1]", R"(["0","4"])") + "}", four), {"whole number"}},
      {"offsets reversed",
       file_of(R"({"x":)" + entry("[1]", "[0,4]") + R"(,"y":)" + entry("[1]", "[4,0]") + "}", eight),
       {"tensor \"y\" data_offsets"}},
      {"hole at the start", file_of(R"({"x":)" + entry("[1]", "[4,8]") + "}", eight), {"begin of 0", "found 4"}},
      {"hole",
       file_of(R"({"x":)" + valid + R"(,"y":)" + entry("[1]", "[8,12]") + "}", four + eight),
       {"tensor \"y\"", "begin of 4", "found 8"}},
      {"overlap",
       file_of(R"({"x":)" + entry("[2]", "[0,8]") + R"(,"y":)" + entry("[2]", "[4,12]") + "}", four + eight),
       {"tensor \"y\"", "begin of 8", "found 4"}},
      {"the same bytes twice",
       file_of(R"({"x":)" + valid + R"(,"y":)" + valid + "}", four),
       {"tensor \"y\"", "begin of 4", "found 0"}},
      {"fewer bytes than the shape",
       file_of(R"({"x":)" + entry("[2]", "[0,4]") + "}", four),
       {"8 bytes for its shape", "found 4"}},
      {"more bytes than the shape",
       file_of(R"({"x":)" + entry("[1]", "[0,8]") + "}", eight),
       {"4 bytes for its shape", "found 8"}},
      {"trailing byte", file_of(R"({"x":)" + valid + "}", four + "x"), {"length", "4 bytes", "found 5"}},
      {"data without tensors", file_of("{}", four), {"length", "0 bytes", "found 4"}},
      {"cut in the data", file_of(R"({"x":)" + valid + "}", "\0\0"), {"data_offsets"}},
      {"deep nesting", file_of(R"({"x":)" + std::string(100'000, '[') + "}"), {"levels"}},
  };
}

class DamagedTensorFile : public ::testing::TestWithParam<Damage> {};

TEST_P(DamagedTensorFile, IsRefusedWithItsReason) {
  const auto message = refusal(GetParam().bytes);
  for (const auto& part : GetParam().says) EXPECT_THAT(message, HasSubstr(part));
  for (const char c : message) EXPECT_TRUE(c >= 0x20 && c < 0x7F) << "not printable: " << static_cast<int>(c);
}

INSTANTIATE_TEST_SUITE_P(All, DamagedTensorFile, ::testing::ValuesIn(damages()));

TEST(TensorFile, RefusesEveryTruncationAndExtension) {
  const std::string bytes = example().serialize();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_NE(refusal(bytes.substr(0, size)), "") << size;
  }
  EXPECT_NE(refusal(bytes + '\0'), "");
  EXPECT_EQ(refusal(bytes), "");
}

// A file with holes, as `truncate -s 1T` makes: more than there is memory for.
TEST(TensorFile, IsCheckedAgainstItsSizeBeforeItIsRead) {
  const test::TemporaryFolder folder;
  const std::filesystem::path file = folder / "w.safetensors";
  for (const auto& [begin, says] :
       {std::pair<std::string, std::string>{"", "header length: expected 2 to 100000000 bytes, found 0"},
        {example().serialize(), "length: expected 32 bytes behind the header, found 1099511"}}) {
    write_file_atomically(file, begin);
    std::filesystem::resize_file(file, std::uintmax_t{1} << 40U);
    try {
      TensorFile::read(file);
      ADD_FAILURE() << "loaded";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr(file.string()), HasSubstr(says)));
    }
  }
}

TEST(TensorFile, SurvivesRandomDamage) {
  // Some damage gives another valid file (a changed value, a changed name): then it must be consistent.
  const std::string bytes = example().serialize();
  std::mt19937 random(11);
  int loaded = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = bytes;
    for (std::uint32_t flips = 1 + random() % 3; flips > 0; --flips) {
      damaged[random() % damaged.size()] ^= static_cast<char>(1U << (random() % 8));
    }
    try {
      const auto file = TensorFile::parse(damaged, "test");
      expect_same(file, TensorFile::parse(file.serialize(), "test"));
      ++loaded;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
    }
  }
  EXPECT_GT(loaded, 100);
  EXPECT_LT(loaded, 15'000);
}

TEST(TensorFile, AWrittenFileShowsAnyDamage) {
  const test::TemporaryFolder folder;
  example().write(folder / "w.safetensors");
  const std::string bytes = read_file(folder / "w.safetensors");
  EXPECT_EQ(refusal(bytes), "");
  const std::size_t values = bytes.size() - 8 * sizeof(float);
  for (std::size_t bit = values * 8; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] ^= static_cast<char>(1U << (bit % 8));
    EXPECT_THAT(refusal(damaged), AllOf(HasSubstr("ganymede-digest"), HasSubstr("damaged"))) << bit;
  }
  // What it says of itself, too.
  for (const auto& [from, to] : {std::pair{R"("step":"12")", R"("step":"13")"}, {"0.bias", "1.bias"}}) {
    std::string edited = bytes;
    ASSERT_NE(edited.find(from), std::string::npos);
    edited.replace(edited.find(from), std::strlen(from), to);
    EXPECT_THAT(refusal(edited), HasSubstr("ganymede-digest"));
  }
}

TEST(TensorFile, TheDigestHoldsInAnyOrderOfTensors) {
  const test::TemporaryFolder folder;
  example().write(folder / "w.safetensors");
  const std::string bytes = read_file(folder / "w.safetensors");
  // As another writer that keeps the metadata would: the second tensor first.
  const std::string_view key = R"("ganymede-digest":")";
  const std::string digest = bytes.substr(bytes.find(key) + key.size(), 32);
  TensorFile other = example();
  std::swap(other.tensors[0], other.tensors[1]);
  other.metadata["ganymede-digest"] = digest;
  EXPECT_EQ(refusal(other.serialize()), "");
  other.tensors[0].values[0] = 7;
  EXPECT_NE(refusal(other.serialize()), "");
}

TEST(TensorFile, NamesTheFileItCannotReadOrWrite) {
  const test::TemporaryFolder folder;
  example().write(folder / "w.safetensors");
  expect_same(TensorFile::read(folder / "w.safetensors"), example());
  EXPECT_THROW(TensorFile::read(folder / "none.safetensors"), Error);
  EXPECT_THAT(testing::refusal(ExitCode::data, [&] { example().write(folder / "none" / "w.safetensors"); }),
              HasSubstr("none/w.safetensors"));
}

}  // namespace
}  // namespace ganymede
