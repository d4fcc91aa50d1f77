// Each call counts and either fails or goes to the kernel, past libc: nothing here needs libc's own function of that
// name, but readdir(), whose call of the kernel is none of its callers'.
#include "support/failing_calls/failing_calls.hpp"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <vector>

namespace ganymede::test {
namespace {

std::array<char, 256> armed_path{};
Failures armed{nullptr, 0, 0, 0, false};
std::atomic<std::int64_t> counted{0};
std::atomic<std::int64_t> failed{0};

/// The environment's, before main().
[[gnu::constructor]] void arm_from_environment() {
  const char* text = std::getenv("GANYMEDE_FAILING_CALLS");
  if (text == nullptr) return;
  long long first = 0;
  long long last = 0;
  int error = 0;
  if (std::sscanf(text, "%255[^:]:%lld:%lld:%d", armed_path.data(), &first, &last, &error) != 4) std::abort();
  arm({armed_path.data(), first, last, error});
}

const char* recorded_path = nullptr;
std::mutex record_mutex;
std::vector<Call> record_of_calls;

void note(const char* name, const char* path, const char* to) {
  if (recorded_path == nullptr || path == nullptr || std::strstr(path, recorded_path) == nullptr) return;
  const std::lock_guard lock(record_mutex);
  record_of_calls.push_back({name, path, to == nullptr ? "" : to});
}

bool fails(const char* path) {
  if (armed.path == nullptr || path == nullptr || std::strstr(path, armed.path) == nullptr) return false;
  const std::int64_t number = counted++;
  if (number < armed.first || number > armed.last) return false;
  if (armed.error < 0) {
    ::usleep(static_cast<useconds_t>(-armed.error) * 1000);
    return false;
  }
  ++failed;
  return true;
}

/// The name of an open file, or of `name` in an open folder.
struct Path {
  explicit Path(int descriptor, const char* name = nullptr) {
    if (armed.path == nullptr && recorded_path == nullptr) return;
    std::size_t length = 0;
    if (name == nullptr || (name[0] != '/' && descriptor != AT_FDCWD)) {
      std::array<char, 32> link{};
      std::snprintf(link.data(), link.size(), "/proc/self/fd/%d", descriptor);
      const auto size = syscall(SYS_readlink, link.data(), text.data(), text.size() - 1);
      length = size < 0 ? 0 : static_cast<std::size_t>(size);
    }
    if (name != nullptr) std::snprintf(text.data() + length, text.size() - length, "/%s", name);
  }
  std::array<char, 4096> text{};
};

/// Whether a call on `path` that moves no bytes fails now, with errno set.
bool refused(const char* path) {
  const int before = errno;
  if (!fails(path) || armed.error == 0 || armed.error == garbled) {
    errno = before;
    return false;
  }
  errno = armed.error;
  return true;
}
bool refused(const char* name, const char* path, const char* to = nullptr) {
  note(name, path, to);
  return refused(to == nullptr ? path : to);
}
bool look_refused(int descriptor, const char* name = nullptr) {
  return armed.looks && refused(Path(descriptor, name).text.data());
}

/// What is left of `count` bytes where a call moves half of them.
size_t half(size_t count) { return std::max<size_t>(std::min<size_t>(count, 1), count / 2); }

/// How many bytes a read is to ask for now; nothing where it fails, with errno set.
std::optional<size_t> to_read(int descriptor, size_t count) {
  if (!armed.looks) return count;
  const int before = errno;
  const bool failing = fails(Path(descriptor).text.data());
  errno = failing && armed.error != 0 && armed.error != garbled ? armed.error : before;
  if (failing && armed.error == 0) return half(count);
  if (failing && armed.error != garbled) return std::nullopt;
  return count;
}

int examined(int folder, const char* path, struct stat* status, int flags) {
  return static_cast<int>(syscall(SYS_newfstatat, folder, path, status, flags));
}

int opened(int folder, const char* path, int flags, mode_t mode) {
  if (refused("open", Path(folder, path).text.data())) return -1;
  return static_cast<int>(syscall(SYS_openat, folder, path, flags, mode));
}

}  // namespace

void arm(const Failures& failures) {
  counted = failed = 0;
  armed = failures;
}
std::int64_t disarm() {
  armed.path = nullptr;
  return counted;
}
std::int64_t failed_calls() { return failed; }

void record(const char* path) {
  const std::lock_guard lock(record_mutex);
  recorded_path = path;
  if (path != nullptr) record_of_calls.clear();
}
std::vector<Call> recorded() {
  const std::lock_guard lock(record_mutex);
  return record_of_calls;
}

}  // namespace ganymede::test

