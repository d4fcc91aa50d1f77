// Shared memory through mapped files.
#include "comm/node_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <random>

namespace ganymede::comm {
namespace {

constexpr std::size_t alignment = 64;

class File {
 public:
  File(const std::filesystem::path& name, int flags)
      : descriptor_(open(name.c_str(), flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR)) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (is_open()) close(descriptor_);
  }
  [[nodiscard]] bool is_open() const { return descriptor_ >= 0; }
  [[nodiscard]] int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

/// Whether `bytes` seem to fit: reserving more than there is could fill a file system before it fails, and
/// beyond the limit on file sizes it would raise SIGXFSZ.
bool may_fit(const std::filesystem::path& folder, std::size_t bytes) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && bytes > limit.rlim_cur) return false;
  struct statvfs space = {};
  if (statvfs(folder.c_str(), &space) != 0) return false;
  if (space.f_blocks == 0) return true;  // a tmpfs without a limit
  return bytes / space.f_frsize < space.f_bavail;
}

bool reserve(int descriptor, std::size_t bytes) {
  if (bytes > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) return false;
  int failure = EINTR;
  while (failure == EINTR) failure = posix_fallocate(descriptor, 0, static_cast<off_t>(bytes));
  return failure == 0;
}

std::string unique_name() {
  static std::atomic<unsigned> counter = 0;
  std::random_device random;
  return "ganymede-" + std::to_string(getpid()) + "-" + std::to_string(counter++) + "-" + std::to_string(random());
}

}  // namespace

std::shared_ptr<void> private_memory(std::size_t bytes) {
  const std::size_t rounded = std::max((bytes + alignment - 1) / alignment, std::size_t{1}) * alignment;
  void* memory = rounded < bytes ? nullptr : std::aligned_alloc(alignment, rounded);
  if (memory == nullptr) throw std::bad_alloc();
  std::memset(memory, 0, rounded);
  return {memory, std::free};
}

std::vector<std::filesystem::path> shared_memory_folders() {
  std::vector<std::filesystem::path> folders = {"/dev/shm"};
  if (const char* temporary = std::getenv("TMPDIR"); temporary != nullptr && *temporary != '\0') {
    folders.emplace_back(temporary);
  }
  folders.emplace_back("/tmp");
  return folders;
}

std::filesystem::path create_shared_file(const std::vector<std::filesystem::path>& folders, std::size_t bytes) {
  for (const auto& folder : folders) {
    if (!may_fit(folder, bytes)) continue;
    std::filesystem::path name = folder / unique_name();
    const File file(name, O_CREAT | O_EXCL);
    if (!file.is_open()) continue;
    if (reserve(file.descriptor(), std::max(bytes, std::size_t{1}))) return name;
    unlink(name.c_str());
  }
  return {};
}

std::shared_ptr<void> map_shared_file(const std::filesystem::path& name, std::size_t bytes) {
  const File file(name, 0);
  struct stat status = {};
  if (!file.is_open() || fstat(file.descriptor(), &status) != 0) return nullptr;
  const std::size_t length = std::max(bytes, std::size_t{1});
  if (status.st_uid != geteuid() || static_cast<std::uint64_t>(status.st_size) < length) return nullptr;
  // Populated now, so that no training step pays for page faults.
  void* memory = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file.descriptor(), 0);
  if (memory == MAP_FAILED) return nullptr;
  return {memory, [length](void* mapped) { munmap(mapped, length); }};
}

}  // namespace ganymede::comm
