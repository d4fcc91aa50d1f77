// The atomic store of checkpoints. A folder under its final name is complete, because it gets that name by
// a rename after all of it is on disk; whatever is being written or deleted has a hidden name:
//   .step-00001200.partial-7     being written by the folder's seventh training, or being deleted
//   .step-00001200.replaced      a complete one that gives way to another of the same step
#include "checkpoint/checkpoint.hpp"

#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

#include "checkpoint/manifest.hpp"
#include "checkpoint/tensor_bytes.hpp"
#include "core/files.hpp"
#include "core/heartbeat.hpp"
#include "core/json.hpp"
#include "core/numbers.hpp"
#include "ganymede/error.hpp"
#include "report/run_folder.hpp"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

constexpr const char* manifest_name = "manifest.json";
constexpr const char* tensor_suffix = ".safetensors";
constexpr std::size_t most_manifest_bytes = 16U << 20U;

std::string step_name(std::uint64_t step) { return formatted("step-%08" PRIu64, step); }

/// 1200 for "step-00001200"; nothing for any other form.
std::optional<std::uint64_t> step_of(const std::string& name) {
  const std::uint64_t step = leading_number(name.substr(std::min(name.size(), std::size_t{5})));
  return step_name(step) == name ? std::optional(step) : std::nullopt;
}

struct StoredFolder {
  enum class Kind { complete, replaced, partial };
  fs::path path;
  std::uint64_t step;
  Kind kind;
};

/// What kind of ours `path` is by its name; nothing when it is not ours.
std::optional<StoredFolder> recognise(const fs::path& path) {
  std::string name = path.filename().string();
  if (const auto step = step_of(name)) return StoredFolder{path, *step, StoredFolder::Kind::complete};
  if (name.empty() || name.front() != '.') return std::nullopt;
  const auto dot = name.rfind('.');
  const std::string tail = name.substr(dot);
  const auto step = step_of(name.substr(1, dot == 0 ? 0 : dot - 1));
  if (!step) return std::nullopt;
  if (tail == ".replaced") return StoredFolder{path, *step, StoredFolder::Kind::replaced};
  constexpr std::string_view partial = ".partial-";
  if (tail.starts_with(partial) && tail.size() > partial.size() &&
      tail.find_first_not_of("0123456789", partial.size()) == std::string::npos) {
    return StoredFolder{path, *step, StoredFolder::Kind::partial};
  }
  return std::nullopt;
}

[[noreturn]] void fail(const std::string& what, const fs::path& path, const std::error_code& reason) {
  throw Error(ExitCode::data, what + " " + path.string() + ": " + reason.message());
}

/// Our folders of one run: the newest step first, and of one step the one under its final name first.
std::vector<StoredFolder> list_folders(const fs::path& parent) {
  std::vector<StoredFolder> result;
  std::error_code error;
  fs::directory_iterator at(parent, error);
  if (error == std::errc::no_such_file_or_directory) return result;
  while (!error && at != fs::directory_iterator()) {
    if (auto folder = recognise(at->path())) result.push_back(std::move(*folder));
    at.increment(error);
  }
  if (error) fail("cannot list", parent, error);
  std::sort(result.begin(), result.end(), [](const StoredFolder& a, const StoredFolder& b) {
    return a.step != b.step ? a.step > b.step : a.kind < b.kind;
  });
  return result;
}

void rename_folder(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) fail("cannot rename " + from.string() + " to", to, error);
}

void delete_folder(const fs::path& folder) {
  std::error_code error;
  fs::remove_all(folder, error);
  if (error) fail("cannot delete", folder, error);
  heartbeat::piece();
}

fs::path replaced_path(const fs::path& folder) {
  return folder.parent_path() / ('.' + folder.filename().string() + ".replaced");
}

fs::path partial_path(const fs::path& folder, std::uint64_t generation) {
  return folder.parent_path() / ('.' + folder.filename().string() + ".partial-" + std::to_string(generation));
}

/// That it cannot be looked at does not say that it is not there. Throws Error(data).
bool is_folder(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::none) fail("cannot examine", path, error);
  return fs::is_directory(status);
}

/// Ends an interrupted replacement: the new checkpoint stands when it got its name, else the old one does.
void settle_replacement(const fs::path& folder) {
  const fs::path replaced = replaced_path(folder);
  if (!is_folder(replaced)) return;
  if (is_folder(folder)) {
    delete_folder(replaced);
  } else {
    rename_folder(replaced, folder);
  }
}

/// Earlier checkpoints go when this one has its name: better to find out now that it cannot be read.
void write_and_check(const fs::path& file, std::string_view bytes) {
  write_file_atomically(file, bytes);
  check_written(file, bytes);
}