using namespace ganymede::test;  // NOLINT(google-build-using-namespace)

extern "C" {

// NOLINTBEGIN(cert-dcl50-cpp, readability-inconsistent-declaration-parameter-name): libc's signatures
int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return opened(AT_FDCWD, path, flags, mode);
}
int openat(int folder, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return opened(folder, path, flags, mode);
}
// NOLINTEND(cert-dcl50-cpp, readability-inconsistent-declaration-parameter-name)

ssize_t write(int descriptor, const void* bytes, size_t count) {
  const int before = errno;
  const Path path(descriptor);
  note("write", path.text.data(), nullptr);
  const bool failing = fails(path.text.data());
  if (failing && armed.error == garbled) {
    std::vector<char> others(static_cast<const char*>(bytes), static_cast<const char*>(bytes) + count);
    if (count > 0) others[count / 2] = static_cast<char>(others[count / 2] ^ 1);
    errno = before;
    return syscall(SYS_write, descriptor, others.data(), count);
  }
  if (failing && armed.error != 0) {
    errno = armed.error;
    return -1;
  }
  errno = before;
  return syscall(SYS_write, descriptor, bytes, failing ? half(count) : count);
}
int fsync(int descriptor) {
  // No test turns off the power, and the disk is what they would wait for.
  return refused("fsync", Path(descriptor).text.data()) ? -1 : 0;
}
int fchmod(int descriptor, mode_t mode) {
  if (refused("fchmod", Path(descriptor).text.data())) return -1;
  return static_cast<int>(syscall(SYS_fchmod, descriptor, mode));
}
int close(int descriptor) {
  // A close that reports an error has closed the file.
  const bool refuse = refused("close", Path(descriptor).text.data());
  const int error = errno;
  const auto result = static_cast<int>(syscall(SYS_close, descriptor));
  if (!refuse) return result;
  errno = error;
  return -1;
}
int rename(const char* from, const char* to) noexcept {
  if (refused("rename", from, to)) return -1;
  return static_cast<int>(syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to));
}
int mkdir(const char* path, mode_t mode) noexcept {
  if (refused("mkdir", path)) return -1;
  return static_cast<int>(syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}
int unlink(const char* path) noexcept {
  if (refused("unlink", path)) return -1;
  return static_cast<int>(syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}
int remove(const char* path) noexcept {
  if (refused("unlink", path)) return -1;
  if (syscall(SYS_unlinkat, AT_FDCWD, path, 0) == 0) return 0;
  return errno != EISDIR ? -1 : static_cast<int>(syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR));
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  if (refused("unlink", Path(folder, path).text.data())) return -1;
  return static_cast<int>(syscall(SYS_unlinkat, folder, path, flags));
}

ssize_t read(int descriptor, void* bytes, size_t count) {
  const std::optional<size_t> most = to_read(descriptor, count);
  return most ? syscall(SYS_read, descriptor, bytes, *most) : -1;
}
ssize_t pread(int descriptor, void* bytes, size_t count, off_t from) {
  const std::optional<size_t> most = to_read(descriptor, count);
  return most ? syscall(SYS_pread64, descriptor, bytes, *most, from) : -1;
}
int stat(const char* path, struct stat* status) noexcept {
  return look_refused(AT_FDCWD, path) ? -1 : examined(AT_FDCWD, path, status, 0);
}
int lstat(const char* path, struct stat* status) noexcept {
  return look_refused(AT_FDCWD, path) ? -1 : examined(AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW);
}
int fstat(int descriptor, struct stat* status) noexcept {
  return look_refused(descriptor) ? -1 : examined(descriptor, "", status, AT_EMPTY_PATH);
}
ssize_t readlink(const char* path, char* text, size_t size) noexcept {
  return look_refused(AT_FDCWD, path) ? -1 : syscall(SYS_readlinkat, AT_FDCWD, path, text, size);
}
dirent* readdir(DIR* folder) {
  static const auto next = reinterpret_cast<dirent* (*)(DIR*)>(::dlsym(RTLD_NEXT, "readdir"));
  return look_refused(::dirfd(folder)) ? nullptr : next(folder);
}

}  // extern "C"
