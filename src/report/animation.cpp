// Grids read by libpng, a GIF written by giflib, whose font names the steps.
#include "report/animation.hpp"

#include <gif_lib.h>
#include <png.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "core/files.hpp"
#include "core/heartbeat.hpp"
#include "ganymede/error.hpp"
#include "report/report.hpp"

namespace ganymede {
namespace {

constexpr std::size_t most_frames = 60;
constexpr std::size_t most_pixels = std::size_t{24} << 20;  // of all frames: some 10 MB of file
constexpr int least_width = 256;                            // smaller grids are enlarged
constexpr std::size_t most_picture_bytes = std::size_t{64} << 20;
constexpr int margin = 4;
constexpr int bar_height = 3;

struct Picture {
  int width = 0;
  int height = 0;
  bool colour = false;
  std::vector<std::uint8_t> pixels;  // a byte each, or three
};

// Empty where the file is no picture.
std::optional<Picture> read_picture(const std::filesystem::path& file) {
  std::string bytes;
  try {
    bytes = read_file(file, most_picture_bytes);
  } catch (const Error&) {
    return std::nullopt;
  }
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()) == 0) return std::nullopt;
  Picture picture;
  picture.width = static_cast<int>(image.width);
  picture.height = static_cast<int>(image.height);
  picture.colour = (image.format & PNG_FORMAT_FLAG_COLOR) != 0;
  image.format = picture.colour ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  picture.pixels.resize(PNG_IMAGE_SIZE(image));
  if (png_image_finish_read(&image, nullptr, picture.pixels.data(), 0, nullptr) == 0) return std::nullopt;
  return picture;
}

// GIF has 256 colours: all greys, or the cells of a cube of 6 × 7 × 6.
class Palette {
 public:
  explicit Palette(bool colour) : colour_(colour) {
    for (int i = 0; i < 256; ++i) {
      const auto grey = static_cast<GifByteType>(i);
      colours_.push_back(colour ? GifColorType{level(i / 42, reds), level(i / 6 % 7, greens), level(i % 6, blues)}
                                : GifColorType{grey, grey, grey});
    }
  }
  [[nodiscard]] const std::vector<GifColorType>& colours() const { return colours_; }
  [[nodiscard]] std::uint8_t grey(std::uint8_t value) const { return colour_ ? nearest(value, value, value) : value; }
  [[nodiscard]] std::uint8_t at(const std::uint8_t* pixel) const {
    return colour_ ? nearest(pixel[0], pixel[1], pixel[2]) : *pixel;
  }

 private:
  static constexpr int reds = 6;
  static constexpr int greens = 7;
  static constexpr int blues = 6;
  static GifByteType level(int i, int count) { return static_cast<GifByteType>(std::min(i * 255 / (count - 1), 255)); }
  static int cell(int value, int count) { return (value * (count - 1) + 127) / 255; }
  static std::uint8_t nearest(int r, int g, int b) {
    return static_cast<std::uint8_t>((cell(r, reds) * greens + cell(g, greens)) * blues + cell(b, blues));
  }

  bool colour_;
  std::vector<GifColorType> colours_;
};

int append(GifFileType* gif, const GifByteType* bytes, int count) {
  // giflib is C: an exception must not pass through it.
  try {
    static_cast<std::string*>(gif->UserData)
        ->append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(count));
  } catch (const std::bad_alloc&) {
    return 0;
  }
  return count;
}

// An endless animation of frames of one size.
class GifWriter {
 public:
  GifWriter(int width, int height, const Palette& palette) : width_(width), height_(height) {
    int error = 0;
    gif_ = EGifOpen(&bytes_, append, &error);
    if (gif_ == nullptr) fail(error);
    EGifSetGifVersion(gif_, true);
    ColorMapObject* map = GifMakeMapObject(256, palette.colours().data());
    if (map == nullptr) throw std::bad_alloc();
    const int described = EGifPutScreenDesc(gif_, width, height, 8, 0, map);
    GifFreeMapObject(map);
    check(described);
    check(EGifPutExtensionLeader(gif_, APPLICATION_EXT_FUNC_CODE));
    check(EGifPutExtensionBlock(gif_, 11, "NETSCAPE2.0"));
    check(EGifPutExtensionBlock(gif_, 3, "\1\0\0"));
    check(EGifPutExtensionTrailer(gif_));
  }
  GifWriter(const GifWriter&) = delete;
  GifWriter& operator=(const GifWriter&) = delete;
  ~GifWriter() {
    if (gif_ != nullptr) EGifCloseFile(gif_, nullptr);
  }

  /// Shown for so many hundredths of a second.
  void add(std::vector<std::uint8_t>& frame, int hundredths) {
    const GraphicsControlBlock control{DISPOSE_DO_NOT, false, hundredths, NO_TRANSPARENT_COLOR};
    GifByteType extension[4];
    EGifGCBToExtension(&control, extension);
    check(EGifPutExtension(gif_, GRAPHICS_EXT_FUNC_CODE, sizeof extension, extension));
    check(EGifPutImageDesc(gif_, 0, 0, width_, height_, false, nullptr));
    check(EGifPutLine(gif_, frame.data(), width_ * height_));
  }

