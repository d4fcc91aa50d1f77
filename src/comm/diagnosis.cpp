// Who holds the others up, in words.
#include "comm/diagnosis.hpp"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <fstream>

#include "core/names.hpp"

namespace ganymede::comm {
namespace {

std::string seconds(double value) { return std::to_string(std::lround(value)) + " s"; }

std::string on_host(std::size_t rank, const std::vector<std::string>& hosts) {
  return "rank " + std::to_string(rank) + " on " + hosts[rank];
}

// "rank 3", "ranks 0, 2 and 5", "62 ranks".
std::string named(const std::vector<std::size_t>& ranks) {
  constexpr std::size_t most = 8;
  if (ranks.size() > most) return std::to_string(ranks.size()) + " ranks";
  std::vector<std::string> numbers;
  for (const std::size_t rank : ranks) numbers.push_back(std::to_string(rank));
  return (ranks.size() == 1 ? "rank " : "ranks ") + every(numbers);
}

std::string why_silent(const Reading& rank) {
  const std::string process = "process " + std::to_string(rank.process);
  switch (rank.state) {
    case 'T':
    case 't':
      return "it is stopped (SIGSTOP or a debugger; " + process + ")";
    case 'X':
    case 'Z':
      return "it is dead (" + process + ")";
    default:
      return "it does not answer, as it is stopped, dead or cut off";
  }
}

std::string why_at_work(const Reading& rank) {
  return (rank.state == 'D' ? "it waits for a disk or a file system, since " : "it is at work there, since ") +
         seconds(rank.idle);
}

}  // namespace

Reading read(const Pulse& pulse) {
  Reading reading;
  reading.known = true;
  reading.step = pulse.step.load(std::memory_order_relaxed);
  reading.stage = Pulse::load(pulse.stage);
  reading.phase = Pulse::load(pulse.phase);
  reading.waiting = Pulse::load(pulse.waiting);
  reading.process = pulse.process.load(std::memory_order_relaxed);
  return reading;
}

std::string place(const Reading& rank) {
  const std::string step = std::to_string(rank.step);
  const std::string phase = rank.phase.empty() ? "" : ", " + rank.phase.text();
  if (rank.stage == stages::steps) return "step " + step + phase;
  if (rank.stage == stages::first_step) return "its first step, step " + step + phase;
  return rank.stage.text() + (rank.step > 0 ? " after step " + step : "") + phase;
}

char process_state(std::uint64_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string text;
  if (!std::getline(file, text)) return ::kill(static_cast<pid_t>(process), 0) != 0 && errno == ESRCH ? 'X' : '?';
  // The program's name stands in parentheses and may hold any character.
  const std::size_t name_end = text.rfind(") ");
  return name_end == std::string::npos || name_end + 2 >= text.size() ? '?' : text[name_end + 2];
}

bool gets_on(const Reading& rank, double deadline) {
  return rank.answered && rank.waiting.empty() && (rank.idle < deadline || rank.unread);
}

Diagnosis diagnose(const std::vector<Reading>& ranks, const std::vector<std::string>& hosts) {
  Diagnosis result;
  std::vector<std::size_t> silent;
  std::vector<std::size_t> at_work;
  std::vector<std::size_t> waiting;
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    const Reading& rank = ranks[r];
    (!rank.answered ? silent : rank.waiting.empty() ? at_work : waiting).push_back(r);
    std::string line = on_host(r, hosts) + ": ";
    if (rank.known) line += place(rank) + ": ";
    line += !rank.answered         ? why_silent(rank)
            : rank.waiting.empty() ? why_at_work(rank)
                                   : "waiting in " + rank.waiting.text() + ", since " + seconds(rank.idle);
    result.details.push_back(line);
  }

  const std::vector<std::size_t>& culprits = !silent.empty() ? silent : at_work;
  if (culprits.empty()) {
    result.summary = "all ranks wait for each other";
    if (!waiting.empty()) {
      const std::size_t first = waiting.front();
      result.summary +=
          ": " + on_host(first, hosts) + " in " + place(ranks[first]) + " in " + ranks[first].waiting.text();
      for (const std::size_t r : waiting)
        if (ranks[r].waiting.stored() != ranks[first].waiting.stored() || ranks[r].step != ranks[first].step) {
          result.summary += ", " + on_host(r, hosts) + " in " + place(ranks[r]) + " in " + ranks[r].waiting.text();
          break;
        }
    }
    return result;
  }

  const std::size_t first = culprits.front();
  const Reading& culprit = ranks[first];
  const std::string why = culprit.answered ? why_at_work(culprit) : why_silent(culprit);
  if (ranks.size() == 1) {
    result.summary = "in " + place(culprit) + ": " + why;
    return result;
  }
  // Of a rank of whose marks nothing is known: where the others wait for it.
  const Reading* where = culprit.known ? &culprit : waiting.empty() ? nullptr : &ranks[waiting.front()];
  result.summary = on_host(first, hosts) + " holds the others up" +
                   (where == nullptr ? "" : (culprit.known ? " in " : " in or before ") + place(*where)) + ": " + why;
  if (culprits.size() > 1)
    result.summary +=
        "; so " + std::string(culprits.size() == 2 ? "is " : "are ") + named({culprits.begin() + 1, culprits.end()});
  if (!waiting.empty()) result.summary += "; " + named(waiting) + (waiting.size() == 1 ? " only waits" : " only wait");
  return result;
}

}  // namespace ganymede::comm
