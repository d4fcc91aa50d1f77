// Reads a file or a stretch of memory from front to back and unpacks gzip on the way, in constant memory.
// What is gzip is told by its first two bytes, not by its name.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace ganymede::data {

/// Throws Error(data) "SOURCE: FIELD: expected EXPECTED, found FOUND".
[[noreturn]] void damaged(const std::string& source, const std::string& field, const std::string& expected,
                          const std::string& found);

/// All members throw Error(data) that names the source, the field, what was expected and what was found.
class ByteReader {
 public:
  explicit ByteReader(const std::filesystem::path& file);
  /// `bytes` must outlive the reader; `source` stands for the file in messages.
  ByteReader(std::span<const std::byte> bytes, std::string source);
  ByteReader(const ByteReader&) = delete;
  ByteReader& operator=(const ByteReader&) = delete;
  ~ByteReader();

  [[nodiscard]] const std::string& source() const { return source_; }
  [[nodiscard]] bool is_gzip() const { return gzip_; }
  /// Bytes of the file or memory as they are stored, packed or not.
  [[nodiscard]] std::uint64_t stored_size() const { return stored_size_; }

  /// Copies the next bytes; fewer than asked for only at the end of the data.
  std::size_t read(std::span<std::uint8_t> to);

  /// Checks that the data ends here, at `position` unpacked bytes, and that gzip's check sum fits.
  void expect_end();

  /// Could the unpacked data be `bytes` long? Exact for plain data. For gzip by the length that the file's
  /// last four bytes give (modulo 2^32) and by deflate's largest ratio: a no is certain, a yes is only the
  /// word of the file, but bounded by its size. Reads nothing on.
  [[nodiscard]] bool may_unpack_to(std::uint64_t bytes) const;

  /// Unpacked bytes read so far.
  [[nodiscard]] std::uint64_t position() const { return position_; }

 private:
  void start();
  std::size_t read_stored(std::span<std::uint8_t> to);
  void refill();
  std::size_t inflate_into(std::span<std::uint8_t> to);
  void check_nothing_follows();

  std::string source_;
  int descriptor_ = -1;                // of the file; -1 for memory
  std::span<const std::byte> memory_;  // what is left of the memory
  std::uint64_t stored_size_ = 0;
  std::uint32_t last_four_ = 0;       // the stored data's last four bytes, little-endian
  std::vector<std::uint8_t> buffer_;  // stored bytes read ahead
  std::span<std::uint8_t> ahead_;     // what is left of them
  std::uint64_t position_ = 0;
  bool gzip_ = false;
  bool gzip_ended_ = false;
  z_stream inflater_{};
};

}  // namespace ganymede::data
