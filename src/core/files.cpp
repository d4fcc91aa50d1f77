// Whole-file reading, atomic writing, the program's own folder, digests.
#include "core/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/heartbeat.hpp"
#include "ganymede/error.hpp"
#include "ganymede/share_folder.hpp"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, const std::string& what, int reason) {
  throw Error(ExitCode::data, path.string() + ": " + what + ": " + std::strerror(reason));
}

// A file descriptor that closes itself; close() is for those who must know whether it worked.
class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags, mode_t mode = 0) {
    do {
      value_ = ::open(path.c_str(), flags | O_CLOEXEC, mode);
    } while (value_ < 0 && errno == EINTR);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }

  [[nodiscard]] bool is_open() const { return value_ >= 0; }
  [[nodiscard]] int get() const { return value_; }
  bool close() {
    const int value = value_;
    value_ = -1;
    return value < 0 || ::close(value) == 0;
  }

 private:
  int value_ = -1;
};

// What is read or written at once: whoever watches sees it go on, also on a slow file system.
constexpr std::size_t piece = std::size_t{1} << 20U;
// What one fsync brings to the disk at most, so that it does not take as long as one that hangs.
constexpr std::size_t synced_at_once = std::size_t{32} << 20U;

// Removes the file unless it was kept.
class Unfinished {
 public:
  explicit Unfinished(fs::path path) : path_(std::move(path)) {}
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;
  ~Unfinished() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  void keep() { path_.clear(); }

 private:
  fs::path path_;
};

void sync(int descriptor, const fs::path& path) {
  // Some file systems have no fsync for this kind of file and say so with EINVAL.
  while (::fsync(descriptor) != 0) {
    if (errno == EINVAL) break;
    if (errno != EINTR) fail(path, "cannot be brought to the disk", errno);
  }
  heartbeat::piece();
}

fs::path folder_of(const fs::path& file) { return file.has_parent_path() ? file.parent_path() : fs::path("."); }

// .NAME.DIGITS.part
constexpr std::string_view unfinished_digits = "0123456789abcdefghijklmnopqrstuv";
constexpr std::size_t unfinished_digit_count = 12;
constexpr std::string_view unfinished_end = ".part";

// A name that no other process uses, on this host or on another that shares the file system.
fs::path name_beside(const fs::path& file) {
  std::random_device random;
  std::string name = ".";
  name += file.filename().string();
  name += '.';
  for (std::size_t i = 0; i < unfinished_digit_count; ++i)
    name += unfinished_digits[random() % unfinished_digits.size()];
  name += unfinished_end;
  return folder_of(file) / name;
}

void write_all(int descriptor, std::string_view bytes, const fs::path& file) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t count = ::write(descriptor, bytes.data() + done, std::min(bytes.size() - done, piece));
    if (count < 0 && errno != EINTR) fail(file, "cannot be written", errno);
    if (count > 0) done += static_cast<std::size_t>(count);
    heartbeat::piece();
  }
}

// The file that a name stands for, which need not exist: symbolic links are followed to their end.
fs::path followed(const fs::path& name) {
  constexpr int most_links = 40;  // as the kernel's own limit
  fs::path file = name;
  for (int i = 0; i < most_links; ++i) {
    std::error_code error;
    const fs::path target = fs::read_symlink(file, error);
    if (error) return file;
    file = folder_of(file) / target;
  }
  fail(name, "cannot be followed", ELOOP);
}

// Whether only writing to `name` itself reaches what it stands for: a device, a pipe, or an open file that has no
// other name, as /dev/stdout may be. `file` is where its links lead.
bool is_written_through(const fs::path& name, const fs::path& file) {
  struct stat opened {};
  struct stat named {};
  struct stat again {};
  const auto same = [](const struct stat& a, const struct stat& b) {
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
  };
  for (;;) {
    if (::stat(name.c_str(), &opened) != 0 || S_ISDIR(opened.st_mode)) return false;
    if (!S_ISREG(opened.st_mode)) return true;
    if (name == file) return false;
    if (::stat(file.c_str(), &named) == 0 && same(named, opened)) return false;
    // Another writer may have put a new file in place between the two looks.
    if (::stat(name.c_str(), &again) == 0 && same(again, opened)) return true;
  }
}

[[noreturn]] void fail_of_size(const fs::path& file, std::size_t limit) {
  throw Error(ExitCode::data,
              file.string() + ": size: expected at most " + std::to_string(limit) + " bytes, found more");
}

// Reads `most` bytes, or what comes at once, to the end of `bytes`. Whether there was something.
bool read_on(int descriptor, std::size_t most, std::string& bytes, const fs::path& file) {
  const std::size_t before = bytes.size();
  bytes.resize(before + std::min(most, piece));
  ssize_t count = 0;
  do {
    count = ::read(descriptor, bytes.data() + before, bytes.size() - before);
  } while (count < 0 && errno == EINTR);
  if (count < 0) fail(file, "cannot be read", errno);
  heartbeat::piece();
  bytes.resize(before + static_cast<std::size_t>(count));
  return count > 0;
}

