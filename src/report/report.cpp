// Collects what a report shows, as JSON, and puts it into the page that src/report/page/ holds.
#include "report/report.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>

#include "core/files.hpp"
#include "core/json.hpp"
#include "core/numbers.hpp"
#include "ganymede/error.hpp"
#include "ganymede/version.hpp"
#include "report/metrics_log.hpp"
#include "report/page.hpp"
#include "report/run_folder.hpp"
#include "report/run_log.hpp"
#include "report/timing.hpp"

namespace ganymede {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Of all runs of a page together.
constexpr std::size_t most_grids = 40;
constexpr std::uintmax_t most_picture_bytes = std::uintmax_t{7} << 20;
constexpr std::uintmax_t most_pairs_bytes = std::uintmax_t{1} << 20;
constexpr std::uintmax_t most_latent_bytes = std::uintmax_t{2} << 20;
// The newest.
constexpr std::uintmax_t most_log_bytes = std::uintmax_t{16} << 20;
constexpr std::size_t most_messages = 20;
constexpr std::size_t most_starts = 20;

Json json_of(const Curves& curves) {
  const std::vector<MetricsRecord> points = curves.points();
  Json columns = Json::object();
  columns["step"] = Json::array();
  columns["images_seen"] = Json::array();
  for (const MetricsRecord& point : points) {
    columns["step"].push_back(point.step);
    columns["images_seen"].push_back(point.images_seen);
  }
  for (const MetricsField& field : metrics_fields()) {
    if (field.evaluation && std::all_of(points.begin(), points.end(),
                                        [&](const MetricsRecord& point) { return std::isnan(point.*field.member); }))
      continue;
    Json& column = columns[field.key] = Json::array();
    for (const MetricsRecord& point : points) column.push_back(rounded(point.*field.member));
  }
  return {{"records", curves.records()}, {"records_per_point", curves.records_per_point()}, {"columns", columns}};
}

Json json_of(const Findings& findings) {
  Json list = Json::array();
  for (const Finding& finding : findings.all())
    list.push_back({{"kind", finding_name(finding.kind)},
                    {"since", finding.since},
                    {"until", finding.until ? Json(*finding.until) : Json(nullptr)},
                    {"text", finding.text}});
  return list;
}

Json json_of(std::map<std::string, std::string> options, std::span<const OptionSpec> known) {
  const TrainOptions defaults;
  Json list = Json::array();
  for (const OptionSpec& spec : known) {
    const auto option = options.extract(spec.name);
    // Someone may have written one into config.ini that the program does not put there, as out.
    if (option && spec.stored())
      list.push_back({{"name", spec.name},
                      {"group", spec.group},
                      {"help", spec.help},
                      {"value", option.mapped()},
                      {"default", spec.get(defaults)}});
  }
  // Those of another version of the program.
  for (const auto& [name, value] : options)
    list.push_back({{"name", name}, {"group", "Others"}, {"help", ""}, {"value", value}, {"default", ""}});
  return list;
}

// Of a regular file with something in it, to which a link may lead. Nothing else is opened: a pipe might have no end.
std::optional<std::uintmax_t> size_of(const fs::path& file) {
  std::error_code error;
  if (!fs::is_regular_file(file, error)) return std::nullopt;
  const std::uintmax_t size = fs::file_size(file, error);
  return error || size == 0 ? std::nullopt : std::optional(size);
}

// Reads the pictures of a run while they fit into its share of the page.
class Pictures {
 public:
  explicit Pictures(std::uintmax_t most_bytes) : left_(most_bytes) {}

  [[nodiscard]] bool fit(std::uintmax_t bytes) const { return bytes <= left_; }
  /// In base64. Null where it cannot be read, or has grown beyond what there is room for.
  Json read(const fs::path& file) {
    if (left_ == 0) return nullptr;
    try {
      const std::string bytes = read_file(file, left_);
      left_ -= bytes.size();
      return base64(bytes);
    } catch (const Error&) {
      return nullptr;
    }
  }

