// IDX, the format of MNIST's files: a big-endian header (0, 0, type, rank, one 32-bit size per dimension),
// then the elements. Here: images, uint8 [count, side, side], and labels, uint8 [count] of 0 … 9; plain or gzip.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/byte_reader.hpp"

namespace ganymede::data {

enum class IdxKind { images, labels };

/// The constructor reads and checks the header; what it claims is held against the file's size before
/// anyone takes memory for it. All members throw Error(data) naming file, field, expected and found.
class IdxReader {
 public:
  IdxReader(const std::filesystem::path& file, IdxKind kind);
  IdxReader(std::span<const std::byte> bytes, const std::string& source, IdxKind kind);

  [[nodiscard]] const std::string& source() const { return reader_.source(); }
  [[nodiscard]] std::uint32_t count() const { return count_; }
  /// 1 for labels.
  [[nodiscard]] int height() const { return side_; }
  [[nodiscard]] int width() const { return side_; }
  /// Of all elements.
  [[nodiscard]] std::uint64_t bytes() const;

  /// Reads the elements; `to` has bytes() bytes. Checks that the file ends with them, and the labels' range.
  void read(std::span<std::uint8_t> to);

 private:
  void read_header();

  ByteReader reader_;
  IdxKind kind_;
  std::uint32_t count_ = 0;
  int side_ = 1;
};

struct IdxImages {
  std::uint32_t count = 0;
  int height = 0;
  int width = 0;
  std::vector<std::uint8_t> pixels;  ///< [count, height, width]
};

/// A whole file's bytes, plain or gzip; `source` stands for the file in messages.
IdxImages parse_idx_images(std::span<const std::byte> bytes, const std::string& source);
std::vector<std::uint8_t> parse_idx_labels(std::span<const std::byte> bytes, const std::string& source);

/// Throws unless there is one label per image.
void check_same_count(const IdxReader& images, const IdxReader& labels);

}  // namespace ganymede::data
