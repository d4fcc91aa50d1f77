// Picture grids, decoded again by libpng's own reader.
#include "report/image_grid.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/files.hpp"
#include "ganymede/error.hpp"
#include "support/temporary_folder.hpp"

namespace ganymede {
namespace {

struct Picture {
  std::size_t width = 0;
  std::size_t height = 0;
  std::vector<png_byte> pixels;
  [[nodiscard]] int at(std::size_t x, std::size_t y) const { return pixels[y * width + x]; }
};

Picture decode(const std::string& bytes) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  Picture picture;
  if (png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()) == 0) {
    ADD_FAILURE() << image.message;
    return picture;
  }
  EXPECT_EQ(image.format & (PNG_FORMAT_FLAG_COLOR | PNG_FORMAT_FLAG_ALPHA | PNG_FORMAT_FLAG_COLORMAP), 0U);
  image.format = PNG_FORMAT_GRAY;
  picture.width = image.width;
  picture.height = image.height;
  picture.pixels.resize(PNG_IMAGE_SIZE(image));
  EXPECT_NE(png_image_finish_read(&image, nullptr, picture.pixels.data(), 0, nullptr), 0) << image.message;
  return picture;
}

struct Chunk {
  std::string type;
  std::string data;
};

/// The chunks, by PNG's definition: length, type, data, checksum.
std::vector<Chunk> chunks(const std::string& bytes) {
  std::vector<Chunk> result;
  for (std::size_t at = 8; at + 12 <= bytes.size();) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = length << 8U | static_cast<unsigned char>(bytes[at + i]);
    result.push_back({bytes.substr(at + 4, 4), bytes.substr(at + 8, length)});
    at += 12 + length;
  }
  return result;
}

TEST(ImageGrid, PlacesEveryPixel) {
  constexpr int count = 7;
  constexpr int height = 3;
  constexpr int width = 4;
  constexpr int columns = 3;
  std::vector<float> images;
  for (int i = 0; i < count * height * width; ++i) images.push_back(static_cast<float>(i * 3) / 255.0F);
  const auto picture = decode(encode_png_grid(images, count, {height, width, 1}, columns, {}));
  ASSERT_EQ(picture.width, 3U * 5 - 1);
  ASSERT_EQ(picture.height, 3U * 4 - 1);
  std::vector<int> expected(picture.width * picture.height, 128);
  for (int i = 0; i < count; ++i) {
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        const int row = i / columns * (height + 1) + y;
        const int column = i % columns * (width + 1) + x;
        expected[static_cast<std::size_t>(row) * picture.width + static_cast<std::size_t>(column)] =
            ((i * height + y) * width + x) * 3;
      }
    }
  }
  EXPECT_EQ(std::vector<int>(picture.pixels.begin(), picture.pixels.end()), expected);
}

// Three channels are red, green and blue; of two, blue is missing.
TEST(ImageGrid, HoldsColours) {
  for (const int channels : {2, 3}) {
    std::vector<float> images;
    for (int i = 0; i < 2 * 2 * channels; ++i) images.push_back(static_cast<float>(i * 20) / 255.0F);
    const std::string bytes = encode_png_grid(images, 2, {2, 1, channels}, 2, {});
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    ASSERT_NE(png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()), 0);
    EXPECT_NE(image.format & PNG_FORMAT_FLAG_COLOR, 0U);
    image.format = PNG_FORMAT_RGB;
    ASSERT_EQ(image.width, 3U);
    ASSERT_EQ(image.height, 2U);
    std::vector<png_byte> pixels(PNG_IMAGE_SIZE(image));
    ASSERT_NE(png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr), 0);
    if (channels == 3) {
      EXPECT_THAT(pixels, ::testing::ElementsAre(0, 20, 40, 128, 128, 128, 120, 140, 160, 60, 80, 100, 128, 128, 128,
                                                 180, 200, 220));
    } else {
      EXPECT_THAT(pixels,
                  ::testing::ElementsAre(0, 20, 0, 128, 128, 128, 80, 100, 0, 40, 60, 0, 128, 128, 128, 120, 140, 0));
    }
  }
}

