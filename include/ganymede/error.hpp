// Errors as the user meets them: one sentence that says what is wrong and how to mend it, and the
// process exit code that goes with it. Everything in Ganymede that can fail throws Error.
#pragma once

#include <stdexcept>
#include <string>

namespace ganymede {

/// Exit codes of the program; scripts rely on them.
enum class ExitCode : int {
  done = 0,
  usage = 2,            ///< wrong usage or configuration
  data = 3,             ///< unreadable or invalid data, checkpoint or file system
  launch = 4,           ///< device or launch problem
  training_failed = 5,  ///< numbers that are not finite, replicas that differ
  rank_lost = 6,        ///< a rank died or hung
  interrupted = 75,     ///< stopped by a signal after a complete checkpoint; run again to go on
};

/// A failure with the exit code that it ends the program with.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  [[nodiscard]] ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

}  // namespace ganymede
