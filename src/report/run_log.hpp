// RUN/logs/rank-NNNN.log: how its lines look, for the training that writes them and the report that reads them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ganymede::run_log {

/// spdlog's: "2024-05-06 07:08:09.123 info text".
inline constexpr const char* pattern = "%Y-%m-%d %H:%M:%S.%e %l %v";

struct Line {
  std::string time;  ///< to the second
  std::string level;
  std::string text;
};

/// Nothing where it has another form.
inline std::optional<Line> parse(const std::string& line) {
  constexpr std::size_t time_length = 23;
  constexpr std::size_t milliseconds_length = 4;
  const std::size_t text_at = line.find(' ', time_length + 1);
  if (line.size() <= time_length || text_at == std::string::npos) return std::nullopt;
  return Line{line.substr(0, time_length - milliseconds_length),
              line.substr(time_length + 1, text_at - time_length - 1), line.substr(text_at + 1)};
}

/// What the first line of each start says, and whether a text is that of rank 0.
inline std::string start(const std::string& version, int rank, int size, const std::string& host) {
  return "ganymede " + version + ", rank " + std::to_string(rank) + " of " + std::to_string(size) + " on " + host;
}
inline bool is_start(std::string_view text) {
  return text.starts_with("ganymede ") && text.find(", rank 0 of ") != std::string_view::npos;
}

// What the last line of a start begins with, by how that ended; a failure is a line of the level "error".
inline constexpr std::string_view done = "done: ";
inline constexpr std::string_view stopped = "stopped at step ";

}  // namespace ganymede::run_log