std::string read_whole(const fs::path& file, std::size_t limit, const FileJudge& judge) {
  const Descriptor input(file, O_RDONLY);
  if (!input.is_open()) fail(file, "cannot be opened", errno);
  struct stat status {};
  if (::fstat(input.get(), &status) != 0) fail(file, "cannot be examined", errno);
  std::string bytes;
  if (S_ISREG(status.st_mode)) {
    const auto size = static_cast<std::size_t>(status.st_size);
    if (limit != 0 && size > limit) fail_of_size(file, limit);
    // A file that has shrunk meanwhile has no more to show.
    for (bool more = static_cast<bool>(judge); more;) {
      const std::size_t wanted = judge(bytes, size);
      more = wanted > bytes.size() && read_on(input.get(), wanted - bytes.size(), bytes, file);
    }
    bytes.reserve(size + 1);
  }
  // Up to the end, not up to the size: files in /proc and pipes have none.
  while (read_on(input.get(), std::max(bytes.capacity() - bytes.size(), std::size_t{4096}), bytes, file))
    if (limit != 0 && bytes.size() > limit) fail_of_size(file, limit);
  return bytes;
}

}  // namespace

std::string read_file(const fs::path& file, std::size_t limit) { return read_whole(file, limit, {}); }

std::string read_file(const fs::path& file, const FileJudge& judge) { return read_whole(file, 0, judge); }

void write_file_atomically(const fs::path& name, std::string_view bytes, const std::function<void()>& permit) {
  const fs::path file = followed(name);
  if (is_written_through(name, file)) {
    Descriptor output(name, O_WRONLY | O_TRUNC);
    if (!output.is_open()) fail(name, "cannot be opened", errno);
    if (permit) permit();
    write_all(output.get(), bytes, name);
    if (!output.close()) fail(name, "cannot be written", errno);
    return;
  }
  std::error_code error;
  if (fs::is_directory(file, error))
    throw Error(ExitCode::data, name.string() + " is a folder: name a file, in it or elsewhere");
  const fs::path folder = folder_of(file);
  if (!fs::exists(folder, error) && !error)
    throw Error(ExitCode::data, name.string() + " cannot be written: there is no folder " + folder.string());
  const fs::path aside = name_beside(file);
  // Created with the mode that umask and the folder's ACL give, which is then put by until the end.
  Descriptor output(aside, O_WRONLY | O_CREAT | O_EXCL, 0666);
  if (!output.is_open()) fail(file, "cannot be created", errno);
  Unfinished unfinished(aside);
  struct stat status {};
  if (::fstat(output.get(), &status) != 0) fail(file, "cannot be examined", errno);
  if (::fchmod(output.get(), S_IRUSR | S_IWUSR) != 0) fail(file, "cannot be protected", errno);
  std::string_view left = bytes;
  for (; left.size() > synced_at_once; left.remove_prefix(synced_at_once)) {
    write_all(output.get(), left.substr(0, synced_at_once), file);
    sync(output.get(), file);
  }
  write_all(output.get(), left, file);
  if (::fchmod(output.get(), status.st_mode & 07777) != 0) fail(file, "cannot be given its permissions", errno);
  sync(output.get(), file);
  if (!output.close()) fail(file, "cannot be written", errno);
  if (permit) permit();
  if (::rename(aside.c_str(), file.c_str()) != 0) fail(file, "cannot be put in place", errno);
  unfinished.keep();
  sync_folder(folder_of(file));
}

void check_written(const fs::path& file, std::string_view bytes) {
  const Descriptor input(file, O_RDONLY);
  if (!input.is_open()) fail(file, "cannot be opened", errno);
  // What has been synced the kernel can forget, and then it has to ask the disk.
  ::posix_fadvise(input.get(), 0, 0, POSIX_FADV_DONTNEED);
  std::string found(std::min(bytes.size() + 1, piece), '\0');
  std::string_view left = bytes;
  for (;;) {
    const ssize_t count = ::read(input.get(), found.data(), found.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(file, "cannot be read", errno);
    heartbeat::piece();
    const std::string_view part(found.data(), static_cast<std::size_t>(count));
    if (!left.starts_with(part) || (part.empty() && !left.empty()))
      throw Error(ExitCode::data, file.string() + ": what is on the disk is not what was written to it");
    if (part.empty()) return;
    left.remove_prefix(part.size());
  }
}

AppendedFile::AppendedFile(fs::path file)
    : path_(std::move(file)), file_(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666)) {
  if (file_ < 0) fail(path_, "cannot be opened", errno);
}

AppendedFile::~AppendedFile() { ::close(file_); }

