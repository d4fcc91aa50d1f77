// See run_lock.hpp.
#include "train/run_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/json.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/error.hpp"

namespace ganymede {

RunLock::RunLock(const RunFolder& folder) {
  const std::filesystem::path file = folder.lock();
  file_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file_ < 0) throw Error(ExitCode::data, file.string() + ": cannot be opened: " + std::strerror(errno));
  const auto give_up = [&](ExitCode code, const std::string& what) {
    ::close(file_);
    throw Error(code, what);
  };
  while (::flock(file_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) {
      warning_ = file.string() + " cannot be locked (" + std::strerror(errno) +
                 "): take care that no other training writes to this run's folder";
      return;
    }
    char text[256] = {};
    const ssize_t count = ::pread(file_, text, sizeof text - 1, 0);
    const std::string_view holder = std::string_view(text).substr(0, std::string_view(text).find('\n'));
    give_up(ExitCode::usage, "--out " + folder.root().string() + " is in use by " +
                                 (count > 0 ? printable(holder) : "another training") +
                                 ": wait for it to end, or choose another folder");
  }
  // The line first and then the end of the file: a reader meets a whole line.
  const std::string line = "process " + std::to_string(::getpid()) + " on " + host_name() + "\n";
  if (::pwrite(file_, line.data(), line.size(), 0) != static_cast<ssize_t>(line.size()) ||
      ::ftruncate(file_, static_cast<off_t>(line.size())) != 0)
    give_up(ExitCode::data, file.string() + ": cannot be written: " + std::strerror(errno));
}

RunLock::~RunLock() { ::close(file_); }

}  // namespace ganymede
