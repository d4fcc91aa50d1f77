// Any bytes through the reader that unpacks gzip: refused with an Error, or what zlib makes of them in one go, however
// they are cut into pieces.
#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <vector>

#include "data/byte_reader.hpp"
#include "ganymede/error.hpp"

namespace {

using Bytes = std::vector<std::uint8_t>;

// Deflate packs a thousand to one: enough of what is unpacked has been seen then.
constexpr std::size_t most_unpacked = std::size_t{1} << 18;

/// The data in pieces of `piece` bytes; nothing when it is refused or goes on beyond most_unpacked.
std::optional<Bytes> unpacked(std::span<const std::byte> stored, std::size_t piece) {
  Bytes all;
  try {
    ganymede::data::ByteReader reader(stored, "input");
    if (reader.stored_size() != stored.size()) std::abort();
    for (;;) {
      if (all.size() > most_unpacked) return std::nullopt;
      const std::size_t before = all.size();
      all.resize(before + piece);
      const std::size_t count = reader.read(std::span(all).subspan(before));
      all.resize(before + count);
      if (reader.position() != all.size()) std::abort();
      if (count < piece) break;
    }
    reader.expect_end();
    if (!reader.may_unpack_to(all.size())) std::abort();
  } catch (const ganymede::Error& error) {
    if (error.code() != ganymede::ExitCode::data) std::abort();
    return std::nullopt;
  }
  return all;
}

/// The one gzip member that the bytes are, by zlib alone.
std::optional<Bytes> by_zlib(std::span<const std::uint8_t> stored) {
  z_stream stream{};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) std::abort();
  Bytes all(most_unpacked + 1);
  Bytes in(stored.begin(), stored.end());
  stream.next_in = in.data();
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = all.data();
  stream.avail_out = static_cast<uInt>(all.size());
  const int result = inflate(&stream, Z_FINISH);
  const bool whole = result == Z_STREAM_END && stream.avail_in == 0;
  all.resize(all.size() - stream.avail_out);
  inflateEnd(&stream);
  if (!whole) return std::nullopt;
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span bytes(data, size);
  const bool gzip = size >= 2 && data[0] == 0x1F && data[1] == 0x8B;
  std::optional<Bytes> expected;
  if (gzip)
    expected = by_zlib(bytes);
  else
    expected.emplace(bytes.begin(), bytes.end());
  if (expected && expected->size() > most_unpacked) return 0;
  for (const std::size_t piece : {std::size_t{1} << 16, std::size_t{7}})
    if (unpacked(std::as_bytes(bytes), piece) != expected) std::abort();
  return 0;
}
