// What is looked at before a run's folder is made, and who holds it.
#include "train/run_place.hpp"

#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "core/files.hpp"
#include "ganymede/error.hpp"
#include "report/run_folder.hpp"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

// Whether a run's folder can be made or written to, as far as that can be told without trying.
void check_writable(const fs::path& run) {
  const auto refuse = [&](const std::string& why) {
    throw Error(ExitCode::data, "--out " + run.string() + " " + why + ": choose another folder");
  };
  std::error_code error;
  fs::path place = run;
  while (!place.empty() && fs::status(place, error).type() == fs::file_type::not_found) {
    if (fs::is_symlink(place, error))
      refuse("leads nowhere: " + place.string() + " is a symbolic link to " + fs::read_symlink(place, error).string() +
             ", which does not exist");
    place = place.parent_path();
  }
  if (place.empty()) place = ".";
  const fs::file_status status = fs::status(place, error);
  if (!fs::status_known(status)) refuse("cannot be examined: " + error.message());
  if (!fs::is_directory(status))
    refuse(place == run ? "is not a folder" : "cannot be made: " + place.string() + " is not a folder");
  if (place == run && fs::equivalent(place, "/", error)) refuse("is the root of all folders");
  const std::string what = place == run ? "cannot be written to" : "cannot be made in " + place.string();
  // Root is told of a file system that is read-only, but not of one that takes no files.
  struct statfs system {};
  if (::access(place.c_str(), W_OK | X_OK) != 0) refuse(what + ": " + std::strerror(errno));
  if (::statfs(place.c_str(), &system) == 0 && (system.f_type == PROC_SUPER_MAGIC || system.f_type == SYSFS_MAGIC))
    refuse(what + ": it is the kernel's");
}

// make_folders(), and their names stay after a power cut as well.
void make_lasting_folders(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> parents;
  for (fs::path missing = folder; !missing.empty() && !fs::exists(missing, error); missing = missing.parent_path())
    if (missing.has_filename()) parents.push_back(missing.has_parent_path() ? missing.parent_path() : ".");
  make_folders(folder);
  for (const fs::path& parent : parents) {
    try {
      sync_folder(parent);
    } catch (const Error&) {
      // One that may be written to and not read cannot be synced: no reason not to train.
    }
  }
}

// What a training would write over, of a folder that holds no run: the first of it that is there, else nothing.
fs::path something_of_a_run(const TrainOptions& options) {
  const RunFolder run(options.out);
  std::error_code error;
  for (const fs::path& file : {run.generator(), run.discriminator(), run.metrics(), run.report()})
    if (fs::is_regular_file(file, error)) return file;
  if (fs::is_directory(run.samples(), error) && !fs::is_empty(run.samples(), error) && !error) return run.samples();
  return {};
}

// Whether a training was begun in the run's folder.
bool holds_run(const TrainOptions& options) {
  const RunFolder run(options.out);
  std::error_code error;
  return fs::exists(run.config(), error) || fs::exists(run.checkpoints(), error);
}

}  // namespace

void check_run_place(const TrainOptions& options) {
  if (options.out.empty())
    throw Error(ExitCode::usage, "no folder for the run: add --out RUN (for example --out runs/first)");
  check_writable(options.out);
}

void check_no_other_run(const TrainOptions& options) {
  if (options.resume) return;
  if (holds_run(options))
    throw Error(ExitCode::usage, "--out " + options.out +
                                     " already holds a run: add --resume to go on with it, or choose another folder");
  if (const fs::path there = something_of_a_run(options); !there.empty())
    throw Error(ExitCode::usage, "--out " + options.out + " holds no run, but " + there.string() +
                                     ", which the training would write over: choose another folder, or move that away");
}

std::unique_ptr<RunLock> hold_begun_run(const TrainOptions& options, Communicator& ranks) {
  std::unique_ptr<RunLock> lock;
  on_root(ranks, [&] {
    check_run_place(options);
    const RunFolder folder(options.out);
    std::error_code error;
    if (fs::exists(folder.lock(), error) || (options.resume && fs::is_directory(folder.root(), error)))
      lock = std::make_unique<RunLock>(folder);
    check_no_other_run(options);
  });
  return lock;
}

std::unique_ptr<RunLock> hold_new_run(const TrainOptions& options) {
  const RunFolder folder(options.out);
  make_lasting_folders(folder.root());
  auto lock = std::make_unique<RunLock>(folder);
  // Also one that could be resumed: what is set up here knows nothing of it.
  if (holds_run(options))
    throw Error(ExitCode::usage, "--out " + options.out +
                                     " holds a run that another training has begun meanwhile: add --resume to go on "
                                     "with it, or choose another folder");
  return lock;
}

}  // namespace ganymede
