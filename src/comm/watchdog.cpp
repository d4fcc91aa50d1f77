// The watching, the talk between watchdogs, and the end.
//
// A watchdog whose rank has completed nothing for the deadline asks all others where they are. Everyone who still can
// answers. To look for questions is a call of MPI, which is left where nobody can have one: while steps follow each
// other faster than the deadline. When a rank that others wait for gets on, they go on waiting. Otherwise the lowest
// rank that answers speaks, and tells the others that it has, and the job ends. Whoever is cut off from it hears
// nothing and speaks as well: for those with which it is cut off.
#include "comm/watchdog.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <map>
#include <optional>
#include <type_traits>

#include "comm/end_process.hpp"
#include "comm/siblings.hpp"
#include "core/files.hpp"
#include "core/numbers.hpp"
#include "core/quantile.hpp"
#include "core/thread_without_signals.hpp"

namespace ganymede::comm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double steps_of_deadline = 100;
constexpr std::size_t step_times = 31;  // of which the median is taken
constexpr std::size_t enough_step_times = 5;
constexpr auto tick = std::chrono::milliseconds(100);
constexpr double answers_take = 1.5;    // seconds for all of them
constexpr double arrives = 0.1;         // seconds for a rank that has come at last to set the others going
constexpr double another_speaks = 1.0;  // seconds for a lower rank to do so
constexpr double words_arrive = 0.3;    // seconds for what a rank says before it ends the job to reach the terminal
constexpr double letters_leave = 0.1;   // seconds for what is sent to be on its way
constexpr unsigned last_seconds = 4;    // after which the process is ended, whatever still hangs
constexpr unsigned daemon_seconds = 2;  // for Open MPI's daemon to end the host's ranks and itself

std::atomic<Watchdog*> the_watchdog = nullptr;

double since(Clock::time_point then) { return std::chrono::duration<double>(Clock::now() - then).count(); }

void sleep(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

std::string shown(double seconds) { return formatted(seconds < 10 ? "%.3g s" : "%.0f s", seconds); }

// Whether a write to what this process prints to would have to wait for a reader.
bool output_is_full() {
  const auto is_full = [](int file) {
    pollfd output{file, POLLOUT, 0};
    return ::poll(&output, 1, 0) == 0;
  };
  return is_full(STDOUT_FILENO) || is_full(STDERR_FILENO);
}

// A process whose end nobody has asked for yet is at its end too.
bool ends_within(std::uint64_t process, double seconds) {
  const Clock::time_point began = Clock::now();
  while (since(began) < seconds) {
    const char state = process_state(process);
    if (state == 'X' || state == 'Z') return true;
    sleep(0.02);
  }
  return false;
}

[[noreturn]] void end_in_silence() {
  flush_output();
  ::_exit(static_cast<int>(ExitCode::rank_lost));
}

static_assert(std::is_trivially_copyable_v<Reading>);

// In a message: of which rank the reading is.
struct Sent {
  std::uint64_t rank;
  Reading reading;
};

constexpr char question = '?';
constexpr char reply = '!';
constexpr char verdict = '#';  // for the one who speaks
constexpr char said = '.';     // the diagnosis is on the terminal

}  // namespace

struct Watchdog::Host {
  struct Seat {
    Pulse pulse;
    std::atomic<std::uint64_t> rank;
  };
  std::atomic<std::uint64_t> spoken;  // the diagnosis is on the terminal

  [[nodiscard]] Seat& seat(int node_rank) { return reinterpret_cast<Seat*>(this + 1)[node_rank]; }
  static std::size_t bytes(int ranks) { return sizeof(Host) + static_cast<std::size_t>(ranks) * sizeof(Seat); }
};

Watchdog::Watchdog(double seconds, std::function<bool()> stopping, std::string consolation)
    : stopping_(std::move(stopping)),
      consolation_(std::move(consolation)),
      hosts_{host_name()},
      asked_seconds_(seconds),
      deadline_(seconds > 0 ? seconds : least_deadline) {
  thread_ = thread_without_signals([this] { watch(); });
  the_watchdog = this;
}

Watchdog::~Watchdog() {
  the_watchdog = nullptr;
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  over_changed_.notify_one();
  thread_.join();
}

Watchdog* Watchdog::current() { return the_watchdog; }

double Watchdog::default_deadline(double step_time) { return std::max(least_deadline, steps_of_deadline * step_time); }

std::string Watchdog::rule(double seconds) {
  return "ends the job when nothing is completed for " +
         (seconds > 0 ? shown(seconds) : shown(least_deadline) + ", or for as long as 100 steps take");
}

