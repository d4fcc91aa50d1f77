// The animation of a run's grids, read back by giflib's decoder.
#include "report/animation.hpp"

#include <gif_lib.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "report/image_grid.hpp"
#include "support/temporary_folder.hpp"

namespace ganymede {
namespace {

using test::TemporaryFolder;

struct Decoded {
  struct Frame {
    int hundredths = 0;
    std::vector<GifColorType> pixels;
  };
  int width = 0;
  int height = 0;
  std::vector<Frame> frames;
  [[nodiscard]] GifColorType at(std::size_t frame, int x, int y) const {
    return frames[frame].pixels[static_cast<std::size_t>(y * width + x)];
  }
};

Decoded decoded(const std::string& gif) {
  struct Source {
    const std::string& bytes;
    std::size_t at;
  } source{gif, 0};
  int error = 0;
  GifFileType* file = DGifOpen(
      &source,
      [](GifFileType* self, GifByteType* to, int count) {
        auto& from = *static_cast<Source*>(self->UserData);
        const std::size_t size = std::min(static_cast<std::size_t>(count), from.bytes.size() - from.at);
        std::memcpy(to, from.bytes.data() + from.at, size);
        from.at += size;
        return static_cast<int>(size);
      },
      &error);
  Decoded result;
  if (file == nullptr || DGifSlurp(file) == GIF_ERROR) {
    ADD_FAILURE() << "giflib cannot read it";
    return result;
  }
  EXPECT_EQ(source.at, gif.size());
  result.width = file->SWidth;
  result.height = file->SHeight;
  for (int i = 0; i < file->ImageCount; ++i) {
    const SavedImage& image = file->SavedImages[i];
    EXPECT_EQ(image.ImageDesc.Width, file->SWidth);
    EXPECT_EQ(image.ImageDesc.Height, file->SHeight);
    GraphicsControlBlock control{};
    EXPECT_EQ(DGifSavedExtensionToGCB(file, i, &control), GIF_OK);
    Decoded::Frame& frame = result.frames.emplace_back();
    frame.hundredths = control.DelayTime;
    for (int p = 0; p < file->SWidth * file->SHeight; ++p)
      frame.pixels.push_back(file->SColorMap->Colors[image.RasterBits[p]]);
  }
  DGifCloseFile(file, &error);
  return result;
}

class AnimatedProgress : public ::testing::Test {
 protected:
  AnimatedProgress() { run_.make(); }
  void write(std::uint64_t step, const std::vector<float>& values, ImageShape shape) {
    write_png_grid(run_.sample(step), values, 1, shape, 1, {});
  }
  // Of 64 × 64 pixels, all greys among them.
  void write_greys(std::uint64_t step, int shift = 0) {
    std::vector<float> values;
    for (int i = 0; i < 64 * 64; ++i) values.push_back(static_cast<float>((i + shift) % 256) / 255);
    write(step, values, {64, 64, 1});
  }

