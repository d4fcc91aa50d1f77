// Grids of images as PNG files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "ganymede/shapes.hpp"

namespace ganymede {

/// A value of 0 … 1 in 8 bits: clamped (NaN: 0) and rounded, as pictures hold it.
std::uint8_t grey_level(float value);

/// Encodes count images [count, height, width, channels], each value its grey_level(), in rows of `columns`, with a
/// one-pixel margin between them; `text` becomes PNG text chunks ("step": "1200"). One channel is grey, two or three
/// are red, green and blue. The same input gives the same bytes.
std::string encode_png_grid(std::span<const float> images, int count, ImageShape shape, int columns,
                            const std::map<std::string, std::string>& text);

/// The same into a file, atomically.
void write_png_grid(const std::filesystem::path& file, std::span<const float> images, int count, ImageShape shape,
                    int columns, const std::map<std::string, std::string>& text);

/// Columns for `count` images: a square's, or where their classes take turns, one for each class.
int grid_columns(int count, int classes);

}  // namespace ganymede