/// Writes all files into `partial`, syncs and checks them; the manifest comes last.
void write_files(const fs::path& partial, const Checkpoint& checkpoint) {
  Manifest manifest;
  manifest.step = checkpoint.step;
  manifest.images_seen = checkpoint.images_seen;
  manifest.options = checkpoint.options;
  manifest.data_digest = checkpoint.data_digest;
  manifest.arithmetic = checkpoint.arithmetic;
  manifest.program = checkpoint.program;
  for (const auto& [name, tensors] : checkpoint.files) {
    const std::string file = name + tensor_suffix;
    if (!is_checkpoint_file_name(file)) {
      throw Error(ExitCode::data,
                  in_quotes(name) + " cannot name a file of a checkpoint: use letters, digits, - and _");
    }
    const std::string bytes = tensors.serialize();
    manifest.files[file] = {bytes.size(), digest(bytes)};
    write_and_check(partial / file, bytes);
  }
  write_and_check(partial / manifest_name, manifest.serialize());
}

/// Gives `partial` its final name. Where a checkpoint of that step stands already, it is complete under one
/// name or another until the new one is.
void publish(const fs::path& partial, const fs::path& folder, const Fence& fence) {
  fence.check();
  if (is_folder(folder)) rename_folder(folder, replaced_path(folder));
  try {
    fence.check();
    rename_folder(partial, folder);
  } catch (...) {
    settle_replacement(folder);
    throw;
  }
  sync_folder(folder.parent_path());  // before the old one goes
  settle_replacement(folder);
}

/// Tidies every folder of ours with `tidy`. One that cannot be keeps none of the others as they are: the first failure
/// is thrown at the end.
template <class Tidy>
void for_each_folder(const fs::path& run, const Tidy& tidy) {
  std::optional<Error> failure;
  for (const auto& folder : list_folders(RunFolder(run).checkpoints())) {
    try {
      tidy(folder);
    } catch (const Error& error) {
      if (!failure) failure = error;
    }
  }
  if (failure) throw Error(*failure);
}

/// Under a hidden name first: a deletion that is interrupted must not leave a damaged checkpoint.
void delete_checkpoint(const fs::path& folder, const Fence& fence) {
  const fs::path doomed = partial_path(folder, 0);
  fence.check();  // another training's are not ours to delete
  delete_folder(doomed);
  rename_folder(folder, doomed);
  delete_folder(doomed);
}

/// Only regular files are read: a pipe would hang, a link could point anywhere.
void check_regular(const fs::path& file) {
  std::error_code error;
  const auto status = fs::symlink_status(file, error);
  if (status.type() == fs::file_type::not_found) {
    throw Error(ExitCode::data, file.string() + ": the file is missing from its checkpoint");
  }
  if (!fs::is_regular_file(status)) refuse(file.string(), "file", "a regular file", "something else");
}

/// Whether it is of the step that its name says is looked at, too.
Checkpoint read_listed(const StoredFolder& folder) {
  Checkpoint checkpoint = read_checkpoint(folder.path);
  if (checkpoint.step != folder.step)
    refuse((folder.path / manifest_name).string(), "step", std::to_string(folder.step) + " by the folder's name",
           std::to_string(checkpoint.step));
  return checkpoint;
}

/// A training that goes on may prune what was listed before it is read.
bool is_gone(const StoredFolder& folder) {
  std::error_code ignored;
  return fs::status(folder.path, ignored).type() == fs::file_type::not_found;
}

}  // namespace

fs::path checkpoint_folder(const fs::path& run, std::uint64_t step) {
  return RunFolder(run).checkpoints() / step_name(step);
}

fs::path write_checkpoint(const fs::path& run, const Checkpoint& checkpoint) {
  fs::path folder = checkpoint_folder(run, checkpoint.step);
  const fs::path parent = folder.parent_path();
  const fs::path partial = partial_path(folder, checkpoint.fence.generation);
  try {
    checkpoint.fence.check();
    if (!is_folder(parent)) {
      make_folders(parent);
      sync_folder(run);
    }
    settle_replacement(folder);
    delete_folder(partial);  // of a write that failed
    make_folders(partial);
    write_files(partial, checkpoint);
    if (!checkpoint.log.empty()) sync_file(checkpoint.log);
    publish(partial, folder, checkpoint.fence);
  } catch (const std::exception& error) {
    std::error_code ignored;
    fs::remove_all(partial, ignored);
    std::string reason = error.what();
    try {
      checkpoint.fence.check();
    } catch (const std::exception& lost) {
      reason = lost.what();  // a newer training's start has deleted what was being written: that is the reason then
    }
    throw Error(ExitCode::data, "the checkpoint of step " + std::to_string(checkpoint.step) +
                                    " could not be written, earlier ones are as they were: " + reason);
  }
  return folder;
}

void prune_checkpoints(const fs::path& run, std::uint64_t step, const Retention& retention, const Fence& fence) {
  if (retention.newest <= 0) return;
  int kept = 0;
  int kept_regular = 0;
  for_each_folder(run, [&](const StoredFolder& folder) {
    if (folder.kind != StoredFolder::Kind::complete || folder.step > step) return;
    const auto multiple_of = [&](std::uint64_t every) { return every > 0 && folder.step % every == 0; };
    const bool one_of_the_newest = kept++ < retention.newest;
    const bool one_of_the_regular = multiple_of(retention.regular) && kept_regular++ < retention.newest;
    if (one_of_the_newest || one_of_the_regular || multiple_of(retention.every)) return;
    delete_checkpoint(folder.path, fence);
  });
}

