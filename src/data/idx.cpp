// The IDX reader.
#include "data/idx.hpp"

#include <algorithm>
#include <array>

#include "core/numbers.hpp"

namespace ganymede::data {
namespace {

constexpr std::uint32_t uint8_type = 0x08;
// Far above any use, and small enough that count · side · side cannot overflow 64 bits.
constexpr std::uint32_t largest_side = 1024;
constexpr std::uint8_t largest_label = 9;

std::string hex(std::uint32_t value, int digits) { return formatted("0x%0*x", digits, value); }

std::string type_name(std::uint32_t type) {
  switch (type) {
    case 0x08:
      return " (uint8)";
    case 0x09:
      return " (int8)";
    case 0x0b:
      return " (int16)";
    case 0x0c:
      return " (int32)";
    case 0x0d:
      return " (float32)";
    case 0x0e:
      return " (float64)";
    default:
      return "";
  }
}

std::string size_text(std::uint64_t header, std::uint32_t count, std::uint64_t side) {
  const std::uint64_t total = header + count * side * side;
  return std::to_string(total) + " bytes (header " + std::to_string(header) + " + " + std::to_string(count) +
         (side == 1 ? "" : " × " + std::to_string(side) + " × " + std::to_string(side)) + ")";
}

}  // namespace

IdxReader::IdxReader(const std::filesystem::path& file, IdxKind kind) : reader_(file), kind_(kind) { read_header(); }

IdxReader::IdxReader(std::span<const std::byte> bytes, const std::string& source, IdxKind kind)
    : reader_(bytes, source), kind_(kind) {
  read_header();
}

std::uint64_t IdxReader::bytes() const {
  return std::uint64_t{count_} * static_cast<std::uint64_t>(side_) * static_cast<std::uint64_t>(side_);
}

void IdxReader::read_header() {
  const std::string& source = reader_.source();
  const std::size_t rank = kind_ == IdxKind::images ? 3 : 1;
  std::array<std::uint8_t, 16> header{};
  const std::size_t header_bytes = 4 + 4 * rank;
  const std::size_t found = reader_.read(std::span(header).first(header_bytes));
  const auto word = [&](std::size_t index) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = (value << 8U) | header[4 * index + i];
    return value;
  };

  // The magic first: it tells what the file is, also one that is too short.
  if (found >= 4) {
    const std::uint32_t magic = word(0);
    const std::uint32_t type = (magic >> 8U) & 0xffU;
    const std::uint32_t found_rank = magic & 0xffU;
    const char* const what = kind_ == IdxKind::images ? "image" : "label";
    if (magic >> 16U != 0) {
      damaged(source, "magic number",
              hex((uint8_type << 8U) | static_cast<std::uint32_t>(rank), 8) + ", an IDX " + what + " file",
              hex(magic, 8));
    }
    if (type != uint8_type) {
      damaged(source, "type", hex(uint8_type, 2) + type_name(uint8_type), hex(type, 2) + type_name(type));
    }
    if (found_rank != rank) {
      damaged(
          source, "dimensions",
          rank == 3 ? "3 in an image file, [count][height][width] of grey pixels" : "1 in an IDX label file, [count]",
          std::to_string(found_rank) + (rank == 3 && found_rank == 4 ? ": colour images are not read" : ""));
    }
  }
  if (found < header_bytes) {
    damaged(source, "header", std::to_string(header_bytes) + " bytes", std::to_string(found));
  }

  count_ = word(1);
  if (count_ == 0) damaged(source, rank == 3 ? "number of images" : "number of labels", "at least 1", "0");
  if (rank == 3) {
    const std::uint32_t height = word(2);
    const std::uint32_t width = word(3);
    const std::string range = "1 to " + std::to_string(largest_side);
    if (height == 0 || height > largest_side) damaged(source, "image height", range, std::to_string(height));
    if (width == 0 || width > largest_side) damaged(source, "image width", range, std::to_string(width));
    if (height != width) {
      damaged(source, "image size", "square images", std::to_string(height) + " × " + std::to_string(width));
    }
    side_ = static_cast<int>(height);
  }

  const std::uint64_t total = header_bytes + bytes();
  if (reader_.may_unpack_to(total)) return;
  const std::string expected = size_text(header_bytes, count_, static_cast<std::uint64_t>(side_));
  if (!reader_.is_gzip()) damaged(source, "length", expected, std::to_string(reader_.stored_size()));
  // The claim is wrong, or the file is cut or damaged: unpacking it, into nothing, tells which.
  std::array<std::uint8_t, 16384> scrap{};
  std::size_t count = 0;
  do {
    const std::uint64_t missing = total - reader_.position();
    count = reader_.read(std::span(scrap).first(std::min<std::uint64_t>(missing, scrap.size())));
  } while (count > 0);
  if (reader_.position() < total) damaged(source, "length", expected, std::to_string(reader_.position()));
  reader_.expect_end();
}

void IdxReader::read(std::span<std::uint8_t> to) {
  const std::size_t found = reader_.read(to);
  if (found < to.size()) {
    damaged(reader_.source(), "length",
            size_text(kind_ == IdxKind::images ? 16 : 8, count_, static_cast<std::uint64_t>(side_)),
            std::to_string(reader_.position()));
  }
  reader_.expect_end();
  if (kind_ == IdxKind::labels) {
    const auto wrong = std::find_if(to.begin(), to.end(), [](std::uint8_t label) { return label > largest_label; });
    if (wrong != to.end()) {
      damaged(reader_.source(), "label " + std::to_string(wrong - to.begin()), "0 to 9", std::to_string(*wrong));
    }
  }
}

IdxImages parse_idx_images(std::span<const std::byte> bytes, const std::string& source) {
  IdxReader reader(bytes, source, IdxKind::images);
  IdxImages result{reader.count(), reader.height(), reader.width(), std::vector<std::uint8_t>(reader.bytes())};
  reader.read(result.pixels);
  return result;
}

std::vector<std::uint8_t> parse_idx_labels(std::span<const std::byte> bytes, const std::string& source) {
  IdxReader reader(bytes, source, IdxKind::labels);
  std::vector<std::uint8_t> labels(reader.bytes());
  reader.read(labels);
  return labels;
}

void check_same_count(const IdxReader& images, const IdxReader& labels) {
  if (images.count() != labels.count()) {
    damaged(labels.source(), "number of labels", std::to_string(images.count()) + ", as images in " + images.source(),
            std::to_string(labels.count()));
  }
}

}  // namespace ganymede::data