  TemporaryFolder folder_;
  RunFolder run_{folder_.path()};
};

TEST_F(AnimatedProgress, ShowsEveryGreyAsItIsAboveItsStep) {
  for (const std::uint64_t step : {0, 500, 12000}) write_greys(step, static_cast<int>(step % 251));
  const Animation animation = animated_progress(run_);
  EXPECT_EQ(animation.frames, 3U);
  EXPECT_NE(animation.gif.find("NETSCAPE2.0"), std::string::npos) << "it begins anew";
  const Decoded gif = decoded(animation.gif);
  ASSERT_EQ(gif.frames.size(), 3U);
  EXPECT_EQ(gif.width, 256) << "four pixels for one";
  ASSERT_GT(gif.height, 256 + 8);
  const int shifts[] = {0, 500 % 251, 12000 % 251};
  for (std::size_t frame = 0; frame < 3; ++frame)
    for (int y = 0; y < 256; ++y)
      for (int x = 0; x < 256; ++x) {
        const GifColorType found = gif.at(frame, x, y);
        ASSERT_EQ(found.Red, (y / 4 * 64 + x / 4 + shifts[frame]) % 256) << frame << ": " << x << ", " << y;
        ASSERT_TRUE(found.Green == found.Red && found.Blue == found.Red);
      }
  // Each strip is another, with light letters on dark, and the last frame stays longest.
  std::set<std::vector<int>> strips;
  for (std::size_t frame = 0; frame < 3; ++frame) {
    std::vector<int> strip;
    for (int y = 260; y < gif.height; ++y)
      for (int x = 0; x < gif.width; ++x) strip.push_back(gif.at(frame, x, y).Red);
    EXPECT_GT(std::count_if(strip.begin(), strip.end(), [](int grey) { return grey > 200; }), 50);
    EXPECT_GT(std::count_if(strip.begin(), strip.end(), [](int grey) { return grey < 50; }), 1000);
    strips.insert(strip);
  }
  EXPECT_EQ(strips.size(), 3U);
  EXPECT_GT(gif.frames[2].hundredths, gif.frames[0].hundredths);
  EXPECT_EQ(gif.frames[0].hundredths, gif.frames[1].hundredths);
}

TEST_F(AnimatedProgress, TheBarSaysHowFarTheTrainingHadCome) {
  for (const std::uint64_t step : {0, 250, 1000}) write_greys(step);
  const Decoded gif = decoded(animated_progress(run_).gif);
  ASSERT_EQ(gif.frames.size(), 3U);
  const double parts[] = {0, 0.25, 1};
  for (std::size_t frame = 0; frame < 3; ++frame) {
    int light = 0;
    for (int x = 0; x < gif.width; ++x) light += gif.at(frame, x, 257).Red > 128 ? 1 : 0;
    EXPECT_NEAR(light, parts[frame] * gif.width, 1);
  }
}

TEST_F(AnimatedProgress, ColoursAreNear) {
  std::vector<float> values;
  for (int i = 0; i < 32 * 32; ++i)
    for (const int channel : {7, 11, 13}) values.push_back(static_cast<float>(i * channel % 256) / 255);
  for (const std::uint64_t step : {0, 1}) write(step, values, {32, 32, 3});
  const Decoded gif = decoded(animated_progress(run_).gif);
  ASSERT_EQ(gif.frames.size(), 2U);
  ASSERT_EQ(gif.width, 256);
  for (int i = 0; i < 32 * 32; ++i) {
    const GifColorType found = gif.at(1, i % 32 * 8, i / 32 * 8);
    EXPECT_NEAR(found.Red, i * 7 % 256, 26);
    EXPECT_NEAR(found.Green, i * 11 % 256, 22);
    EXPECT_NEAR(found.Blue, i * 13 % 256, 26);
  }
}

TEST_F(AnimatedProgress, OfManyGridsSixtyAreShownWithTheFirstAndTheLast) {
  for (std::uint64_t step = 0; step < 200; ++step) write(step, {static_cast<float>(step) / 255}, {1, 1, 1});
  const Animation animation = animated_progress(run_);
  EXPECT_EQ(animation.frames, 60U);
  const Decoded gif = decoded(animation.gif);
  ASSERT_EQ(gif.frames.size(), 60U);
  EXPECT_EQ(gif.at(0, 0, 0).Red, 0);
  EXPECT_EQ(gif.at(59, 0, 0).Red, 199);
}

TEST_F(AnimatedProgress, GridsThatDoNotFitAreLeftOut) {
  EXPECT_EQ(animated_progress(run_).frames, 0U);
  write_greys(10);
  EXPECT_EQ(animated_progress(run_).frames, 0U) << "one grid is no animation";
  write(20, {0, 1, 0, 1}, {2, 2, 1});
  std::ofstream(run_.sample(30)) << "no picture";
  write_greys(40);
  const Animation animation = animated_progress(run_);
  EXPECT_EQ(animation.frames, 2U);
  EXPECT_EQ(decoded(animation.gif).frames.size(), 2U);
}

}  // namespace
}  // namespace ganymede
