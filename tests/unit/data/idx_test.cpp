// The IDX reader on whole and damaged files, plain and gzip.
#include "data/idx.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <span>
#include <string>
#include <vector>

#include "ganymede/error.hpp"
#include "support/refusal.hpp"
#include "support/temporary_folder.hpp"
#include "unit/data/idx_bytes.hpp"
#include "unit/data/largest_allocation.hpp"

namespace ganymede {
namespace {

using data::IdxKind;
using test::big_endian;
using test::gzip;
using test::idx_header;
using test::idx_images;
using test::idx_labels;
using test::put;
using test::TemporaryFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string elements(const std::string& file, std::size_t header) { return file.substr(header); }

template <class Container>
std::string text(const Container& bytes) {
  return {bytes.begin(), bytes.end()};
}

TEST(Idx, ReadsImagesPlainAndPacked) {
  const std::string plain = idx_images(5, 3);
  for (const std::string& bytes : {plain, gzip(plain)}) {
    const data::IdxImages images = data::parse_idx_images(bytes_of(bytes), "source");
    EXPECT_EQ(images.count, 5U);
    EXPECT_EQ(images.height, 3);
    EXPECT_EQ(images.width, 3);
    EXPECT_EQ(text(images.pixels), elements(plain, 16));
  }
}

TEST(Idx, ReadsLabelsPlainAndPacked) {
  const std::string plain = idx_labels(23);
  for (const std::string& bytes : {plain, gzip(plain)}) {
    EXPECT_EQ(text(data::parse_idx_labels(bytes_of(bytes), "source")), elements(plain, 8));
  }
}

// Larger than every buffer on the way, so that the reader has to go round.
TEST(Idx, ReadsFilesOfManyBuffers) {
  const TemporaryFolder folder;
  const std::string plain = idx_images(700, 28);
  put(folder / "plain", plain);
  put(folder / "packed", gzip(plain));
  for (const char* name : {"plain", "packed"}) {
    data::IdxReader reader(folder / name, IdxKind::images);
    ASSERT_EQ(reader.bytes(), 700U * 28 * 28);
    std::vector<std::uint8_t> pixels(reader.bytes());
    reader.read(pixels);
    EXPECT_EQ(text(pixels), elements(plain, 16)) << name;
  }
}

struct Damage {
  const char* name;
  IdxKind kind;
  std::string bytes;
  std::vector<const char*> says;
};

std::string with(std::string bytes, std::size_t place, char value) {
  bytes.at(place) = value;
  return bytes;
}

// The last four bytes of a gzip member give the length of what it holds.
std::string with_gzip_length(std::string packed, std::uint32_t length) {
  for (std::size_t i = 0; i < 4; ++i) packed[packed.size() - 4 + i] = static_cast<char>(length >> (8 * i));
  return packed;
}

std::vector<Damage> damages() {
  const IdxKind images = IdxKind::images;
  const IdxKind labels = IdxKind::labels;
  const std::string good = idx_images(6, 4);  // 16 + 96 bytes
  const std::string good_labels = idx_labels(30);
  const std::string packed = gzip(good);
  const std::string bomb = gzip(idx_header(0x803, {1, 4, 4}) + std::string(20'000'000, '\0'));
  return {
      {"Empty", images, "", {"header: expected 16 bytes, found 0"}},
      {"ThreeBytes", images, good.substr(0, 3), {"header: expected 16 bytes, found 3"}},
      {"MagicOnly", images, good.substr(0, 4), {"header: expected 16 bytes, found 4"}},
      {"HeaderCut", images, good.substr(0, 15), {"header: expected 16 bytes, found 15"}},
      {"NoIdx", images, "\x89PNG\r\n and more of it", {"magic number: expected 0x00000803", "found 0x89504e47"}},
      {"LittleEndian", images, std::string("\x03\x08\0\0", 4) + good.substr(4), {"magic number", "0x03080000"}},
      {"Floats", images, with(good, 2, 0x0d), {"type: expected 0x08 (uint8), found 0x0d (float32)"}},
      {"UnknownType", images, with(good, 2, 0x55), {"type: expected 0x08 (uint8), found 0x55"}},
      {"LabelsAsImages", images, good_labels, {"dimensions: expected 3 in an image file", "found 1"}},
      {"ColourImages",
       images,
       idx_header(0x804, {1, 3, 2, 2}) + std::string(12, 'x'),
       {"dimensions: expected 3", "found 4: colour images are not read"}},
      {"NoImages", images, idx_header(0x803, {0, 28, 28}), {"number of images: expected at least 1, found 0"}},
      {"NoHeight", images, idx_header(0x803, {5, 0, 28}), {"image height: expected 1 to 1024, found 0"}},
      {"NoWidth", images, idx_header(0x803, {5, 28, 0}), {"image width: expected 1 to 1024, found 0"}},
      {"Huge", images, idx_header(0x803, {5, 1025, 1025}), {"image height: expected 1 to 1024, found 1025"}},
      {"NotSquare", images, idx_header(0x803, {1, 2, 3}) + "123456", {"expected square images, found 2 × 3"}},
      {"OneByteShort", images, good.substr(0, 111), {"length: expected 112 bytes (header 16 + 6 × 4 × 4), found 111"}},
      {"OneByteLong", images, good + "x", {"length: expected 112 bytes", "found 113"}},
      {"TwoToThe31",
       images,
       idx_header(0x803, {1U << 31U, 28, 28}),
       {"length: expected 1683627180048 bytes (header 16 + 2147483648 × 28 × 28), found 16"}},
      {"Largest", images, idx_header(0x803, {0xffffffffU, 1024, 1024}), {"4294967295 × 1024 × 1024), found 16"}},

      {"ImagesAsLabels", labels, good, {"dimensions: expected 1", "found 3"}},
      {"NoLabels", labels, idx_header(0x801, {0}), {"number of labels: expected at least 1, found 0"}},
      {"LabelTen", labels, with(good_labels, 8 + 17, 10), {"label 17: expected 0 to 9, found 10"}},
      {"Label255", labels, with(good_labels, 8, '\xff'), {"label 0: expected 0 to 9, found 255"}},
      {"PackedLabelTen", labels, gzip(with(good_labels, 37, 10)), {"label 29: expected 0 to 9, found 10"}},
      {"LabelsShort", labels, good_labels.substr(0, 37), {"length: expected 38 bytes (header 8 + 30), found 37"}},
      {"LabelsLong", labels, good_labels + "0", {"length: expected 38 bytes (header 8 + 30), found 39"}},
      {"LabelsTwoToThe31", labels, idx_header(0x801, {1U << 31U}), {"length: expected 2147483656 bytes", "found 8"}},

      {"GzipMagicOnly",
       images,
       "\x1f\x8b",
       {"gzip stream: expected its end", "2 bytes (0 bytes unpacked)", "truncated"}},
      {"GzipMethod", images, with(packed, 2, 7), {"gzip stream: expected valid deflate data", "unknown compression"}},
      {"GzipCut", images, packed.substr(0, packed.size() / 2), {"gzip stream: expected its end", "truncated"}},
      {"GzipNoTrailer", images, packed.substr(0, packed.size() - 8), {"gzip stream: expected its end", "truncated"}},
      {"GzipTrailerCut", images, packed.substr(0, packed.size() - 1), {"gzip stream: expected its end", "truncated"}},
      {"GzipCheckSum",
       images,
       with(packed, packed.size() - 5, static_cast<char>(packed[packed.size() - 5] ^ 1)),
       {"gzip check sum: expected that of the data, found another"}},
      {"GzipLength", images, with_gzip_length(packed, 113), {"gzip length: expected that of the data, found another"}},
      {"GzipData",
       images,
       packed.substr(0, 10) + '\x07' + packed.substr(11),
       {"gzip stream: expected valid deflate data, found damage: invalid block type"}},
      {"GzipThenText", images, packed + "more", {"length: expected nothing after the gzip stream", "4 bytes more"}},
      {"GzipThenPadding", images, packed + std::string(512, '\0'), {"length: expected nothing", "512 bytes more"}},
      {"GzipMembers", images, gzip(good.substr(0, 50)) + gzip(good.substr(50)), {"gzip members: expected 1"}},
      {"GzipTwice", images, gzip(packed), {"magic number: expected 0x00000803", "found 0x1f8b"}},
      {"GzipOfNothing", images, gzip(""), {"header: expected 16 bytes, found 0"}},
      {"GzipNoImages", images, gzip(idx_header(0x803, {0, 4, 4})), {"number of images: expected at least 1"}},
      {"GzipClaimsMore",
       images,
       gzip(idx_header(0x803, {7, 4, 4}) + elements(good, 16)),
       {"length: expected 128 bytes (header 16 + 7 × 4 × 4), found 112"}},
      // A claim that deflate could keep, but this file does not.
      {"GzipClaimsMuchMore",
       images,
       gzip(idx_header(0x803, {400, 20, 20}) + elements(idx_images(6, 20), 16)),
       {"length: expected 160016 bytes (header 16 + 400 × 20 × 20), found 2416"}},
      {"GzipClaimsLess",
       images,
       gzip(idx_header(0x803, {5, 4, 4}) + elements(good, 16)),
       {"length: expected 96 bytes, found more in the gzip stream"}},
      {"GzipTwoToThe31",
       images,
       gzip(idx_header(0x803, {1U << 31U, 28, 28})),
       {"length: expected 1683627180048 bytes", "found 16"}},
      // 2^32 bytes more than there are give the same length modulo 2^32.
      {"GzipClaimsModulo", labels, gzip(idx_header(0x801, {0xffffffffU}) + std::string(0, 'x')), {"found 8"}},
      {"GzipModuloImages",
       images,
       gzip(idx_header(0x803, {1U << 24U, 16, 16})),
       {"length: expected 4294967312", "found 16"}},
      {"GzipClaimsMoreForged",
       images,
       with_gzip_length(gzip(idx_header(0x803, {7, 4, 4}) + elements(good, 16)), 128),
       {"gzip length: expected that of the data, found another"}},
      {"Bomb", images, bomb, {"length: expected 32 bytes, found more in the gzip stream"}},
      {"BombForged", images, with_gzip_length(bomb, 32), {"length: expected 32 bytes, found more in the gzip stream"}},
  };
}

void parse(const Damage& damage) {
  if (damage.kind == IdxKind::images) {
    data::parse_idx_images(bytes_of(damage.bytes), "the-source");
  } else {
    data::parse_idx_labels(bytes_of(damage.bytes), "the-source");
  }
}

void expect_says(const Damage& damage, const Error& error, const std::string& source) {
  EXPECT_EQ(error.code(), ExitCode::data) << damage.name;
  EXPECT_THAT(error.what(), ::testing::StartsWith(source + ": ")) << damage.name;
  for (const char* part : damage.says) EXPECT_THAT(error.what(), HasSubstr(part)) << damage.name;
}

TEST(DamagedIdx, InMemorySaysWhatIsWrongAndTakesNoMemory) {
  for (const Damage& damage : damages()) {
    test::take_largest_allocation();
    try {
      parse(damage);
      ADD_FAILURE() << damage.name << " was accepted";
    } catch (const Error& error) {
      EXPECT_LT(test::take_largest_allocation(), 100'000U) << damage.name;
      expect_says(damage, error, "the-source");
    }
  }
}

TEST(DamagedIdx, InAFileSaysWhatIsWrongAndTakesNoMemory) {
  const TemporaryFolder folder;
  for (const Damage& damage : damages()) {
    const auto file = folder / damage.name;
    put(file, damage.bytes);
    test::take_largest_allocation();
    try {
      data::IdxReader reader(file, damage.kind);
      std::vector<std::uint8_t> to(reader.bytes());
      reader.read(to);
      ADD_FAILURE() << damage.name << " was accepted";
    } catch (const Error& error) {
      EXPECT_LT(test::take_largest_allocation(), 100'000U) << damage.name;
      // How much follows a gzip stream is told only of memory.
      Damage in_file = damage;
      std::erase_if(in_file.says, [](const std::string& part) { return part.ends_with("bytes more"); });
      expect_says(in_file, error, file.string());
    }
  }
}

TEST(DamagedIdx, AClaimOf2To31ImagesFailsAtOnce) {
  const TemporaryFolder folder;
  const auto file = folder / "train-images-idx3-ubyte";
  put(file, idx_header(0x803, {1U << 31U, 28, 28}));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THROW(data::IdxReader(file, IdxKind::images), Error);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(200));
}

TEST(DamagedIdx, EveryPrefixIsRefused) {
  const std::string plain = idx_images(3, 5);
  for (const std::string& whole : {plain, gzip(plain)}) {
    for (std::size_t size = 0; size < whole.size(); ++size) {
      EXPECT_THROW(data::parse_idx_images(bytes_of(whole.substr(0, size)), "source"), Error) << size;
    }
  }
}

// Some bits of a gzip header mean nothing here (the time, the system); all others must be noticed.
TEST(DamagedIdx, NoFlippedBitOfAPackedFileChangesWhatIsRead) {
  const std::string packed = gzip(idx_images(3, 5));
  const auto good = data::parse_idx_images(bytes_of(packed), "source").pixels;
  std::size_t unnoticed = 0;
  for (std::size_t bit = 0; bit < 8 * packed.size(); ++bit) {
    std::string flipped = packed;
    flipped[bit / 8] = static_cast<char>(static_cast<unsigned char>(flipped[bit / 8]) ^ (1U << (bit % 8)));
    try {
      EXPECT_EQ(data::parse_idx_images(bytes_of(flipped), "source").pixels, good) << bit;
      ++unnoticed;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
    }
  }
  EXPECT_LE(unnoticed, 8U * 7);  // the flag for text, time, extra flags, system
}

TEST(DamagedIdx, WhatIsNoFileIsRefused) {
  const TemporaryFolder folder;
  const auto expect = [](const std::filesystem::path& path, const char* says) {
    EXPECT_THAT(testing::refusal(ExitCode::data, [&] { data::IdxReader reader(path, IdxKind::images); }),
                AllOf(HasSubstr(path.string()), HasSubstr(says)));
  };
  expect(folder / "absent", "cannot be opened: No such file");
  expect(folder.path(), "kind: expected a regular file, found a folder");
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  expect(folder / "pipe", "kind: expected a regular file");  // and does not wait for a writer
}

TEST(DamagedIdx, ImagesAndLabelsMustAgreeInNumber) {
  const std::string images = idx_images(3, 2);
  const std::string labels = idx_labels(4);
  const data::IdxReader image_reader(bytes_of(images), "the-images", IdxKind::images);
  const data::IdxReader label_reader(bytes_of(labels), "the-labels", IdxKind::labels);
  EXPECT_EQ(testing::refusal(ExitCode::data, [&] { data::check_same_count(image_reader, label_reader); }),
            "the-labels: number of labels: expected 3, as images in the-images, found 4");
}

}  // namespace
}  // namespace ganymede
