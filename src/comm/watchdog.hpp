// A thread that sees when the job no longer gets on, says who holds it up, and ends it. It reads this process's
// heartbeat and talks to the other ranks' watchdogs; as long as steps follow each other so fast that none of those can
// have a question, it calls nothing of MPI.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "comm/diagnosis.hpp"
#include "core/serial_executor.hpp"
#include "ganymede/communicator.hpp"

namespace ganymede::comm {

class Watchdog {
 public:
  /// From the start of the process on, before there are ranks to talk to. `seconds`: see expect(). `stopping` says
  /// whether this process was asked to end; processes that go then are no news. `consolation`, a sentence without its
  /// stop, ends what is said when the job is ended.
  Watchdog(double seconds, std::function<bool()> stopping, std::string consolation);
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog();

  /// The process's; null where there is none.
  static Watchdog* current();

  /// From now on with the others. `ranks` must stay until detach(). Collective.
  void attach(Communicator& ranks);
  /// From now on alone again: the ranks are about to part.
  void detach();

  /// The job is to end when nothing is completed for so many seconds; 0: for least_deadline, or as long as 100
  /// steps take (the median), whichever is longer. What happens also goes to the end of `log`, unless that is empty.
  void expect(double seconds, const std::filesystem::path& log);

  /// Until steps have been measured, the deadline where none was asked for, in seconds.
  static constexpr double least_deadline = 60;
  /// Where none was asked for, by the median time of a step, in seconds.
  static double default_deadline(double step_time);
  /// What expect(seconds) means, in words.
  static std::string rule(double seconds);

 private:
  // That ranks may be from each other: the step that one waits in, and those that another has begun to work at and
  // that its device has not done yet.
  static constexpr std::size_t steps_apart = 3;

  struct Host;  // memory of the ranks that share this one's
  struct Mate {
    std::size_t rank = 0;
    const Pulse* pulse = nullptr;
    bool is_visible = false;  // its process, by its number
  };
  enum class Voice { own, another };  // who says on the terminal why the job ends

  void watch();
  void look(double elapsed);
  /// Whether steps follow each other so fast that no other rank can have waited for this one for the deadline.
  [[nodiscard]] bool nobody_asks(const Reading& now);
  void learn_step_time(const Reading& now, double elapsed);
  void answer();
  void heed(const std::string& letter);
  void inquire();
  [[noreturn]] void give_up_apart();
  void notice_deaths();
  [[nodiscard]] Reading own_reading() const;
  [[nodiscard]] std::string message(char kind) const;
  void merge(const std::string& text, std::size_t from, std::vector<Reading>& all) const;
  /// `speaker`: the rank that says it.
  [[noreturn]] void give_up(const Diagnosis& diagnosis, std::size_t speaker);
  [[noreturn]] void end(const std::string& sentence, Voice voice = Voice::own);
  void tell_others(const std::string& letter);
  void log(const char* level, const std::string& line);

  std::function<bool()> stopping_;
  const std::string consolation_;
  std::mutex mutex_;  // of all below
  Communicator* ranks_ = nullptr;
  std::unique_ptr<Mailbox> mailbox_;
  std::shared_ptr<void> host_memory_;
  std::vector<Mate> mates_;
  std::map<int, std::uint64_t> siblings_;  // before the ranks have met: comm/siblings.hpp
  std::vector<std::string> hosts_;
  std::size_t rank_ = 0;
  std::filesystem::path log_;
  SerialExecutor log_lines_;
  double asked_seconds_;
  double deadline_;
  double idle_ = 0;      // since the last beat
  double patience_ = 0;  // idle_ at which to inquire again, where somebody got on
  double stopping_for_ = 0;
  std::uint64_t beats_ = 0;
  std::uint64_t step_ = 0;
  double step_began_ = 0;  // seconds of clock_ at the last change of step_
  double clock_ = 0;
  // When the last steps began, the newest first, by a clock that also counts while this process is stopped.
  std::array<std::chrono::steady_clock::time_point, steps_apart + 1> step_begins_{};
  std::uint64_t newest_step_ = 0;
  std::vector<double> step_times_;
  std::size_t next_time_ = 0;
  bool over_ = false;
  std::condition_variable over_changed_;
  std::thread thread_;
};

}  // namespace ganymede::comm
