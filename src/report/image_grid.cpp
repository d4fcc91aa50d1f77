// Grids of images, through libpng.
#include "report/image_grid.hpp"

#include <png.h>

#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "core/files.hpp"
#include "core/heartbeat.hpp"
#include "ganymede/error.hpp"

namespace ganymede {
namespace {

// Neither the black of a digit's ground nor its white: shows where an image ends.
constexpr png_byte margin_grey = 128;
constexpr std::size_t margin = 1;
constexpr std::size_t most_side = 65'535;

struct Sink {
  std::string bytes;
  char message[160] = {};
};

// libpng is C: an exception must not pass through it, its errors leave by longjmp.
void on_error(png_structp png, png_const_charp message) {
  auto* sink = static_cast<Sink*>(png_get_error_ptr(png));
  std::snprintf(sink->message, sizeof sink->message, "%s", message);
  png_longjmp(png, 1);
}

void on_warning(png_structp /*png*/, png_const_charp /*message*/) {}

void on_write(png_structp png, png_bytep data, std::size_t count) {
  auto* sink = static_cast<Sink*>(png_get_io_ptr(png));
  bool written = true;
  try {
    sink->bytes.append(reinterpret_cast<const char*>(data), count);
    heartbeat::piece();
  } catch (const std::bad_alloc&) {
    written = false;
  }
  if (!written) png_error(png, "out of memory");
}

void on_flush(png_structp /*png*/) {}

/// The calls that may longjmp. Holds nothing that has a destructor. False: sink says why.
bool encode(png_structp png, png_infop info, std::size_t width, std::size_t height, int colour, png_bytep* rows,
            png_text* texts, int text_count) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_IHDR(png, info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height), 8, colour,
               PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  // Fixed, so that the bytes depend on the pixels alone; digits have flat grounds, which filters only blur.
  png_set_compression_level(png, 9);
  png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_NONE);
  if (text_count > 0) png_set_text(png, info, texts, text_count);
  png_write_info(png, info);
  png_write_image(png, rows);
  png_write_end(png, nullptr);
  return true;
}

/// PNG's rule for the key of a text: 1 to 79 characters, here of ASCII, without spaces at the ends.
void check_key(std::string_view key) {
  const bool plain = std::all_of(key.begin(), key.end(), [](char c) { return c >= 0x20 && c < 0x7F; });
  if (key.empty() || key.size() > 79 || !plain || key.front() == ' ' || key.back() == ' ' ||
      key.find("  ") != std::string_view::npos) {
    throw Error(ExitCode::data, "a PNG text cannot be called \"" + std::string(key) +
                                    "\": use 1 to 79 ASCII characters without spaces at the ends");
  }
}

}  // namespace

std::uint8_t grey_level(float value) {
  if (!(value > 0.0F)) return 0;  // NaN too
  return static_cast<std::uint8_t>(std::lround(std::min(value, 1.0F) * 255.0F));
}

std::string encode_png_grid(std::span<const float> images, int count, ImageShape shape, int columns,
                            const std::map<std::string, std::string>& text) {
  const auto [height, width, channels] = shape;
  if (count < 1 || height < 1 || width < 1 || columns < 1 || channels < 1 || channels > 3) {
    throw Error(ExitCode::data, "a grid of images needs at least one image, pixel and column");
  }
  const auto n = static_cast<std::size_t>(count);
  const auto h = static_cast<std::size_t>(height);
  const auto w = static_cast<std::size_t>(width);
  const std::size_t across = std::min(static_cast<std::size_t>(columns), n);
  const std::size_t down = (n + across - 1) / across;
  if (h > most_side || w > most_side || across > most_side || down > most_side) {
    throw Error(ExitCode::data, "a grid of " + std::to_string(count) + " images of " + std::to_string(height) + " x " +
                                    std::to_string(width) + " pixels is too large; draw fewer");
  }
  const auto c = static_cast<std::size_t>(channels);
  if (images.size() != n * h * w * c) {
    throw Error(ExitCode::data, "a grid of " + std::to_string(count) + " images needs " +
                                    std::to_string(n * h * w * c) + " values, got " + std::to_string(images.size()));
  }
  const std::size_t grid_width = across * (w + margin) - margin;
  const std::size_t grid_height = down * (h + margin) - margin;
  if (grid_width > most_side || grid_height > most_side) {
    throw Error(ExitCode::data, "a grid of " + std::to_string(grid_height) + " x " + std::to_string(grid_width) +
                                    " pixels is too large; draw fewer images or use more columns");
  }

  const std::size_t bytes = c == 1 ? 1 : 3;  // of a pixel
  std::vector<png_byte> pixels(grid_width * grid_height * bytes, margin_grey);
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t top = i / across * (h + margin);
    const std::size_t left = i % across * (w + margin);
    for (std::size_t y = 0; y < h; ++y) {
      const float* from = images.data() + (i * h + y) * w * c;
      png_byte* to = pixels.data() + ((top + y) * grid_width + left) * bytes;
      for (std::size_t x = 0; x < w; ++x, from += c, to += bytes)
        for (std::size_t b = 0; b < bytes; ++b) to[b] = b < c ? grey_level(from[b]) : png_byte{0};
    }
  }
  std::vector<png_bytep> rows(grid_height);
  for (std::size_t y = 0; y < grid_height; ++y) rows[y] = pixels.data() + y * grid_width * bytes;
  std::vector<png_text> texts;
  for (const auto& [key, value] : text) {
    check_key(key);
    const bool ascii =
        std::all_of(value.begin(), value.end(), [](char c) { return (c >= 0x20 && c < 0x7F) || c == '\n'; });
    png_text entry{};
    // tEXt is Latin-1; UTF-8 has a chunk of its own.
    entry.compression = ascii ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
    entry.key = const_cast<png_charp>(key.c_str());
    entry.text = const_cast<png_charp>(value.c_str());
    texts.push_back(entry);
  }

  Sink sink;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &sink, on_error, on_warning);
  if (png == nullptr) throw std::bad_alloc();
  png_infop info = png_create_info_struct(png);
  bool done = false;
  if (info != nullptr) {
    png_set_write_fn(png, &sink, on_write, on_flush);
    done = encode(png, info, grid_width, grid_height, c == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, rows.data(),
                  texts.data(), static_cast<int>(texts.size()));
  }
  png_destroy_write_struct(&png, &info);
  if (!done) throw Error(ExitCode::data, std::string("libpng cannot encode the picture: ") + sink.message);
  return std::move(sink.bytes);
}

int grid_columns(int count, int classes) {
  if (classes == 0) return static_cast<int>(std::ceil(std::sqrt(static_cast<double>(count))));
  // Of few classes several rows side by side.
  return std::min(count, classes * std::max(1, 10 / classes));
}

void write_png_grid(const std::filesystem::path& file, std::span<const float> images, int count, ImageShape shape,
                    int columns, const std::map<std::string, std::string>& text) {
  write_file_atomically(file, encode_png_grid(images, count, shape, columns, text));
}

}  // namespace ganymede
