// The progress line, fitted to the terminal.
#include "report/progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "core/numbers.hpp"

namespace ganymede {
namespace {

/// What a line shows; what a narrow terminal leaves out is false.
struct Detail {
  bool penalty = true;
  bool total_steps = true;
  bool wide_gaps = true;
  bool third_decimal = true;
  bool total_epochs = true;
  bool speed = true;
  bool losses = true;
  bool accuracy = true;
  bool time_left = true;
};

/// The first to go first.
constexpr std::array least_important{&Detail::penalty,       &Detail::total_steps,  &Detail::wide_gaps,
                                     &Detail::third_decimal, &Detail::total_epochs, &Detail::speed,
                                     &Detail::losses,        &Detail::accuracy,     &Detail::time_left};

std::string loss_text(double value, const Detail& detail) {
  if (!std::isfinite(value)) return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
  if (std::abs(value) >= 1e4) return formatted("%.1e", value);
  if (std::abs(value) >= 100) return formatted("%.0f", value);
  return formatted(detail.third_decimal ? "%.3f" : "%.2f", value);
}

std::string epoch_text(double epoch, double total, bool with_total) {
  const char* const format = total < 10 ? "%.2f" : "%.1f";
  std::string text = "epoch " + formatted(format, epoch);
  if (with_total && total > 0) text += '/' + formatted(total == std::floor(total) ? "%.0f" : format, total);
  return text;
}

std::string percent(double share) { return std::isfinite(share) ? formatted("%.0f%%", share * 100) : "?%"; }

std::string speed_text(double images) {
  if (images < 999.5) return formatted(images < 9.95 ? "%.1f img/s" : "%.0f img/s", images);
  return images < 999'950 ? formatted("%.1fk img/s", images / 1e3) : formatted("%.1fM img/s", images / 1e6);
}

std::string time_text(double seconds) {
  const auto total = static_cast<long long>(std::llround(std::fmin(seconds, 1e10)));
  if (total < 3600) return formatted("%lld:%02lld", total / 60, total % 60);
  if (total < 86400) return formatted("%lldh%02lldm", total / 3600, total / 60 % 60);
  return formatted("%lldd%02lldh", total / 86400, total / 3600 % 24);
}

std::string line_with(const MetricsRecord& record, std::uint64_t total_steps, double total_epochs, double seconds_left,
                      const Detail& detail) {
  std::string line;
  const auto add = [&](const std::string& part) {
    if (!line.empty()) line += detail.wide_gaps ? "  " : " ";
    line += part;
  };
  add(epoch_text(record.epoch, total_epochs, detail.total_epochs));
  add("step " + std::to_string(record.step) + (detail.total_steps ? '/' + std::to_string(total_steps) : ""));
  if (detail.losses) {
    add("D " + loss_text(record.discriminator_loss, detail));
    add("G " + loss_text(record.generator_loss, detail));
  }
  if (detail.penalty && record.penalty != 0) add("penalty " + loss_text(record.penalty, detail));
  if (detail.accuracy) {
    // Of pairs, where an estimate of the distance says more.
    add(std::isnan(record.wasserstein_estimate)
            ? "D real " + percent(record.real_accuracy) + " fake " + percent(record.fake_accuracy)
            : "distance " + loss_text(record.wasserstein_estimate, detail));
  }
  if (detail.speed && std::isfinite(record.images_per_second)) add(speed_text(record.images_per_second));
  if (detail.time_left && std::isfinite(seconds_left) && seconds_left >= 0) add("ETA " + time_text(seconds_left));
  return line;
}

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// Columns; 0 where there is none, and of the terminal that Open MPI gives rank 0 whatever its own output is, a file
/// too.
int terminal_width(int file) {
  winsize size{};
  return isatty(file) == 1 && ioctl(file, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

bool is_terminal(int file) {
  const char* const kind = std::getenv("TERM");
  return terminal_width(file) > 0 && !(kind != nullptr && std::string_view(kind) == "dumb");
}

}  // namespace

std::string progress_line(const MetricsRecord& record, std::uint64_t total_steps, double total_epochs,
                          double seconds_left, int width) {
  const auto room = static_cast<std::size_t>(width > 0 ? width : 0);
  Detail detail;
  std::string line = line_with(record, total_steps, total_epochs, seconds_left, detail);
  for (const auto part : least_important) {
    if (line.size() <= room) return line;
    detail.*part = false;
    line = line_with(record, total_steps, total_epochs, seconds_left, detail);
  }
  if (line.size() > room) line.resize(room);
  return line;
}

Progress::Progress(Output& to, std::uint64_t total_steps, double total_epochs)
    : to_(to), total_steps_(total_steps), total_epochs_(total_epochs), terminal_(is_terminal(to.out())) {}

void Progress::show(const MetricsRecord& record, double seconds_left, bool last) {
  if (terminal_) {
    constexpr double least_seconds = 0.1;
    const double time = now();
    if (drawn_ && !last && (time - last_drawn_ < least_seconds || to_.is_behind())) return;
    last_drawn_ = time;
    drawn_ = true;
    // One column stays free: on a full line terminals differ in where the cursor stands and what "erase to
    // the end of the line" then erases.
    constexpr int usual_width = 80;
    const int width = terminal_width(to_.out());
    const auto line =
        progress_line(record, total_steps_, total_epochs_, seconds_left, (width > 0 ? width : usual_width) - 1);
    to_.print((troubled_ ? "\r\x1b[33m" + line + "\x1b[0m" : "\r" + line) + "\x1b[K");
  } else {
    constexpr int plain_width = 200;
    const int tenth =
        total_steps_ == 0
            ? 0
            : static_cast<int>(10.0 * static_cast<double>(record.step) / static_cast<double>(total_steps_));
    // Whoever reads a log wants to know that it gets on, and no more of a short training.
    constexpr double most_seconds = 60;
    const double time = now();
    if (!last && tenth <= tenths_shown_ && time - last_drawn_ < most_seconds) return;
    tenths_shown_ = tenth;
    last_drawn_ = time;
    const auto line = progress_line(record, total_steps_, total_epochs_, seconds_left, plain_width);
    to_.print(line + "\n");
  }
}

void Progress::finish() {
  if (!drawn_) return;
  drawn_ = false;
  to_.print("\n");
}

}  // namespace ganymede