void AppendedFile::append(std::string_view bytes) {
  struct stat status {};
  if (::fstat(file_, &status) != 0) fail(path_, "cannot be examined", errno);
  // One call, so that a reader or a crash meets whole pieces.
  ssize_t count = 0;
  do {
    count = ::write(file_, bytes.data(), bytes.size());
  } while (count < 0 && errno == EINTR);
  if (count < 0) fail(path_, "cannot be written", errno);
  if (static_cast<std::size_t>(count) != bytes.size()) {
    // The disk is full: take the torn piece back, the next one must not stick to it.
    if (::ftruncate(file_, status.st_size) != 0) fail(path_, "cannot be cut back to its last whole piece", errno);
    throw Error(ExitCode::data, path_.string() + ": cannot be written: only " + std::to_string(count) + " of " +
                                    std::to_string(bytes.size()) + " bytes found room on the disk");
  }
}

void write_out(int file, std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t count = ::write(file, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

std::string name_of_unfinished(std::string_view name) {
  constexpr std::size_t tail = 1 + unfinished_digit_count + unfinished_end.size();
  if (name.size() < 2 + tail || !name.starts_with('.') || !name.ends_with(unfinished_end)) return {};
  const std::string_view own = name.substr(1, name.size() - 1 - tail);
  const std::string_view middle = name.substr(1 + own.size(), 1 + unfinished_digit_count);
  if (middle[0] != '.' || middle.find_first_not_of(unfinished_digits, 1) != std::string_view::npos) return {};
  return std::string(own);
}

void check_file_place(const fs::path& name) {
  std::error_code error;
  const auto refuse = [&](const std::string& why) {
    throw Error(ExitCode::data, name.string() + " cannot be written: " + why + "; choose another place");
  };
  if (fs::is_directory(name, error)) refuse("it is a folder");
  const fs::path folder = name.has_parent_path() ? name.parent_path() : fs::path(".");
  if (!fs::is_directory(folder, error)) refuse("there is no folder " + folder.string());
  if (::access(folder.c_str(), W_OK | X_OK) != 0) refuse(folder.string() + ": " + std::strerror(errno));
}

void sync_file(const fs::path& file) {
  const Descriptor descriptor(file, O_RDONLY);
  if (!descriptor.is_open() && errno == ENOENT) return;
  if (!descriptor.is_open()) fail(file, "cannot be opened", errno);
  sync(descriptor.get(), file);
}

void sync_folder(const fs::path& folder) {
  const Descriptor descriptor(folder, O_RDONLY | O_DIRECTORY);
  if (!descriptor.is_open()) fail(folder, "cannot be opened", errno);
  sync(descriptor.get(), folder);
}

void make_folders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  // Where a file stands in the way the library may report success.
  if (!error && !fs::is_directory(folder, error) && !error) error = std::make_error_code(std::errc::not_a_directory);
  if (error) {
    throw Error(ExitCode::data, folder.string() + ": the folder cannot be made: " + error.message());
  }
}

namespace {
// Constant before any constructor runs: a header sets it while those of a program's own files do.
constinit const char* installed_share_folder = nullptr;
}  // namespace

void set_installed_share_folder(const char* folder) noexcept { installed_share_folder = folder; }

fs::path share_folder() {
  std::error_code error;
  if (const char* chosen = std::getenv("GANYMEDE_SHARE"); chosen != nullptr && *chosen != '\0') {
    if (fs::is_directory(chosen, error)) return chosen;
    throw Error(ExitCode::data, std::string("GANYMEDE_SHARE is set to ") + chosen +
                                    ", which is no folder: set it to the folder share/ganymede of an "
                                    "installation, or unset it");
  }
  std::vector<fs::path> places;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error) places.push_back(program.parent_path().parent_path() / "share" / "ganymede");
  if (installed_share_folder != nullptr) places.emplace_back(installed_share_folder);
  std::string looked_at;
  for (const fs::path& place : places) {
    if (fs::is_directory(place, error)) return place;
    looked_at += (looked_at.empty() ? "" : " and ") + place.string();
  }
  throw Error(ExitCode::data, "the program's own files (recipes, mnist-mini) are not found: looked at " +
                                  (looked_at.empty() ? "no place, because /proc is not there" : looked_at) +
                                  "; set GANYMEDE_SHARE to the folder share/ganymede of an installation");
}

std::string hex(std::span<const unsigned char> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const unsigned char byte : bytes) {
    text += digits[byte >> 4U];
    text += digits[byte & 15U];
  }
  return text;
}

std::string digest(std::string_view bytes) { return digest({bytes}); }

std::string digest(std::initializer_list<std::string_view> pieces) {
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), &XXH3_freeState);
  if (state == nullptr) throw std::bad_alloc();
  XXH3_128bits_reset(state.get());
  for (const std::string_view piece : pieces) XXH3_128bits_update(state.get(), piece.data(), piece.size());
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state.get()));
  return hex(canonical.digest);
}

}  // namespace ganymede
