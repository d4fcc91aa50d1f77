// The thread begins with the first line: most trainings have none to write.
#include "comm/watchdog_log.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <ctime>
#include <deque>
#include <mutex>
#include <system_error>
#include <utility>

#include "comm/end_process.hpp"

namespace ganymede::comm {
namespace {

constexpr double last_lines_take = 0.3;  // seconds

// As spdlog writes it: report/run_log.hpp.
std::string stamped(const char* level, const std::string& line) {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm local{};
  ::localtime_r(&seconds, &local);
  char time[48];
  char text[64];
  std::strftime(time, sizeof time, "%Y-%m-%d %H:%M:%S", &local);
  std::snprintf(text, sizeof text, "%s.%03d %s ", time, static_cast<int>(milliseconds), level);
  return text + line + "\n";
}

}  // namespace

struct WatchdogLog::Lines {
  using Line = std::pair<std::filesystem::path, std::string>;
  std::mutex mutex;  // of all below
  std::condition_variable changed;
  std::deque<Line> waiting;  // the first of them is being written
  bool over = false;
};

WatchdogLog::WatchdogLog() : lines_(std::make_shared<Lines>()) {}

WatchdogLog::~WatchdogLog() {
  if (!thread_.joinable()) return;
  const bool written = written_within(last_lines_take);
  {
    const std::lock_guard lock(lines_->mutex);
    lines_->over = true;
  }
  lines_->changed.notify_all();
  if (written)
    thread_.join();
  else
    thread_.detach();
}

void WatchdogLog::keep_in(const std::filesystem::path& file) { file_ = file; }

void WatchdogLog::add(const char* level, const std::string& line) {
  if (file_.empty()) return;
  if (!thread_.joinable()) {
    // Signals are for the thread that works.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    try {
      thread_ = std::thread(write, lines_);
    } catch (const std::system_error&) {
      // Where no thread can be had lines are lost, and not the job.
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (!thread_.joinable()) return;
  }
  {
    const std::lock_guard lock(lines_->mutex);
    lines_->waiting.emplace_back(file_, stamped(level, line));
  }
  lines_->changed.notify_all();
}

bool WatchdogLog::written_within(double seconds) {
  std::unique_lock lock(lines_->mutex);
  return lines_->changed.wait_for(lock, std::chrono::duration<double>(seconds),
                                  [&] { return lines_->waiting.empty(); });
}

void WatchdogLog::write(const std::shared_ptr<Lines>& lines) {
  std::unique_lock lock(lines->mutex);
  while (true) {
    lines->changed.wait(lock, [&] { return lines->over || !lines->waiting.empty(); });
    if (lines->over) return;
    const Lines::Line line = lines->waiting.front();
    lock.unlock();
    if (const int file = ::open(line.first.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC); file >= 0) {
      write_out(file, line.second);
      ::close(file);
    }
    lock.lock();
    lines->waiting.pop_front();
    lines->changed.notify_all();
  }
}

}  // namespace ganymede::comm
