// Finds a set's files, reads them once per node into shared memory and describes what is there.
#include "ganymede/dataset.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "core/files.hpp"
#include "data/fetch.hpp"
#include "data/idx.hpp"
#include "ganymede/error.hpp"

namespace ganymede {
namespace {

namespace fs = std::filesystem;
using data::IdxKind;
using data::IdxReader;

struct FileKind {
  const char* stem;
  IdxKind kind;
};
constexpr std::array<FileKind, 4> file_kinds = {{{"train-images", IdxKind::images},
                                                 {"train-labels", IdxKind::labels},
                                                 {"t10k-images", IdxKind::images},
                                                 {"t10k-labels", IdxKind::labels}}};
constexpr std::size_t digest_length = 32;

using Wanted = std::array<bool, file_kinds.size()>;

std::string usual_name(const FileKind& file) {
  return std::string(file.stem) + (file.kind == IdxKind::images ? "-idx3-ubyte" : "-idx1-ubyte");
}

// The file under one of the names that are in use, plain before packed.
std::optional<fs::path> find_file(const fs::path& folder, const FileKind& file) {
  std::string with_dot = usual_name(file);
  with_dot[std::string_view(file.stem).size()] = '.';
  for (const std::string& name : {usual_name(file), with_dot}) {
    for (const char* const ending : {"", ".gz"}) {
      std::error_code unknown;
      fs::path path = folder / (name + ending);
      if (fs::exists(path, unknown)) return path;
    }
  }
  return std::nullopt;
}

// What `folder` lacks of the wanted files, for people; empty when it has them all. Each adds itself to `missing`.
std::string lacks(const fs::path& folder, const Wanted& wanted, Wanted& missing) {
  std::error_code unknown;
  if (!fs::is_directory(folder, unknown)) return "no such folder";
  std::string names;
  for (std::size_t i = 0; i < file_kinds.size(); ++i) {
    if (!wanted[i] || find_file(folder, file_kinds[i])) continue;
    names += (names.empty() ? "no " : ", no ") + usual_name(file_kinds[i]) + "[.gz]";
    missing[i] = true;
  }
  return names;
}

// What is wrong with `files`, and how to do without them.
Error fault_of(const Wanted& files, const DatasetNeeds& needs, const std::string& what) {
  const std::array<std::string, file_kinds.size()> without = {"", needs.without_train_labels, needs.without_test,
                                                              needs.without_test_labels};
  std::string all;
  for (std::size_t i = 0; i < files.size(); ++i)
    if (files[i] && !without[i].empty()) all += (all.empty() ? "" : ". ") + without[i];
  return {ExitCode::data, what + (all.empty() ? "" : " (" + all + ")")};
}

// Does something with the file number `i`.
template <class Action>
void at_file(std::size_t i, const DatasetNeeds& needs, const Action& action) {
  try {
    action();
  } catch (const Error& failure) {
    Wanted file{};
    file[i] = true;
    throw fault_of(file, needs, failure.what());
  }
}

std::optional<fs::path> folder_in_environment(const char* variable) {
  const char* const value = std::getenv(variable);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return fs::path(value);
}

// Where the user's cache keeps a set; the XDG rules ignore a relative XDG_CACHE_HOME.
std::optional<fs::path> cache_folder(const std::string& name) {
  auto base = folder_in_environment("XDG_CACHE_HOME");
  if (!base || base->is_relative()) {
    base = folder_in_environment("HOME");
    if (base) *base /= ".cache";
  }
  if (!base) return std::nullopt;
  return *base / "ganymede" / name;
}

fs::path locate_named(const std::string& name, const Wanted& wanted, const DatasetNeeds& needs) {
  std::vector<fs::path> places;
  if (const auto base = folder_in_environment("GANYMEDE_DATA")) places.push_back(*base / name);
  const auto cache = cache_folder(name);
  if (cache) places.push_back(*cache);
  if (name == "mnist-mini") places.push_back(share_folder() / "data" / name);
  std::string seen;
  Wanted missing{};
  for (const fs::path& place : places) {
    const std::string lacking = lacks(place, wanted, missing);
    if (lacking.empty()) return place;
    seen += (seen.empty() ? "" : "; ") + place.string() + ": " + lacking;
  }
  if (name == "mnist-mini") {
    throw fault_of(missing, needs, "mnist-mini is not where it should be (" + seen + "): install Ganymede again");
  }
  if (!cache) {
    throw Error(ExitCode::data,
                "there is no cache folder to fetch mnist into: set HOME, XDG_CACHE_HOME or "
                "GANYMEDE_DATA, a folder with mnist/ in it");
  }
  data::fetch(data::mnist_files(), *cache, data::mnist_fetch_settings());
  return *cache;
}

fs::path locate(const std::string& name, const Wanted& wanted, const DatasetNeeds& needs) {
  if (name == "mnist-mini" || name == "mnist") return locate_named(name, wanted, needs);
  std::error_code unknown;
  if (!fs::is_directory(name, unknown)) {
    if (fs::exists(name, unknown)) throw Error(ExitCode::data, name + " is a file: give the folder of the set's files");
    const bool place = name.find('/') != std::string::npos;
    throw Error(
        ExitCode::data,
        "there is no data set '" + name + "': " +
            (place ? fs::absolute(name, unknown).lexically_normal().string() + " is no folder"
                   : "the known ones are mnist-mini and mnist, and a folder of IDX files named as MNIST's works "
                     "too") +
            (needs.otherwise.empty() ? "" : "; " + needs.otherwise));
  }
  if (::access(name.c_str(), X_OK) != 0)
    throw Error(ExitCode::data, name + ": the folder of the set cannot be entered: " + std::strerror(errno));
  Wanted missing{};
  if (const std::string lacking = lacks(name, wanted, missing); !lacking.empty())
    throw fault_of(missing, needs, name + ": the folder lacks files of the set: " + lacking);
  return name;
}

// What the reading rank tells its node; bytes on the wire, so without pointers.
struct Part {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint32_t count = 0;
  std::int32_t height = 0;
  std::int32_t width = 0;
};
struct Plan {
  std::array<Part, file_kinds.size()> parts{};
  std::uint64_t bytes = 0;
  std::uint64_t folder_length = 0;
};

using Readers = std::array<std::unique_ptr<IdxReader>, file_kinds.size()>;

// Opens what is wanted, which reads and checks the headers, and lays it out.
Plan open_files(const fs::path& folder, Wanted wanted, const DatasetNeeds& needs, Readers& readers) {
  if (needs.test_if_there && find_file(folder, file_kinds[2])) wanted[2] = true;
  if (needs.test_labels_if_there && wanted[2] && find_file(folder, file_kinds[3])) wanted[3] = true;
  Plan plan;
  for (std::size_t i = 0; i < file_kinds.size(); ++i) {
    if (!wanted[i]) continue;
    const auto file = find_file(folder, file_kinds[i]);
    if (!file) {
      throw Error(ExitCode::data, folder.string() + ": " + usual_name(file_kinds[i]) + " has just disappeared");
    }
    at_file(i, needs, [&] { readers[i] = std::make_unique<IdxReader>(*file, file_kinds[i].kind); });
    constexpr std::uint64_t alignment = 64;
    plan.parts[i] = {plan.bytes, readers[i]->bytes(), readers[i]->count(), readers[i]->height(), readers[i]->width()};
    plan.bytes += (readers[i]->bytes() + alignment - 1) / alignment * alignment;
  }
  for (const std::size_t half : {std::size_t{0}, std::size_t{2}}) {
    if (readers[half] && readers[half + 1])
      at_file(half + 1, needs, [&] { data::check_same_count(*readers[half], *readers[half + 1]); });
  }
  const auto size = [&](std::size_t i) {
    return std::to_string(readers[i]->height()) + " × " + std::to_string(readers[i]->width());
  };
  if (readers[2] && readers[2]->height() != readers[0]->height())
    at_file(2, needs,
            [&] { data::damaged(readers[2]->source(), "image size", size(0) + ", as the training images", size(2)); });
  return plan;
}

std::string_view text(std::span<const std::uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Of one file's elements, with the dimensions before them as IDX writes them.
std::string digest_of(const Part& part, std::span<const std::uint8_t> elements) {
  std::array<std::uint8_t, 12> dimensions{};
  const std::array<std::uint32_t, 3> values = {part.count, static_cast<std::uint32_t>(part.height),
                                               static_cast<std::uint32_t>(part.width)};
  for (std::size_t i = 0; i < dimensions.size(); ++i) {
    dimensions[i] = static_cast<std::uint8_t>(values[i / 4] >> (24 - 8 * (i % 4)));
  }
  return digest({text(dimensions), text(elements)});
}

// Nodes with different files under the same name would train on different data, silently.
void check_nodes_agree(Communicator& ranks, const std::string& digests, const std::string& folder) {
  const std::vector<std::string> seen = ranks.all_gather(digests + host_name() + ":" + folder);
  for (std::size_t rank = 1; rank < seen.size(); ++rank) {
    if (seen[rank].compare(0, digests.size(), seen[0], 0, digests.size()) != 0) {
      throw AgreedError(ExitCode::data, "the ranks read different data: rank 0 in " + seen[0].substr(digests.size()) +
                                            ", rank " + std::to_string(rank) + " in " +
                                            seen[rank].substr(digests.size()) + "; put the same files on all hosts");
    }
  }
}

}  // namespace

Dataset Dataset::open(const std::string& name, const DatasetNeeds& needs, Communicator& ranks) {
  const Wanted wanted = {true, needs.train_labels, needs.test, needs.test_labels};
  const bool reads = ranks.node_rank() == 0;
  Dataset set;
  set.name_ = name;

  Plan plan;
  Readers readers;
  together(ranks, [&] {
    if (!reads) return;
    set.folder_ = locate(name, wanted, needs).string();
    plan = open_files(set.folder_, wanted, needs, readers);
    plan.folder_length = set.folder_.size();
  });
  ranks.node_broadcast(&plan, sizeof plan);
  set.folder_.resize(plan.folder_length);
  ranks.node_broadcast(set.folder_.data(), set.folder_.size());

  std::shared_ptr<void> memory = ranks.node_shared(plan.bytes);
  const bool shared = memory != nullptr;
  std::string digests(file_kinds.size() * digest_length, '-');
  const auto elements = [&](std::size_t i) {
    return std::span(static_cast<std::uint8_t*>(memory.get()) + plan.parts[i].offset, plan.parts[i].bytes);
  };
  together(ranks, [&] {
    if (!shared) memory = std::make_unique<std::uint8_t[]>(plan.bytes);
    if (!reads) return;
    std::string all;
    for (std::size_t i = 0; i < file_kinds.size(); ++i) {
      if (readers[i]) at_file(i, needs, [&] { readers[i]->read(elements(i)); });
      all += digest_of(plan.parts[i], elements(i));
    }
    digests = all;
  });
  if (!shared) ranks.node_broadcast(memory.get(), plan.bytes);
  ranks.node_broadcast(digests.data(), digests.size());
  check_nodes_agree(ranks, digests, set.folder_);

  const auto half = [&](std::size_t images, std::size_t labels) {
    const Part& part = plan.parts[images];
    return ImageSet{elements(images), elements(labels), part.count, part.height, part.width};
  };
  set.train_ = half(0, 1);
  set.test_ = half(2, 3);
  set.digest_ = digests.substr(0, digest_length);
  set.labelled_digest_ = ganymede::digest({std::string_view(digests).substr(0, 2 * digest_length)});
  set.memory_ = std::move(memory);
  return set;
}

}  // namespace ganymede