void Watchdog::attach(Communicator& ranks) {
  std::shared_ptr<void> memory = ranks.node_shared(Host::bytes(ranks.node_size()));
  std::vector<std::string> hosts = ranks.all_gather(host_name());
  std::unique_ptr<Mailbox> mailbox = ranks.make_mailbox();
  auto* host = static_cast<Host*>(memory.get());
  if (host != nullptr) {
    Host::Seat& own = host->seat(ranks.node_rank());
    own.rank = static_cast<std::uint64_t>(ranks.rank());
    heartbeat::keep_in(&own.pulse);
  }
  ranks.node_barrier();
  const std::lock_guard lock(mutex_);
  ranks_ = &ranks;
  mailbox_ = std::move(mailbox);
  host_memory_ = std::move(memory);
  hosts_ = std::move(hosts);
  rank_ = static_cast<std::size_t>(ranks.rank());
  for (int other = 0; host != nullptr && other < ranks.node_size(); ++other) {
    if (other == ranks.node_rank()) continue;
    const Host::Seat& seat = host->seat(other);
    // In another container the same number is another process.
    mates_.push_back({static_cast<std::size_t>(seat.rank.load()), &seat.pulse,
                      seat.pulse.process_names.load() == heartbeat::pulse().process_names.load()});
  }
}

void Watchdog::detach() {
  const std::lock_guard lock(mutex_);
  mates_.clear();
  hosts_ = {host_name()};
  mailbox_.reset();
  heartbeat::keep_in(nullptr);
  host_memory_.reset();
  ranks_ = nullptr;
}

void Watchdog::expect(double seconds, const std::filesystem::path& log) {
  const std::lock_guard lock(mutex_);
  asked_seconds_ = seconds;
  deadline_ = seconds > 0 ? seconds : least_deadline;
  log_ = log;
}

void Watchdog::watch() {
  Clock::time_point before = Clock::now();
  while (true) {
    std::unique_lock lock(mutex_);
    if (over_changed_.wait_for(lock, tick, [&] { return over_; })) return;
    const Clock::time_point now = Clock::now();
    // A process that was stopped together with all others, or a machine that slept, has lost no time.
    look(
        std::min(std::chrono::duration<double>(now - before).count(), 3 * std::chrono::duration<double>(tick).count()));
    before = now;
  }
}

void Watchdog::look(double elapsed) {
  clock_ += elapsed;
  stopping_for_ = stopping_() ? stopping_for_ + elapsed : 0;
  const Reading now = read(heartbeat::pulse());
  const std::uint64_t beats = heartbeat::pulse().beats.load(std::memory_order_relaxed);
  idle_ = beats == beats_ ? idle_ + elapsed : 0;
  if (beats != beats_) patience_ = 0;
  beats_ = beats;
  learn_step_time(now, elapsed);
  notice_deaths();
  if (mailbox_ != nullptr && !nobody_asks(now)) answer();
  // In time: at the deadline one of them may have spoken already, and be gone.
  if (ranks_ == nullptr && launched_ranks() > 1 && siblings_.empty() && idle_ >= deadline_ / 2)
    siblings_ = sibling_ranks();
  if (idle_ >= std::max(deadline_, patience_)) inquire();
}

// Who asks has waited for the deadline, in one step. Meanwhile this rank cannot have begun more than `steps_apart`
// others: that its kernels get on says nothing, as one long step has many.
bool Watchdog::nobody_asks(const Reading& now) {
  if (now.stage != stages::steps) {
    newest_step_ = 0;
    return false;
  }
  if (newest_step_ == 0) step_begins_ = {};
  if (newest_step_ != now.step) {
    std::rotate(step_begins_.begin(), step_begins_.end() - 1, step_begins_.end());
    step_begins_.front() = Clock::now();
    newest_step_ = now.step;
  }
  const Clock::time_point oldest = step_begins_.back();
  return oldest != Clock::time_point() && since(oldest) < deadline_ / 2;
}

void Watchdog::learn_step_time(const Reading& now, double elapsed) {
  const bool in_steps = now.stage == stages::steps;
  if (!in_steps || step_ == 0 || now.step < step_) {
    // Whatever else is done between steps is not theirs.
    step_ = in_steps ? now.step : 0;
    step_began_ = clock_;
    return;
  }
  if (now.step == step_) return;
  const double time = std::max(clock_ - step_began_, elapsed) / static_cast<double>(now.step - step_);
  step_ = now.step;
  step_began_ = clock_;
  if (asked_seconds_ > 0) return;
  const bool new_one = step_times_.size() < step_times;
  if (new_one)
    step_times_.push_back(time);
  else
    step_times_[next_time_++ % step_times] = time;
  if (step_times_.size() < enough_step_times) return;
  const double step_time = median(step_times_);
  deadline_ = default_deadline(step_time);
  if (new_one && step_times_.size() == enough_step_times)
    log("info", "watchdog: a step takes " + shown(step_time) +
                    " (median), so the job ends when nothing is completed for " + shown(deadline_));
}

