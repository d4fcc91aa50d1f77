// From where each rank is to one sentence that says who holds the others up.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/heartbeat.hpp"

namespace ganymede::comm {

/// What is known of one rank.
struct Reading {
  bool answered = false;  ///< by its own watchdog, just now
  bool known = false;     ///< the marks below are its; without an answer as its host's memory shows them
  std::uint64_t step = 0;
  Label stage;
  Label phase;
  Label waiting;
  double idle = 0;      ///< seconds since it completed something; 0 where it did not answer
  bool unread = false;  ///< nobody takes what it prints: a pager that waits for a key, a terminal that was stopped
  std::uint64_t process = 0;
  char state = '?';  ///< of the process, as in /proc/PID/stat; 'X': gone; '?': not known
};

/// "step 17, D forward", "checkpoint after step 5000".
std::string place(const Reading& rank);

/// The marks as they are now.
Reading read(const Pulse& pulse);

/// The state of a process of this host; 'X' when there is none of that number.
char process_state(std::uint64_t process);

/// Whether it gets on, so that those who wait for it have nothing to complain of.
bool gets_on(const Reading& rank, double deadline);

struct Diagnosis {
  std::string summary;               ///< who holds the others up, where and why
  std::vector<std::string> details;  ///< a line a rank
};

/// `ranks` and `hosts` by rank.
Diagnosis diagnose(const std::vector<Reading>& ranks, const std::vector<std::string>& hosts);

}  // namespace ganymede::comm
