// safetensors, read strictly: u64 length of a JSON header (little-endian), the header, then the tensors'
// bytes. Format: https://huggingface.co/docs/safetensors, "Format".
#include "ganymede/tensor_file.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

#include "checkpoint/tensor_bytes.hpp"
#include "core/files.hpp"
#include "core/json.hpp"
#include "core/names.hpp"
#include "ganymede/error.hpp"

namespace ganymede {
namespace {

static_assert(std::endian::native == std::endian::little, "values are copied to and from files as they lie in memory");

constexpr std::string_view metadata_key = "__metadata__";
constexpr const char* digest_key = "ganymede-digest";
constexpr std::uint64_t length_bytes = 8;
constexpr std::uint64_t most_header_bytes = 100'000'000;  // the format's own limit

std::string text(std::uint64_t number) { return std::to_string(number); }

/// The bytes that float32 values of this shape take, or nothing when the product overflows. Zeros do not
/// hide an overflow of the other dimensions.
std::optional<std::uint64_t> shape_bytes(const std::vector<std::int64_t>& shape) {
  std::uint64_t product = sizeof(float);
  bool empty = false;
  for (const auto dimension : shape) {
    if (dimension < 0) return std::nullopt;
    empty = empty || dimension == 0;
    if (__builtin_mul_overflow(product, static_cast<std::uint64_t>(std::max<std::int64_t>(dimension, 1)), &product)) {
      return std::nullopt;
    }
  }
  return empty ? 0 : product;
}

/// A JSON string literal; refuses what JSON cannot hold.
std::string json_string(const std::string& value) {
  try {
    return nlohmann::json(value).dump();
  } catch (const nlohmann::json::exception&) {
    throw Error(ExitCode::data, "cannot write " + in_quotes(value) + " to a safetensors file: it is not UTF-8");
  }
}

struct Entry {
  std::string name;
  std::vector<std::int64_t> shape;
  std::uint64_t begin;
  std::uint64_t end;
  bool counter;  // PyTorch's count of a normalisation's batches, an int64, which nothing here needs
};

Entry parse_entry(const std::string& name, const nlohmann::json& value, const std::string& source) {
  const std::string field = "tensor " + in_quotes(name);
  if (name.empty()) refuse(source, field, "a name", "an empty one");
  expect_keys(value, {"dtype", "shape", "data_offsets"}, source, field);
  const auto& dtype = expect_string(value["dtype"], source, field + " dtype");
  const bool counter = dtype == "I64" && name.ends_with(".num_batches_tracked");
  if (dtype != "F32" && !counter) {
    refuse(source, field + " dtype", "F32", printable(dtype) + "; convert it first (in Python: tensor.float())");
  }
  Entry entry{name, {}, 0, 0, counter};
  const auto& shape = value["shape"];
  if (!shape.is_array()) refuse(source, field + " shape", "an array", describe(shape));
  for (const auto& element : shape) {
    const std::uint64_t dimension = expect_unsigned(element, source, field + " shape");
    if (dimension > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      refuse(source, field + " shape", "dimensions below 2^63", text(dimension));
    }
    entry.shape.push_back(static_cast<std::int64_t>(dimension));
  }
  const auto& offsets = value["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2) {
    refuse(source, field + " data_offsets", "[begin, end]", describe(offsets));
  }
  entry.begin = expect_unsigned(offsets[0], source, field + " data_offsets");
  entry.end = expect_unsigned(offsets[1], source, field + " data_offsets");
  return entry;
}

/// The tensors have to lie one behind the other from 0 to the end of the file: no hole, no overlap, no rest.
void check_offsets(const std::vector<Entry>& entries, std::uint64_t data_bytes, const std::string& source) {
  std::uint64_t at = 0;
  for (const auto& entry : entries) {
    const std::string field = "tensor " + in_quotes(entry.name);
    if (entry.begin != at) {
      refuse(source, field + " data_offsets", "a begin of " + text(at) + ", where the tensor before it ends",
             text(entry.begin));
    }
    if (entry.end < entry.begin || entry.end > data_bytes) {
      refuse(source, field + " data_offsets",
             "an end from " + text(entry.begin) + " to the " + text(data_bytes) + " bytes that the file holds",
             text(entry.end));
    }
    auto bytes = shape_bytes(entry.shape);
    if (entry.counter) bytes = entry.shape.empty() ? std::optional(sizeof(std::int64_t)) : std::nullopt;
    if (!bytes) refuse(source, field + " shape", "a size that 64 bits hold", "a larger one");
    if (entry.end - entry.begin != *bytes) {
      refuse(source, field + " data_offsets", text(*bytes) + " bytes for its shape", text(entry.end - entry.begin));
    }
    at = entry.end;
  }
  if (at != data_bytes) {
    refuse(source, "length", text(at) + " bytes behind the header", text(data_bytes) + "; the file is damaged");
  }
}

/// How long the header is, of a file of `size` bytes that begins with `start`.
std::uint64_t header_length(std::string_view start, std::uint64_t size, const std::string& source) {
  if (size < length_bytes || start.size() < length_bytes) {
    refuse(source, "length", "at least 8 bytes of a safetensors file", text(size));
  }
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, start.data(), length_bytes);
  if (header_bytes < 2 || header_bytes > most_header_bytes) {
    refuse(source, "header length", "2 to " + text(most_header_bytes) + " bytes",
           text(header_bytes) + "; this is no safetensors file");
  }
  const std::uint64_t rest = size - length_bytes;
  if (header_bytes > rest) {
    refuse(source, "header length", "at most the " + text(rest) + " bytes that follow it",
           text(header_bytes) + "; the file is cut short or no safetensors file");
  }
  return header_bytes;
}

struct Header {
  std::map<std::string, std::string> metadata;
  std::vector<Entry> entries;  // in the order of their bytes, of which `data_bytes` are there
};

Header parse_header(std::string_view header, std::uint64_t data_bytes, const std::string& source) {
  // The format allows spaces behind the object and nothing before it.
  if (header.front() != '{' || header[header.find_last_not_of(' ')] != '}') {
    refuse(source, "header", "{ ... } and spaces", in_quotes(header.substr(0, 16)) + "; this is no safetensors file");
  }
  const auto json = parse_json(header, source);

  Header parsed;
  for (const auto& item : json.items()) {
    if (item.key() != metadata_key) {
      parsed.entries.push_back(parse_entry(item.key(), item.value(), source));
      continue;
    }
    if (!item.value().is_object()) refuse(source, "__metadata__", "an object", describe(item.value()));
    for (const auto& option : item.value().items()) {
      parsed.metadata.emplace(option.key(),
                              expect_string(option.value(), source, "__metadata__ " + in_quotes(option.key())));
    }
  }
  std::sort(parsed.entries.begin(), parsed.entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  check_offsets(parsed.entries, data_bytes, source);
  return parsed;
}

/// XXH3-128 of all that a file says but this digest itself. Tensors count in the order of their names, for other
/// writers keep the metadata and have an order of their own.
std::string content_digest(TensorFile file) {
  file.metadata.erase(digest_key);
  std::sort(file.tensors.begin(), file.tensors.end(), [](const Tensor& a, const Tensor& b) { return a.name < b.name; });
  return digest(file.serialize());
}

}  // namespace

const Tensor& TensorFile::at(const std::string& name) const {
  for (const auto& tensor : tensors) {
    if (tensor.name == name) return tensor;
  }
  const std::string names = joined(tensors, ", ", [](const Tensor& tensor) { return printable(tensor.name); });
  throw Error(ExitCode::data, "there is no tensor " + in_quotes(name) + "; there " +
                                  (names.empty() ? "is none at all" : "are " + printable(names, 400)));
}

std::string TensorFile::weights_digest() const {
  std::string bytes;
  for (const Tensor& t : tensors)
    bytes.append(reinterpret_cast<const char*>(t.values.data()), t.values.size() * sizeof(float));
  return digest({bytes});
}

std::string TensorFile::serialize() const {
  std::string header = "{";
  const auto add = [&](const std::string& key, const std::string& value) {
    if (header.size() > 1) header += ',';
    header += json_string(key) + ':' + value;
  };
  if (!metadata.empty()) {
    std::string object;
    for (const auto& [key, value] : metadata) {
      (object += object.empty() ? '{' : ',') += json_string(key) + ':' + json_string(value);
    }
    add(std::string(metadata_key), object + '}');
  }
  std::set<std::string_view> names;
  std::uint64_t data_bytes = 0;
  for (const auto& tensor : tensors) {
    if (tensor.name.empty() || tensor.name == metadata_key || !names.insert(tensor.name).second) {
      throw Error(ExitCode::data, "cannot write a tensor called " + in_quotes(tensor.name) +
                                      " to a safetensors file: names are not empty, not __metadata__ and not repeated");
    }
    const std::uint64_t bytes = tensor.values.size() * sizeof(float);
    if (shape_bytes(tensor.shape) != bytes) {
      throw Error(ExitCode::data, "cannot write tensor " + in_quotes(tensor.name) + ": its shape does not hold its " +
                                      text(tensor.values.size()) + " values");
    }
    std::string shape;
    for (const auto dimension : tensor.shape) (shape += shape.empty() ? "" : ",") += std::to_string(dimension);
    add(tensor.name, R"({"dtype":"F32","shape":[)" + shape + R"(],"data_offsets":[)" + text(data_bytes) + ',' +
                         text(data_bytes + bytes) + "]}");
    data_bytes += bytes;
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  if (header.size() > most_header_bytes) {
    throw Error(ExitCode::data, "cannot write a safetensors file: its header would take " + text(header.size()) +
                                    " bytes, more than the format's " + text(most_header_bytes));
  }

  std::string bytes;
  bytes.reserve(length_bytes + header.size() + data_bytes);
  const std::uint64_t length = header.size();
  bytes.append(reinterpret_cast<const char*>(&length), length_bytes);
  bytes += header;
  for (const auto& tensor : tensors) {
    if (tensor.values.empty()) continue;
    bytes.append(reinterpret_cast<const char*>(tensor.values.data()), tensor.values.size() * sizeof(float));
  }
  return bytes;
}

TensorFile TensorFile::parse(const std::string& bytes, const std::string& source) {
  const std::uint64_t header_bytes = header_length(bytes, bytes.size(), source);
  const std::string_view header(bytes.data() + length_bytes, header_bytes);
  Header parsed = parse_header(header, bytes.size() - length_bytes - header_bytes, source);
  TensorFile file;
  file.metadata = std::move(parsed.metadata);

  const char* const data = bytes.data() + length_bytes + header_bytes;
  for (auto& entry : parsed.entries) {
    if (entry.counter) continue;
    Tensor tensor{std::move(entry.name), std::move(entry.shape), {}};
    tensor.values.resize((entry.end - entry.begin) / sizeof(float));
    if (!tensor.values.empty()) std::memcpy(tensor.values.data(), data + entry.begin, entry.end - entry.begin);
    file.tensors.push_back(std::move(tensor));
  }
  if (const auto stated = file.metadata.find(digest_key); stated != file.metadata.end()) {
    if (const auto found = content_digest(file); found != stated->second) {
      refuse(source, digest_key, in_quotes(stated->second),
             found + "; the file is damaged, or was edited by a program that kept this entry of __metadata__");
    }
    file.metadata.erase(stated);
  }
  return file;
}

std::string TensorFile::sealed() const {
  TensorFile with_digest = *this;
  with_digest.metadata[digest_key] = content_digest(*this);
  return with_digest.serialize();
}

void TensorFile::write(const std::filesystem::path& file) const { write_file_atomically(file, sealed()); }

std::string read_tensor_bytes(const std::filesystem::path& file) {
  const std::string source = file.string();
  return read_file(file, [&](std::string_view start, std::uint64_t size) -> std::size_t {
    if (size >= length_bytes && start.size() < length_bytes) return length_bytes;
    const std::uint64_t header_bytes = header_length(start, size, source);
    const std::uint64_t before_data = length_bytes + header_bytes;
    if (start.size() >= before_data) parse_header(start.substr(length_bytes, header_bytes), size - before_data, source);
    return before_data;
  });
}

TensorFile TensorFile::read(const std::filesystem::path& file) { return parse(read_tensor_bytes(file), file.string()); }

}  // namespace ganymede
