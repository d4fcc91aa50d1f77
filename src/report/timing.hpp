// RUN/timing.jsonl: where the time of a training has gone, by rank and by what it went to.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ganymede {

/// Of one rank since one start of the run.
struct RankTiming {
  std::uint64_t start = 0;       ///< the run's starts, counted from 1
  std::uint64_t first_step = 0;  ///< steps there were at that start,
  std::uint64_t last_step = 0;   ///< and now
  std::uint64_t steps = 0;       ///< made since; after a roll-back more than lie between these
  int rank = 0;
  std::string host;
  double seconds = 0;  ///< in all: the parts and the waiting
  double waiting = 0;  ///< for other ranks
  /// Seconds by what they went to, without the waiting; in an order for people.
  std::vector<std::pair<std::string, double>> parts;
};

/// The part that stands for all phases of the steps where these are not told apart, as on a GPU.
inline constexpr const char* undivided_steps = "steps";

/// One JSON object per line, as docs/FORMATS.md describes them.
std::string timing_text(std::span<const RankTiming> timing);

/// The inverse, of `source`. Throws Error(data) that names the line that is none.
std::vector<RankTiming> parse_timing(std::string_view text, const std::string& source);
std::vector<RankTiming> read_timing(const std::filesystem::path& file);

/// What a page shows of the newest start, in milliseconds a step: every rank, or of more than most_ranks_shown the
/// least, the median and the greatest of each part, and the slowest ranks. Null of no ranks, or no steps.
nlohmann::ordered_json shown_timing(std::span<const RankTiming> timing);

inline constexpr std::size_t most_ranks_shown = 32;
inline constexpr std::size_t slowest_shown = 4;

}  // namespace ganymede
