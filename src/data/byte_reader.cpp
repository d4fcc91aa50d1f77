// Plain and gzip bytes from a file or memory.
#include "data/byte_reader.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>

#include "ganymede/error.hpp"

namespace ganymede::data {
namespace {

constexpr std::size_t buffer_bytes = std::size_t{1} << 16;
constexpr std::size_t smallest_gzip = 18;      // header 10, check sum 4, length 4
constexpr std::uint64_t deflate_ratio = 1032;  // 258 bytes from two bits

[[noreturn]] void system_failure(const std::string& source, const char* what) {
  throw Error(ExitCode::data, source + ": " + what + ": " + std::strerror(errno));
}

bool starts_gzip(std::span<const std::uint8_t> bytes) {
  return bytes.size() >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

std::string bytes_text(std::uint64_t count) { return std::to_string(count) + (count == 1 ? " byte" : " bytes"); }

}  // namespace

void damaged(const std::string& source, const std::string& field, const std::string& expected,
             const std::string& found) {
  throw Error(ExitCode::data, source + ": " + field + ": expected " + expected + ", found " + found);
}

ByteReader::ByteReader(const std::filesystem::path& file) : source_(file.string()), buffer_(buffer_bytes) {
  // A pipe that nobody writes to would block in open().
  descriptor_ = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) system_failure(source_, "cannot be opened");
  try {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) system_failure(source_, "cannot be examined");
    if (!S_ISREG(status.st_mode)) {
      damaged(source_, "kind", "a regular file", S_ISDIR(status.st_mode) ? "a folder" : "something else");
    }
    stored_size_ = static_cast<std::uint64_t>(status.st_size);
    if (stored_size_ >= smallest_gzip) {
      std::array<std::uint8_t, 4> last{};
      if (::pread(descriptor_, last.data(), last.size(), static_cast<off_t>(stored_size_ - last.size())) == 4) {
        for (std::size_t i = 0; i < last.size(); ++i) last_four_ |= std::uint32_t{last[i]} << (8 * i);
      }
    }
    start();
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

ByteReader::ByteReader(std::span<const std::byte> bytes, std::string source)
    : source_(std::move(source)),
      memory_(bytes),
      stored_size_(bytes.size()),
      buffer_(std::clamp<std::size_t>(bytes.size(), 1, buffer_bytes)) {
  if (stored_size_ >= smallest_gzip) {
    for (std::size_t i = 0; i < 4; ++i) {
      last_four_ |= std::to_integer<std::uint32_t>(bytes[bytes.size() - 4 + i]) << (8 * i);
    }
  }
  start();
}

ByteReader::~ByteReader() {
  if (gzip_) ::inflateEnd(&inflater_);
  if (descriptor_ >= 0) ::close(descriptor_);
}

void ByteReader::start() {
  refill();
  if (!starts_gzip(ahead_)) return;
  constexpr int gzip_only = 16 + MAX_WBITS;
  if (::inflateInit2(&inflater_, gzip_only) != Z_OK) throw std::bad_alloc();
  gzip_ = true;
}

std::size_t ByteReader::read_stored(std::span<std::uint8_t> to) {
  std::size_t done = 0;
  if (descriptor_ < 0) {
    done = std::min(to.size(), memory_.size());
    std::transform(memory_.begin(), memory_.begin() + static_cast<std::ptrdiff_t>(done), to.begin(),
                   [](std::byte byte) { return std::to_integer<std::uint8_t>(byte); });
    memory_ = memory_.subspan(done);
    return done;
  }
  while (done < to.size()) {
    const ssize_t count = ::read(descriptor_, to.data() + done, to.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) system_failure(source_, "cannot be read");
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

void ByteReader::refill() {
  if (ahead_.empty()) ahead_ = std::span(buffer_).first(read_stored(buffer_));
}

std::size_t ByteReader::read(std::span<std::uint8_t> to) {
  std::size_t done = 0;
  if (gzip_) {
    done = inflate_into(to);
  } else {
    done = std::min(to.size(), ahead_.size());
    std::copy_n(ahead_.begin(), done, to.begin());
    ahead_ = ahead_.subspan(done);
    done += read_stored(to.subspan(done));
  }
  position_ += done;
  return done;
}

std::size_t ByteReader::inflate_into(std::span<std::uint8_t> to) {
  std::size_t done = 0;
  while (done < to.size() && !gzip_ended_) {
    refill();
    if (ahead_.empty()) {
      damaged(source_, "gzip stream", "its end",
              "the end of the file after " + bytes_text(stored_size_) + " (" + bytes_text(position_ + done) +
                  " unpacked): the file is truncated");
    }
    // zlib counts in 32 bits.
    const auto room = static_cast<uInt>(std::min<std::size_t>(to.size() - done, std::size_t{1} << 30));
    inflater_.next_in = ahead_.data();
    inflater_.avail_in = static_cast<uInt>(ahead_.size());
    inflater_.next_out = to.data() + done;
    inflater_.avail_out = room;
    const int result = ::inflate(&inflater_, Z_NO_FLUSH);
    ahead_ = ahead_.last(inflater_.avail_in);
    done += room - inflater_.avail_out;
    if (result == Z_STREAM_END) {
      gzip_ended_ = true;
      check_nothing_follows();
    } else if (result == Z_MEM_ERROR) {
      throw std::bad_alloc();
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      const std::string reason = inflater_.msg != nullptr ? inflater_.msg : "no dictionary";
      const std::string after = " (" + bytes_text(position_ + done) + " unpacked)";
      if (reason == "incorrect data check") damaged(source_, "gzip check sum", "that of the data", "another" + after);
      if (reason == "incorrect length check") damaged(source_, "gzip length", "that of the data", "another" + after);
      damaged(source_, "gzip stream", "valid deflate data", "damage: " + reason + after);
    }
  }
  return done;
}

void ByteReader::check_nothing_follows() {
  refill();
  if (ahead_.empty()) return;
  // gzip members may be strung together, but nothing that writes IDX files does so; with one member the
  // length at the file's end is that of all the data.
  if (starts_gzip(ahead_)) {
    damaged(source_, "gzip members", "1", "a further one: unpack the file and pack it again");
  }
  const std::uint64_t left = memory_.size() + ahead_.size();
  damaged(source_, "length", "nothing after the gzip stream",
          descriptor_ < 0 ? bytes_text(left) + " more" : "at least " + bytes_text(ahead_.size()) + " more");
}

void ByteReader::expect_end() {
  const std::uint64_t expected = position_;
  std::uint8_t one = 0;
  if (read({&one, 1}) == 0) return;
  // For gzip we stop here: how much more there would be is not worth unpacking a bomb for.
  damaged(source_, "length", bytes_text(expected), gzip_ ? "more in the gzip stream" : bytes_text(stored_size_));
}

bool ByteReader::may_unpack_to(std::uint64_t bytes) const {
  if (!gzip_) return bytes == stored_size_;
  return last_four_ == static_cast<std::uint32_t>(bytes) && bytes / deflate_ratio <= stored_size_;
}

}  // namespace ganymede::data