TEST(ImageGrid, ClampsAndRounds) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> values = {0,    -0.0F, 1,     -3,          7,           std::nanf(""), inf,
                                     -inf, 0.5F,  1e-9F, 0.49F / 255, 0.51F / 255, 254.4F / 255,  254.6F / 255};
  const auto picture = decode(encode_png_grid(values, 1, {1, static_cast<int>(values.size()), 1}, 1, {}));
  EXPECT_THAT(picture.pixels, ::testing::ElementsAre(0, 0, 255, 0, 255, 0, 255, 0, 128, 0, 0, 1, 254, 255));
}

TEST(ImageGrid, IsNotWiderThanItsImages) {
  const std::vector<float> images(2 * 4, 0.0F);
  const auto picture = decode(encode_png_grid(images, 2, {2, 2, 1}, 10, {}));
  EXPECT_EQ(picture.width, 5U);
  EXPECT_EQ(picture.height, 2U);
  EXPECT_EQ(picture.at(2, 0), 128);
}

TEST(ImageGrid, HoldsTexts) {
  const std::vector<float> images(4, 0.0F);
  const auto found =
      chunks(encode_png_grid(images, 1, {2, 2, 1}, 1, {{"step", "1200"}, {"data", "\xc3\xa9t\xc3\xa9"}}));
  std::vector<std::string> types;
  std::vector<std::string> texts;
  for (const auto& chunk : found) {
    types.push_back(chunk.type);
    if (chunk.type == "tEXt" || chunk.type == "iTXt") texts.push_back(chunk.data);
  }
  EXPECT_THAT(texts, ::testing::UnorderedElementsAre(std::string("step\0"
                                                                 "1200",
                                                                 9),
                                                     std::string("data\0\0\0\0\0\xc3\xa9t\xc3\xa9", 14)));
  EXPECT_THAT(types, ::testing::Not(::testing::Contains("tIME")));
}

TEST(ImageGrid, GivesTheSameBytes) {
  std::vector<float> images(100 * 28 * 28);
  for (std::size_t i = 0; i < images.size(); ++i) images[i] = static_cast<float>(i % 997) / 997.0F;
  const auto draw = [&] { return encode_png_grid(images, 100, {28, 28, 1}, 10, {{"step", "1"}, {"seed", "2"}}); };
  EXPECT_EQ(draw(), draw());
}

TEST(ImageGrid, WritesTheFile) {
  const test::TemporaryFolder folder;
  const std::vector<float> images(4, 1.0F);
  write_png_grid(folder / "a.png", images, 1, {2, 2, 1}, 1, {});
  EXPECT_EQ(read_file(folder / "a.png"), encode_png_grid(images, 1, {2, 2, 1}, 1, {}));
  EXPECT_THROW(write_png_grid(folder / "none" / "a.png", images, 1, {2, 2, 1}, 1, {}), Error);
}

TEST(ImageGrid, RefusesWhatIsNoGrid) {
  const std::vector<float> images(12, 0.0F);
  EXPECT_THROW(encode_png_grid(images, 0, {2, 2, 1}, 1, {}), Error);
  EXPECT_THROW(encode_png_grid(images, 3, {0, 2, 1}, 1, {}), Error);
  EXPECT_THROW(encode_png_grid(images, 3, {2, 2, 1}, 0, {}), Error);
  EXPECT_THROW(encode_png_grid(images, 2, {2, 2, 1}, 1, {}), Error);
  EXPECT_THROW(encode_png_grid(images, 2'000'000'000, {2, 2, 1}, 1, {}), Error);
  EXPECT_THROW(encode_png_grid(images, 2'000'000'000, {2'000'000'000, 2'000'000'000, 1}, 1, {}), Error);
  const std::vector<float> tall(60'000, 0.0F);
  EXPECT_THROW(encode_png_grid(tall, 60'000, {1, 1, 1}, 1, {}), Error);
  for (const auto& key : {std::string(), std::string(80, 'x'), std::string("a\nb"), std::string(" a")}) {
    EXPECT_THROW(encode_png_grid(images, 3, {2, 2, 1}, 3, {{key, "x"}}), Error) << key;
  }
}

}  // namespace
}  // namespace ganymede
