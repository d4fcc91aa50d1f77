// See output.hpp.
#include "report/output.hpp"

#include <utility>

#include "core/files.hpp"
#include "core/heartbeat.hpp"

namespace ganymede {

void Output::write(int file, std::string text) {
  executor_.add([file, text = std::move(text)] { write_out(file, text); });
}

void Output::finish(const std::function<bool()>& hurried) {
  constexpr double look_again = 0.1;
  const heartbeat::Stage stage(stages::output);
  double hurried_for = 0;
  while (!executor_.idle_within(look_again)) {
    if (!hurried()) continue;
    hurried_for += look_again;
    if (hurried_for >= last_seconds) return;
  }
}

}  // namespace ganymede