Reading Watchdog::own_reading() const {
  Reading reading = read(heartbeat::pulse());
  reading.answered = true;
  reading.idle = idle_;
  // A training prints by a thread of its own, and waits for that in this stage alone.
  const bool may_wait = log_.empty() || reading.stage == stages::output;
  reading.unread = may_wait && output_is_full();
  reading.state = process_state(static_cast<std::uint64_t>(::getpid()));
  return reading;
}

// What this rank is at, and what its host's memory shows of the others there.
std::string Watchdog::message(char kind) const {
  std::string text(1, kind);
  const auto add = [&](std::size_t rank, const Reading& reading) {
    const Sent sent{rank, reading};
    text.append(reinterpret_cast<const char*>(&sent), sizeof sent);
  };
  add(rank_, own_reading());
  for (const Mate& mate : mates_) {
    Reading reading = read(*mate.pulse);
    reading.state = mate.is_visible ? process_state(reading.process) : '?';
    add(mate.rank, reading);
  }
  return text;
}

// What a rank says of itself counts more than what others see of it.
void Watchdog::merge(const std::string& text, std::size_t from, std::vector<Reading>& all) const {
  for (std::size_t at = 1; at + sizeof(Sent) <= text.size(); at += sizeof(Sent)) {
    Sent sent{};
    std::memcpy(static_cast<void*>(&sent), text.data() + at, sizeof sent);
    if (sent.rank >= all.size()) continue;
    Reading& known = all[sent.rank];
    if (sent.rank == from || !known.answered) known = sent.reading;
  }
}

void Watchdog::answer() {
  while (const std::optional<Mailbox::Letter> letter = mailbox_->receive()) {
    if (letter->text.starts_with(question)) {
      mailbox_->send(letter->from, message(reply));
      const Reading own = own_reading();
      log("warning", "watchdog: rank " + std::to_string(letter->from) + " asks where the others are; this rank: " +
                         place(own) + (own.waiting.empty() ? "" : ", waiting in " + own.waiting.text()) + ", since " +
                         std::to_string(std::lround(own.idle)) + " s");
    }
    heed(letter->text);
  }
}

// A letter after which the job ends; any other: nothing.
void Watchdog::heed(const std::string& letter) {
  if (letter.starts_with(verdict)) end(letter.substr(1));
  if (letter.starts_with(said)) end(letter.substr(1), Voice::another);
}

void Watchdog::inquire() {
  if (ranks_ == nullptr && launched_ranks() > 1) give_up_apart();
  const std::size_t size = hosts_.size();
  std::vector<Reading> all(size);
  merge(message(reply), rank_, all);
  if (mailbox_ != nullptr) {
    const std::string ours = message(question);
    for (std::size_t other = 0; other < size; ++other)
      if (other != rank_) mailbox_->send(static_cast<int>(other), ours);
    const Clock::time_point began = Clock::now();
    const auto all_answered = [&] { return std::all_of(all.begin(), all.end(), [](auto& r) { return r.answered; }); };
    while (!all_answered() && since(began) < answers_take) {
      const std::optional<Mailbox::Letter> letter = mailbox_->receive();
      if (!letter) {
        sleep(0.002);
        continue;
      }
      heed(letter->text);
      merge(letter->text, static_cast<std::size_t>(letter->from), all);
      if (letter->text.starts_with(question)) mailbox_->send(letter->from, message(reply));
    }
  }
  const auto busy = std::find_if(all.begin(), all.end(), [&](const Reading& rank) { return gets_on(rank, deadline_); });
  if (busy != all.end()) {
    const auto rank = static_cast<std::size_t>(busy - all.begin());
    log("info", "watchdog: waiting on for rank " + std::to_string(rank) + " on " + hosts_[rank] +
                    (busy->unread ? ", whose output nobody reads: " : ", which gets on: ") + place(*busy));
    patience_ = idle_ + std::max(1.0, deadline_ / 4);
    return;
  }
  if (mailbox_ != nullptr) {
    sleep(arrives);
    if (heartbeat::pulse().beats.load(std::memory_order_relaxed) != beats_) return;
  }
  const auto lowest = std::find_if(all.begin(), all.end(), [](const Reading& rank) { return rank.answered; });
  give_up(diagnose(all, hosts_), static_cast<std::size_t>(lowest - all.begin()));
}

