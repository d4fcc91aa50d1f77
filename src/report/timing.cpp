// See timing.hpp.
#include "report/timing.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string_view>

#include "core/files.hpp"
#include "core/json.hpp"
#include "core/numbers.hpp"
#include "ganymede/error.hpp"

namespace ganymede {
namespace {

using Json = nlohmann::ordered_json;

// Thousands of ranks and all of their starts.
constexpr std::size_t most_bytes = std::size_t{64} << 20;

double seconds_of(const Json& value, const std::string& source, const std::string& field) {
  if (!value.is_number()) refuse(source, field, "seconds", describe(value));
  return value.get<double>();
}

RankTiming parse_line(std::string_view line, const std::string& source) {
  // Parsed as other files are; once more for the order of the parts.
  const nlohmann::json checked = parse_json(line, source);
  const char* const whole[] = {"start", "first_step", "last_step", "steps", "rank"};
  for (const char* field : {"start", "first_step", "last_step", "steps", "rank", "host", "seconds", "waiting", "parts"})
    if (!checked.is_object() || !checked.contains(field)) refuse(source, "timing", field, describe(checked));
  for (const char* field : whole) expect_unsigned(checked[field], source, field);
  if (!checked["parts"].is_object()) refuse(source, "parts", "an object", describe(checked["parts"]));
  RankTiming timing;
  timing.start = checked["start"];
  timing.first_step = checked["first_step"];
  timing.last_step = checked["last_step"];
  timing.steps = checked["steps"];
  timing.rank = checked["rank"];
  timing.host = expect_string(checked["host"], source, "host");
  timing.seconds = seconds_of(checked["seconds"], source, "seconds");
  timing.waiting = seconds_of(checked["waiting"], source, "waiting");
  const Json in_order = Json::parse(line);
  for (const auto& [name, seconds] : in_order["parts"].items())
    timing.parts.emplace_back(name, seconds_of(seconds, source, name));
  return timing;
}

// The ranks of the newest start that made steps, in order.
std::vector<RankTiming> newest(std::span<const RankTiming> timing) {
  std::uint64_t start = 0;
  for (const RankTiming& one : timing)
    if (one.steps > 0) start = std::max(start, one.start);
  std::vector<RankTiming> ranks;
  std::copy_if(timing.begin(), timing.end(), std::back_inserter(ranks),
               [&](const RankTiming& one) { return one.start == start && one.steps > 0; });
  std::sort(ranks.begin(), ranks.end(), [](const RankTiming& a, const RankTiming& b) { return a.rank < b.rank; });
  return ranks;
}

double part_of(const RankTiming& timing, const std::string& name) {
  const auto found =
      std::find_if(timing.parts.begin(), timing.parts.end(), [&](const auto& part) { return part.first == name; });
  return found == timing.parts.end() ? 0 : found->second;
}

Json milliseconds(double seconds, std::uint64_t steps) { return rounded(1e3 * seconds / static_cast<double>(steps)); }

double to_microseconds(double seconds) { return std::round(1e6 * seconds) / 1e6; }

}  // namespace

std::string timing_text(std::span<const RankTiming> timing) {
  std::string text;
  for (const RankTiming& one : timing) {
    Json parts = Json::object();
    for (const auto& [name, seconds] : one.parts) parts[name] = to_microseconds(seconds);
    const Json line = {{"start", one.start},
                       {"first_step", one.first_step},
                       {"last_step", one.last_step},
                       {"steps", one.steps},
                       {"rank", one.rank},
                       {"host", one.host},
                       {"seconds", to_microseconds(one.seconds)},
                       {"waiting", to_microseconds(one.waiting)},
                       {"parts", parts}};
    text += line.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
  }
  return text;
}

std::vector<RankTiming> parse_timing(std::string_view text, const std::string& source) {
  std::vector<RankTiming> timing;
  for (std::size_t end = 0; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1))
    timing.push_back(parse_line(text.substr(0, end), source + ", line " + std::to_string(timing.size() + 1)));
  return timing;
}

std::vector<RankTiming> read_timing(const std::filesystem::path& file) {
  return parse_timing(read_file(file, most_bytes), file.string());
}

Json shown_timing(std::span<const RankTiming> timing) {
  const std::vector<RankTiming> ranks = newest(timing);
  if (ranks.empty()) return nullptr;
  std::vector<std::string> names;
  for (const RankTiming& rank : ranks)
    for (const auto& [name, seconds] : rank.parts)
      if (seconds != 0 && std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  // What a table's row or column has: the parts, what they add up to, the waiting, and all of it.
  std::vector<std::vector<double>> columns;
  for (const RankTiming& rank : ranks) {
    std::vector<double>& values = columns.emplace_back();
    for (const std::string& name : names) values.push_back(part_of(rank, name));
    values.push_back(rank.seconds - rank.waiting);
    values.push_back(rank.waiting);
    values.push_back(rank.seconds);
  }
  const std::uint64_t steps = ranks.front().steps;
  const std::size_t own = names.size();
  std::vector<std::size_t> by_own(ranks.size());
  std::iota(by_own.begin(), by_own.end(), 0U);
  std::stable_sort(by_own.begin(), by_own.end(),
                   [&](std::size_t a, std::size_t b) { return columns[a][own] > columns[b][own]; });
  std::vector<std::size_t> shown(ranks.size());
  std::iota(shown.begin(), shown.end(), 0U);
  Json summary = nullptr;
  if (ranks.size() > most_ranks_shown) {
    shown.assign(by_own.begin(), by_own.begin() + slowest_shown);
    summary = Json::array();
    for (const auto& [name, share] : {std::pair{"least", 0.0}, {"median", 0.5}, {"greatest", 1.0}}) {
      Json values = Json::array();
      for (std::size_t i = 0; i < columns.front().size(); ++i) {
        std::vector<double> sorted;
        for (const std::vector<double>& column : columns) sorted.push_back(column[i]);
        std::sort(sorted.begin(), sorted.end());
        values.push_back(
            milliseconds(sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))], steps));
      }
      summary.push_back({{"name", name}, {"ms", values}});
    }
  }
  Json rows = Json::array();
  for (const std::size_t i : shown) {
    Json values = Json::array();
    for (const double seconds : columns[i]) values.push_back(milliseconds(seconds, steps));
    rows.push_back({{"rank", ranks[i].rank}, {"host", ranks[i].host}, {"ms", values}});
  }
  const bool divided = std::find(names.begin(), names.end(), undivided_steps) == names.end();
  Json slowest = nullptr;
  // Of a GPU's steps it is not known how much of them was waiting.
  if (ranks.size() > 1 && divided)
    // Of two ranks the faster one is what the other is measured by.
    slowest = {{"rank", ranks[by_own.front()].rank},
               {"ms", milliseconds(columns[by_own.front()][own], steps)},
               {"median_ms", milliseconds(columns[by_own[by_own.size() / 2]][own], steps)}};
  return {{"start", ranks.front().start},
          {"first_step", ranks.front().first_step},
          {"last_step", ranks.front().last_step},
          {"steps", steps},
          {"ranks", ranks.size()},
          {"divided", divided},
          {"parts", names},
          {"rows", rows},
          {"summary", summary},
          {"slowest", slowest}};
}

}  // namespace ganymede
