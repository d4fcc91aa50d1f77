// See run_lock.hpp.
#include "train/run_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <optional>
#include <string_view>
#include <thread>

#include "core/files.hpp"
#include "core/json.hpp"
#include "core/numbers.hpp"
#include "ganymede/communicator.hpp"
#include "ganymede/error.hpp"

namespace ganymede {
namespace {

constexpr std::string_view generation_field = ", generation ";
constexpr std::size_t most_bytes = 512;
constexpr int most_attempts = 3;

// "2026-01-31 12:00:00 UTC".
std::string time_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &utc);
  return text;
}

// Null where it cannot be read, with errno set: that says nothing of who holds the folder.
std::optional<std::string> first_line(int file) {
  std::array<char, most_bytes> text{};
  ssize_t count = 0;
  do {
    count = ::pread(file, text.data(), text.size(), 0);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return std::nullopt;
  const std::string_view bytes(text.data(), static_cast<std::size_t>(count));
  return std::string(bytes.substr(0, bytes.find('\n')));
}

// 0 where the line names none.
std::uint64_t generation_of(const std::string& line) {
  const std::size_t at = line.rfind(generation_field);
  return at == std::string::npos ? 0 : leading_number(line.substr(at + generation_field.size()));
}

}  // namespace

RunLock::RunLock(const RunFolder& folder) : name_(folder.lock()) {
  file_ = ::open(name_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file_ < 0) throw Error(ExitCode::data, name_.string() + ": cannot be opened: " + std::strerror(errno));
  const auto give_up = [&](const std::string& what) {
    ::close(file_);
    throw Error(ExitCode::data, what);
  };
  int refusals = 0;
  while (::flock(file_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    // Whoever asks is_in_use() has it for an instant.
    if (errno == EWOULDBLOCK && ++refusals < most_attempts) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      continue;
    }
    if (errno != EWOULDBLOCK) {
      warning_ = name_.string() + " cannot be locked (" + std::strerror(errno) +
                 "): take care that no other training writes to this run's folder";
      break;
    }
    const std::string holder = first_line(file_).value_or("");
    give_up("--out " + folder.root().string() + " is in use by " +
            (holder.empty() ? "another training" : printable(holder)) +
            ": wait for it to end, or choose another folder");
  }
  const std::optional<std::string> before = first_line(file_);
  if (!before) give_up(name_.string() + ": cannot be read: " + std::strerror(errno));
  generation_ = generation_of(*before) + 1;
  line_ = "process " + std::to_string(::getpid()) + " on " + host_name() + " since " + time_now() +
          std::string(generation_field) + std::to_string(generation_);
  // The line first and then the end of the file: a reader meets a whole line.
  const std::string text = line_ + "\n";
  if (::pwrite(file_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()) ||
      ::ftruncate(file_, static_cast<off_t>(text.size())) != 0 || ::fsync(file_) != 0)
    give_up(name_.string() + ": cannot be written: " + std::strerror(errno));
}

RunLock::~RunLock() { ::close(file_); }

void RunLock::check() const {
  std::optional<std::string> now;
  int reason = 0;
  // A file server that was away, or has another file under that name since it was opened (ESTALE), is asked again.
  for (int attempt = 0; attempt < most_attempts && !now; ++attempt) {
    // Opened anew: another host's change is seen then, and another file under that name.
    const int file = ::open(name_.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0 && errno == ENOENT) return;  // whoever takes a folder makes one
    if (file >= 0) now = first_line(file);
    reason = errno;
    if (file >= 0) ::close(file);
  }
  if (!now) throw Error(ExitCode::data, name_.string() + ": cannot be read: " + std::strerror(reason));
  if (*now == line_) return;
  throw Error(ExitCode::data, "the run's folder was taken over by " +
                                  (now->empty() ? "another training" : printable(*now)) +
                                  ", as this one was out of its reach: nothing more is written to it");
}

void RunLock::put(const std::filesystem::path& file, std::string_view bytes, const std::function<void()>& first) const {
  try {
    write_file_atomically(file, bytes, [&] {
      if (first) first();
      check();
    });
  } catch (const Error&) {
    check();  // what was being written is gone: that is the reason then
    throw;
  }
}

bool is_in_use(const RunFolder& folder) {
  const int file = ::open(folder.lock().c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno != ENOENT;
  int refused = 0;
  do {
    refused = ::flock(file, LOCK_SH | LOCK_NB);
  } while (refused != 0 && errno == EINTR);
  ::close(file);
  return refused != 0;
}

}  // namespace ganymede