void abandon_checkpoints(const fs::path& run, std::uint64_t step, const Fence& fence) {
  for_each_folder(run, [&](const StoredFolder& folder) {
    if (folder.kind == StoredFolder::Kind::complete && folder.step > step) delete_checkpoint(folder.path, fence);
  });
}

bool is_checkpoint(const fs::path& folder) {
  std::error_code error;
  return fs::exists(folder / manifest_name, error);
}

Checkpoint read_checkpoint(const fs::path& folder) {
  const fs::path manifest_path = folder / manifest_name;
  check_regular(manifest_path);
  Manifest manifest = Manifest::parse(read_file(manifest_path, most_manifest_bytes), manifest_path.string());
  Checkpoint checkpoint;
  checkpoint.step = manifest.step;
  checkpoint.images_seen = manifest.images_seen;
  checkpoint.options = std::move(manifest.options);
  checkpoint.data_digest = std::move(manifest.data_digest);
  checkpoint.arithmetic = std::move(manifest.arithmetic);
  checkpoint.program = std::move(manifest.program);
  for (const auto& [name, expected] : manifest.files) {
    const fs::path file = folder / name;
    std::error_code error;
    const auto size = fs::file_size(file, error);
    if (!error && size != expected.bytes) {
      refuse(file.string(), "length", std::to_string(expected.bytes) + " bytes by the manifest", std::to_string(size));
    }
    check_regular(file);
    const std::string bytes = read_tensor_bytes(file);
    if (const auto found = digest(bytes); found != expected.digest) {
      refuse(file.string(), "digest", expected.digest + " by the manifest", found + "; the file is damaged");
    }
    checkpoint.files.emplace(name.substr(0, name.size() - std::strlen(tensor_suffix)),
                             TensorFile::parse(bytes, file.string()));
  }
  return checkpoint;
}

std::vector<CheckpointState> check_checkpoints(const fs::path& run) {
  std::vector<CheckpointState> all;
  for (const StoredFolder& folder : list_folders(RunFolder(run).checkpoints())) {
    if (folder.kind == StoredFolder::Kind::partial) continue;
    CheckpointState state{folder.path, folder.step, 0, {}};
    try {
      state.images_seen = read_listed(folder).images_seen;
    } catch (const Error& error) {
      if (is_gone(folder)) continue;
      state.refused = error.what();
    }
    all.push_back(std::move(state));
  }
  std::reverse(all.begin(), all.end());
  return all;
}

std::optional<FoundCheckpoint> newest_checkpoint(const fs::path& run, std::vector<std::string>& refused,
                                                 const std::function<bool(std::uint64_t)>& wanted) {
  // While a training goes on, what was listed may be pruned before it is read, and a newer one stand in its place; both
  // may also be missed by a list that is made just then.
  constexpr int most_looks = 20;
  for (int look = 1;; ++look) {
    std::vector<std::string> reasons;
    bool some_listed = false;
    bool some_gone = false;
    for (const auto& folder : list_folders(RunFolder(run).checkpoints())) {
      if (folder.kind == StoredFolder::Kind::partial) continue;
      some_listed = true;
      if (!wanted(folder.step)) continue;
      try {
        Checkpoint checkpoint = read_listed(folder);
        refused.insert(refused.end(), reasons.begin(), reasons.end());
        return FoundCheckpoint{folder.path, std::move(checkpoint), {}};
      } catch (const Error& error) {
        const bool gone = is_gone(folder);
        some_gone = some_gone || gone;
        if (!gone || look == most_looks) reasons.emplace_back(error.what());
      }
    }
    if ((some_listed && !some_gone) || look == most_looks) {
      refused.insert(refused.end(), reasons.begin(), reasons.end());
      return std::nullopt;
    }
  }
}

std::optional<FoundCheckpoint> newest_checkpoint(const fs::path& run) {
  std::vector<std::string> refused;
  std::optional<FoundCheckpoint> found = newest_checkpoint(run, refused);
  if (found) {
    found->refused = std::move(refused);
    return found;
  }
  if (refused.empty()) return std::nullopt;
  std::string reasons;
  for (const auto& reason : refused) reasons += "\n  " + reason;
  throw Error(ExitCode::data,
              "no checkpoint in " + RunFolder(run).checkpoints().string() +
                  " can be used; put back a sound one, or delete that folder to start afresh:" + reasons);
}

void sweep_checkpoints(const fs::path& run) {
  for_each_folder(run, [](const StoredFolder& folder) {
    if (folder.kind == StoredFolder::Kind::partial) delete_folder(folder.path);
    if (folder.kind == StoredFolder::Kind::replaced)
      settle_replacement(folder.path.parent_path() / step_name(folder.step));
  });
}

}  // namespace ganymede
