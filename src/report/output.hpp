// What a training prints: by a thread of its own, as whoever reads may stop reading.
#pragma once

#include <functional>
#include <string>

#include "core/serial_executor.hpp"

namespace ganymede {

/// Two open files, usually standard output and standard error. What is printed appears in order, and what cannot be
/// written, because nobody reads any more, is lost.
class Output {
 public:
  Output(int out, int err) : out_(out), err_(err) {}

  [[nodiscard]] int out() const { return out_; }
  void print(std::string text) { write(out_, std::move(text)); }
  void complain(std::string text) { write(err_, std::move(text)); }
  /// Whether something is still to be written: the reader takes its time.
  [[nodiscard]] bool is_behind() { return !executor_.idle_within(0); }
  /// Waits until all is written; but from the moment that `hurried` holds only for `last_seconds`.
  void finish(const std::function<bool()>& hurried);

  static constexpr double last_seconds = 2;

 private:
  void write(int file, std::string text);

  int out_;
  int err_;
  SerialExecutor executor_;
};

}  // namespace ganymede
