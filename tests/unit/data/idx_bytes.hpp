// Makes IDX and gzip bytes, whole ones for tests to damage, and folders of them.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <stdexcept>
#include <string>

namespace ganymede::test {

inline std::string big_endian(std::uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> static_cast<unsigned>(shift));
  return bytes;
}

inline std::string idx_header(std::uint32_t magic, std::initializer_list<std::uint32_t> dimensions) {
  std::string bytes = big_endian(magic);
  for (const std::uint32_t dimension : dimensions) bytes += big_endian(dimension);
  return bytes;
}

inline std::string idx_images(std::uint32_t count, std::uint32_t side, unsigned seed = 1) {
  std::string bytes = idx_header(0x803, {count, side, side});
  for (std::uint32_t i = 0; i < count * side * side; ++i) bytes += static_cast<char>((i * 7 + seed) * (i + seed) % 251);
  return bytes;
}

inline std::string idx_labels(std::uint32_t count) {
  std::string bytes = idx_header(0x801, {count});
  for (std::uint32_t i = 0; i < count; ++i) bytes += static_cast<char>(i % 10);
  return bytes;
}

/// One gzip member, as the gzip program writes it.
inline std::string gzip(const std::string& bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::runtime_error("deflateInit2");
  }
  std::string packed(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  const int result = deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) throw std::runtime_error("deflate");
  return packed;
}

inline void put(const std::filesystem::path& file, const std::string& bytes) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << bytes;
}

/// Four small files of a set, gzipped or not.
inline void put_set(const std::filesystem::path& folder, bool packed = false, unsigned seed = 1) {
  const auto one = [&](const std::string& name, const std::string& bytes) {
    put(folder / (packed ? name + ".gz" : name), packed ? gzip(bytes) : bytes);
  };
  one("train-images-idx3-ubyte", idx_images(12, 4, seed));
  one("train-labels-idx1-ubyte", idx_labels(12));
  one("t10k-images-idx3-ubyte", idx_images(7, 4, seed + 1));
  one("t10k-labels-idx1-ubyte", idx_labels(7));
}

}  // namespace ganymede::test