 private:
  std::uintmax_t left_;
};

// Such of the run's grids as fit beside the real images, the last one always among them if any does. The real images
// give way to it.
void add_pictures(Json& run, const RunFolder& folder, std::size_t runs) {
  Pictures pictures(most_picture_bytes / runs);
  struct Grid {
    std::uint64_t step;
    std::uintmax_t bytes;
  };
  std::vector<Grid> grids;
  const std::vector<std::uint64_t> steps = folder.sampled_steps();
  for (const std::uint64_t step : steps)
    if (const auto bytes = size_of(folder.sample(step))) grids.push_back({step, *bytes});
  std::size_t unreadable = steps.size() - grids.size();

  Json& real = run["real"] = nullptr;
  const auto real_bytes = size_of(folder.real_sample());
  const std::uintmax_t last_bytes = grids.empty() ? 0 : grids.back().bytes;
  if (real_bytes && pictures.fit(*real_bytes + (pictures.fit(last_bytes) ? last_bytes : 0)))
    real = pictures.read(folder.real_sample());

  std::vector<std::size_t> chosen;
  for (std::size_t most = std::max<std::size_t>(most_grids / runs, 2); most > 0; --most) {
    chosen = evenly(grids.size(), most);
    std::uintmax_t bytes = 0;
    for (const std::size_t i : chosen) bytes += grids[i].bytes;
    if (pictures.fit(bytes)) break;
    chosen.clear();
  }
  Json shown = Json::array();
  for (const std::size_t i : chosen) {
    const Json png = pictures.read(folder.sample(grids[i].step));
    if (png.is_null())
      ++unreadable;
    else
      shown.push_back({{"step", grids[i].step}, {"png", png}});
  }
  run["grids"] = {{"of", steps.size()}, {"unreadable", unreadable}, {"shown", shown}};
}

// One that cannot be read is said in the page: it is no reason to have none.
Json evaluation(const RunFolder& folder) {
  std::error_code error;
  if (!fs::exists(folder.evaluation(), error)) return nullptr;
  if (!fs::is_regular_file(folder.evaluation(), error))
    return {{"unreadable", folder.evaluation().string() + " is no file"}};
  try {
    return parse_json(read_file(folder.evaluation(), RunFolder::most_evaluation_bytes), folder.evaluation().string());
  } catch (const Error& failure) {
    return {{"unreadable", failure.what()}};
  }
}

// The closest pairs, where the evaluation looked for them: an older one's picture says nothing of its numbers. Null
// where there are none, or too large ones.
Json nearest_pairs(const Json& evaluation, const RunFolder& folder) {
  const auto metrics = evaluation.is_object() ? evaluation.find("metrics") : evaluation.end();
  if (metrics == evaluation.end() || !metrics->is_object() || !metrics->contains("memorisation") ||
      metrics->at("memorisation").is_null())
    return nullptr;
  Pictures pictures(most_pairs_bytes);
  const auto bytes = size_of(folder.nearest_pairs());
  return bytes && pictures.fit(*bytes) ? pictures.read(folder.nearest_pairs()) : Json(nullptr);
}

// What `ganymede latent` has drawn: titles, texts and pictures. Null where it has not, or what it wrote cannot be read.
Json latent_pictures(const RunFolder& folder) {
  if (!size_of(folder.latent())) return nullptr;
  Json shown = Json::array();
  try {
    Pictures pictures(most_latent_bytes);
    // A singular value for each dimension that was looked into.
    const Json latent =
        parse_json(read_file(folder.latent(), RunFolder::most_evaluation_bytes), folder.latent().string(), 1024);
    for (const Json& picture : latent.at("pictures")) {
      // The name alone: it lies beside the description.
      const fs::path file = folder.samples() / fs::path(picture.at("file").get<std::string>()).filename();
      const Json png = size_of(file) ? pictures.read(file) : Json(nullptr);
      if (!png.is_null()) shown.push_back({{"title", picture.at("title")}, {"text", picture.at("text")}, {"png", png}});
    }
    return {{"step", latent.at("step")}, {"pictures", shown}};
  } catch (const Error&) {
    return nullptr;
  } catch (const Json::exception&) {
    return nullptr;
  }
}

// Null where there is none. One that cannot be read is said in the page.
Json timing(const RunFolder& folder) {
  if (!size_of(folder.timing())) return nullptr;
  try {
    return shown_timing(read_timing(folder.timing()));
  } catch (const Error& failure) {
    return {{"unreadable", failure.what()}};
  }
}

// Rank 0's log: when the training was started, what it warned of, and how its last part ended. One that cannot be read
// says nothing.
Json told_by_log(const RunFolder& folder) {
  std::vector<Json> starts;
  std::vector<Json> messages;
  std::string state = "unknown";
  if (const auto size = size_of(folder.log(0))) {
    std::ifstream log(folder.log(0), std::ios::binary);
    std::string line;
    if (*size > most_log_bytes) {
      log.seekg(-static_cast<std::streamoff>(most_log_bytes), std::ios::end);
      std::getline(log, line);  // its beginning is missing
    }
    while (std::getline(log, line)) {
      const std::optional<run_log::Line> said = run_log::parse(line);
      if (!said) continue;
      const auto& [time, level, text] = *said;
      if (run_log::is_start(text)) {
        starts.push_back({{"time", time}, {"text", text}});
        state = "begun";
      } else if (level == "warning" || level == "error") {
        messages.push_back({{"time", time}, {"level", level}, {"text", text}});
        if (level == "error") state = "failed";
      } else if (text.starts_with(run_log::done)) {
        state = "finished";
      } else if (text.starts_with(run_log::stopped)) {
        state = "stopped";
      }
    }
  }
  const auto newest = [](std::vector<Json> all, std::size_t most) {
    const std::size_t older = all.size() - std::min(all.size(), most);
    all.erase(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(older));
    return Json{{"older", older}, {"newest", all}};
  };
  return {{"state", state}, {"starts", newest(starts, most_starts)}, {"messages", newest(messages, most_messages)}};
}

// A run's name: as it was given, and of one alone its folder's.
std::string name_of(const fs::path& folder, std::size_t runs) {
  const fs::path plain = (runs > 1 ? folder : fs::absolute(folder)).lexically_normal();
  const fs::path named = plain.has_filename() ? plain : plain.parent_path();
  return runs > 1 ? named.string() : named.filename().string();
}

}  // namespace