  std::string finish() {
    int error = 0;
    if (EGifCloseFile(std::exchange(gif_, nullptr), &error) == GIF_ERROR) fail(error);
    return std::move(bytes_);
  }

 private:
  [[noreturn]] static void fail(int error) {
    const char* reason = GifErrorString(error);
    throw Error(ExitCode::data,
                std::string("giflib cannot encode the animation: ") + (reason != nullptr ? reason : "unknown error"));
  }
  void check(int status) {
    if (status == GIF_ERROR) fail(gif_->Error);
  }

  int width_;
  int height_;
  std::string bytes_;
  GifFileType* gif_ = nullptr;
};

// 12000 as "step 12 000".
std::string caption(std::uint64_t step) {
  std::string text = std::to_string(step);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3)
    text.insert(static_cast<std::size_t>(at), " ");
  return "step " + text;
}

// A frame: the grid, a bar of the time that has gone by, and the step.
class Canvas {
 public:
  Canvas(const Picture& like, const Palette& palette, std::uint64_t last_step)
      : palette_(palette),
        last_step_(last_step),
        scale_((least_width + like.width - 1) / like.width),
        width_(like.width * scale_),
        grid_height_(like.height * scale_),
        letter_(static_cast<int>(caption(last_step).size()) * 2 * GIF_FONT_WIDTH + 2 * margin <= width_ ? 2 : 1),
        pixels_(static_cast<std::size_t>(width_) * static_cast<std::size_t>(height())) {}

  [[nodiscard]] int width() const { return width_; }
  [[nodiscard]] int height() const { return grid_height_ + bar_height + 2 * margin + letter_ * GIF_FONT_HEIGHT; }

  std::vector<std::uint8_t>& draw(const Picture& grid, std::uint64_t step) {
    const std::size_t bytes = grid.colour ? 3 : 1;
    for (int y = 0; y < grid_height_; ++y)
      for (int x = 0; x < width_; ++x)
        at(x, y) =
            palette_.at(grid.pixels.data() + static_cast<std::size_t>(y / scale_ * grid.width + x / scale_) * bytes);
    const double part = last_step_ > 0 ? static_cast<double>(step) / static_cast<double>(last_step_) : 1;
    fill(0, grid_height_, width_, bar_height, 64);
    fill(0, grid_height_, static_cast<int>(part * width_), bar_height, 224);
    fill(0, grid_height_ + bar_height, width_, height() - grid_height_ - bar_height, 16);
    int left = margin;
    for (const char letter : caption(step)) {
      for (int y = 0; y < GIF_FONT_HEIGHT; ++y)
        for (int x = 0; x < GIF_FONT_WIDTH; ++x)
          if ((GifAsciiTable8x8[static_cast<unsigned char>(letter)][y] >> (GIF_FONT_WIDTH - 1 - x) & 1) != 0)
            fill(left + x * letter_, grid_height_ + bar_height + margin + y * letter_, letter_, letter_, 240);
      left += GIF_FONT_WIDTH * letter_;
    }
    return pixels_;
  }

 private:
  std::uint8_t& at(int x, int y) {
    return pixels_[static_cast<std::size_t>(y) * static_cast<std::size_t>(width_) + static_cast<std::size_t>(x)];
  }
  void fill(int left, int top, int width, int height, std::uint8_t grey) {
    for (int y = top; y < top + height; ++y)
      for (int x = left; x < std::min(left + width, width_); ++x) at(x, y) = palette_.grey(grey);
  }

  const Palette& palette_;
  std::uint64_t last_step_;
  int scale_;
  int width_;
  int grid_height_;
  int letter_;  // pixels of one of the font's
  std::vector<std::uint8_t> pixels_;
};

}  // namespace

Animation animated_progress(const RunFolder& run) {
  const std::vector<std::uint64_t> steps = run.sampled_steps();
  if (steps.size() < 2) return {};
  const std::optional<Picture> last = read_picture(run.sample(steps.back()));
  if (!last) return {};
  const Palette palette(last->colour);
  Canvas canvas(*last, palette, steps.back());
  const std::size_t pixels = static_cast<std::size_t>(canvas.width()) * static_cast<std::size_t>(canvas.height());
  const std::size_t most = std::clamp<std::size_t>(most_pixels / pixels, 2, most_frames);
  const std::vector<std::size_t> chosen = evenly(steps.size(), most);
  // Some seven seconds, and the end for two more.
  const int pace = std::clamp(700 / static_cast<int>(chosen.size()), 10, 50);
  GifWriter gif(canvas.width(), canvas.height(), palette);
  Animation animation;
  for (const std::size_t i : chosen) {
    const std::optional<Picture> grid = read_picture(run.sample(steps[i]));
    if (!grid || grid->width != last->width || grid->height != last->height || grid->colour != last->colour) continue;
    gif.add(canvas.draw(*grid, steps[i]), i + 1 == steps.size() ? 200 : pace);
    ++animation.frames;
    heartbeat::piece();
  }
  if (animation.frames < 2) return {};
  animation.gif = gif.finish();
  return animation;
}

}  // namespace ganymede