void Watchdog::give_up(const Diagnosis& diagnosis, std::size_t speaker) {
  end_process_after(last_seconds, ExitCode::rank_lost);
  const std::string sentence =
      "nothing was completed for " + std::to_string(std::lround(idle_)) + " s: " + diagnosis.summary;
  for (const std::string& line : diagnosis.details) log("error", "watchdog: " + line);
  if (speaker != rank_) {
    mailbox_->send(static_cast<int>(speaker), verdict + sentence);
    const Clock::time_point began = Clock::now();
    while (since(began) < another_speaks) {
      if (const std::optional<Mailbox::Letter> letter = mailbox_->receive(); letter && letter->text.starts_with(said))
        end(sentence, Voice::another);
      sleep(0.002);
    }
  }
  end(sentence);
}

// While the ranks meet, or part, nobody can be asked: what this host shows of its own must do.
void Watchdog::give_up_apart() {
  for (const auto& [rank, process] : sibling_ranks()) siblings_[rank] = process;
  Reading other = read(heartbeat::pulse());
  other.answered = true;
  other.idle = idle_;
  other.waiting = "MPI's start or end";
  std::vector<Reading> all(static_cast<std::size_t>(launched_ranks()), other);
  int speaker = launched_rank();
  bool found = false;
  for (const auto& [rank, process] : siblings_) {
    if (rank < 0 || rank >= launched_ranks()) continue;
    Reading& sibling = all[static_cast<std::size_t>(rank)];
    sibling.process = process;
    sibling.state = process_state(process);
    sibling.answered = sibling.state != 'T' && sibling.state != 't';
    found = found || !sibling.answered;
    if (sibling.answered) speaker = std::min(speaker, rank);
  }
  const std::string idle = "nothing was completed for " + std::to_string(std::lround(idle_)) + " s: ";
  // One of this host speaks; should it not, the next does. The host that shows the one to blame speaks before the
  // others, of which each may be the first.
  if (speaker != launched_rank() && ends_within(siblings_.at(speaker), another_speaks * (found ? 3 : 4)))
    end_in_silence();
  if (found) end(idle + diagnose(all, std::vector<std::string>(all.size(), host_name())).summary);
  sleep(another_speaks + 0.1 * std::min(launched_rank(), 10));
  end(idle + "in " + place(other) + ", rank " + std::to_string(launched_rank()) + " on " + host_name() +
      " waits for the others, of which one has not come or is out of reach");
}

void Watchdog::notice_deaths() {
  for (Mate& mate : mates_) {
    if (!mate.is_visible || ::kill(static_cast<pid_t>(mate.pulse->process.load()), 0) == 0 || errno != ESRCH) continue;
    mate.is_visible = false;
    // It has said why itself; or a launcher that was told to end the job kills what has not ended.
    if (mate.pulse->leaving.load() != 0 || stopping_for_ > 0.5) continue;
    const Reading last = read(*mate.pulse);
    end("rank " + std::to_string(mate.rank) + " on " + host_name() + " died in " + place(last) + " (process " +
        std::to_string(last.process) + "), killed by a signal or the system");
  }
}

void Watchdog::end(const std::string& sentence, Voice voice) {
  end_process_after(last_seconds, ExitCode::rank_lost);
  heartbeat::leave();
  auto* host = static_cast<Host*>(host_memory_.get());
  const bool first = voice == Voice::own && (host == nullptr || host->spoken.exchange(1) == 0);
  const std::string whole = sentence + ". " + consolation_;
  if (first)
    write_out(STDERR_FILENO, (::isatty(STDOUT_FILENO) != 0 && ::isatty(STDERR_FILENO) != 0 ? "\n" : "") +
                                 ("ganymede: " + whole) + "\n");
  log("error", whole);
  if (first)
    tell_others(said + sentence);
  else
    sleep(words_arrive);
  log_lines_.idle_within(words_arrive);
  end_cut_off_daemon_after(daemon_seconds);
  if (ranks_ != nullptr) ranks_->abort(ExitCode::rank_lost);
  end_in_silence();
}

void Watchdog::tell_others(const std::string& letter) {
  if (mailbox_ == nullptr) return;
  for (std::size_t other = 0; other < hosts_.size(); ++other)
    if (other != rank_) mailbox_->send(static_cast<int>(other), letter);
  const Clock::time_point began = Clock::now();
  while (since(began) < letters_leave) {
    (void)mailbox_->receive();
    sleep(0.002);
  }
}

// By a thread of its own: the disk may be what hangs.
void Watchdog::log(const char* level, const std::string& line) {
  if (log_.empty()) return;
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
  log_lines_.add([name = log_, whole = text + line + "\n"] {
    const int file = ::open(name.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    if (file < 0) return;
    write_out(file, whole);
    ::close(file);
  });
}

}  // namespace ganymede::comm