std::string report_page(std::span<const ReportedRun> runs, std::span<const OptionSpec> known) {
  Json data = {{"program", std::string("ganymede ") + version}, {"runs", Json::array()}};
  for (const ReportedRun& run : runs) {
    const RunFolder folder(run.folder);
    Json one;
    one["name"] = name_of(run.folder, runs.size());
    one["recipe"] = run.recipe;
    one["options"] = json_of(run.options, known);
    one["curves"] = json_of(run.curves);
    one["damage"] = run.damage;
    one["findings"] = json_of(run.findings);
    one["evaluation"] = evaluation(folder);
    one["nearest"] = nearest_pairs(one["evaluation"], folder);
    one["log"] = told_by_log(folder);
    one["timing"] = timing(folder);
    if (runs.size() == 1) one["latent"] = latent_pictures(folder);
    add_pictures(one, folder, runs.size());
    data["runs"].push_back(std::move(one));
  }
  // Names of files may hold bytes that are no UTF-8, which JSON cannot.
  return std::string(page_before_data) + for_script_element(data.dump(-1, ' ', false, Json::error_handler_t::replace)) +
         page_after_data;
}

std::vector<std::size_t> evenly(std::size_t count, std::size_t most) {
  const std::size_t chosen = std::min(count, most);
  if (chosen == 1) return {count - 1};
  std::vector<std::size_t> result(chosen);
  for (std::size_t i = 0; i < chosen; ++i) result[i] = i * (count - 1) / (chosen - 1);
  return result;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t j) {
      return j < bytes.size() ? static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[j])) : 0U;
    };
    const std::uint32_t word = byte(i) << 16U | byte(i + 1) << 8U | byte(i + 2);
    for (std::size_t j = 0; j < 4; ++j) text += i + j > bytes.size() ? '=' : digits[word >> (18U - 6U * j) & 63U];
  }
  return text;
}

std::string for_script_element(std::string json) {
  for (std::size_t at = 0; (at = json.find('<', at)) != std::string::npos;) json.replace(at, 1, "\\u003c");
  return json;
}

}  // namespace ganymede
