// metrics.jsonl: appended line by line, and read whatever version of the program wrote it.
#include "report/metrics_log.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <string_view>
#include <system_error>

#include "core/heartbeat.hpp"
#include "core/json.hpp"
#include "ganymede/error.hpp"

namespace ganymede {
namespace {

// A column more is a member of MetricsRecord and a line here; lines of before have NaN for it.
constexpr auto fields = std::to_array<MetricsField>({
    {"epoch", &MetricsRecord::epoch},
    {"d_loss", &MetricsRecord::discriminator_loss},
    {"g_loss", &MetricsRecord::generator_loss},
    {"penalty", &MetricsRecord::penalty},
    {"d_real_accuracy", &MetricsRecord::real_accuracy},
    {"d_fake_accuracy", &MetricsRecord::fake_accuracy},
    {"d_real_score", &MetricsRecord::real_score},
    {"d_fake_score", &MetricsRecord::fake_score},
    {"wasserstein_estimate", &MetricsRecord::wasserstein_estimate},
    {"d_gradient_norm", &MetricsRecord::discriminator_gradient_norm},
    {"g_gradient_norm", &MetricsRecord::generator_gradient_norm},
    {"d_learning_rate", &MetricsRecord::discriminator_learning_rate},
    {"g_learning_rate", &MetricsRecord::generator_learning_rate},
    {"diagnosis_step", &MetricsRecord::diagnosed_step, false, true},
    {"sample_diversity", &MetricsRecord::sample_diversity},
    {"sample_classes", &MetricsRecord::sample_classes, false, true},
    {"d_real_slope", &MetricsRecord::real_slope},
    {"d_fake_slope", &MetricsRecord::fake_slope},
    {"d_update_ratio", &MetricsRecord::discriminator_update_ratio},
    {"g_update_ratio", &MetricsRecord::generator_update_ratio},
    {"d_held_out_gap", &MetricsRecord::held_out_gap},
    {"seconds", &MetricsRecord::seconds},
    {"images_per_second", &MetricsRecord::images_per_second},
    {"eval_step", &MetricsRecord::evaluated_step, true, true},
    {"eval_classifier_fd", &MetricsRecord::classifier_fd, true},
    {"eval_kid", &MetricsRecord::kernel_distance, true},
    {"eval_kid_error", &MetricsRecord::kernel_distance_error, true},
    {"eval_precision", &MetricsRecord::precision, true},
    {"eval_recall", &MetricsRecord::recall, true},
    {"eval_density", &MetricsRecord::density, true},
    {"eval_coverage", &MetricsRecord::coverage, true},
    {"eval_inception_score", &MetricsRecord::inception_score, true},
    {"eval_class_kl", &MetricsRecord::class_divergence, true},
    {"eval_parzen", &MetricsRecord::parzen, true},
    {"eval_parzen_error", &MetricsRecord::parzen_error, true},
    {"eval_two_sample", &MetricsRecord::two_sample_accuracy, true},
    {"eval_1nn_error", &MetricsRecord::classification_error, true},
    {"eval_modes", &MetricsRecord::modes, true, true},
    {"eval_modes_kl", &MetricsRecord::mode_divergence, true},
});

// Some 1.7 million records.
constexpr std::uintmax_t most_bytes = std::uintmax_t{1} << 30U;

/// Why a log is not read, before there is memory for it; empty where it can be.
std::string too_large(const std::filesystem::path& file) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(file, error);
  if (error || size <= most_bytes) return {};
  return file.string() + ": size: expected at most " + std::to_string(most_bytes) + " bytes, found " +
         std::to_string(size);
}

/// A record is an object with a step. Other versions of the program have columns that this one does not know, or none
/// for some that it does: a run goes on with them.
MetricsRecord parse_record(std::string_view line, const std::string& source) {
  const auto json = parse_json(line, source);
  if (!json.is_object()) refuse(source, "record", "an object", describe(json));
  if (!json.contains("step")) refuse(source, "record", "a step", "none");
  MetricsRecord record;
  record.step = expect_unsigned(json["step"], source, "step");
  if (const auto seen = json.find("images_seen"); seen != json.end() && seen->is_number_unsigned())
    record.images_seen = seen->get<std::uint64_t>();
  for (const auto& field : fields) {
    const auto value = json.find(field.key);
    record.*field.member =
        value != json.end() && value->is_number() ? value->get<double>() : std::numeric_limits<double>::quiet_NaN();
  }
  return record;
}

/// Calls `take(record, line)` for every complete line; what a crash left behind the last line end is no record.
template <class Take>
void for_each_record(std::string_view text, const std::filesystem::path& file, const Take& take) {
  std::size_t number = 0;
  while (true) {
    const auto end = text.find('\n');
    if (end == std::string_view::npos) return;
    const std::string_view line = text.substr(0, end);
    take(parse_record(line, file.string() + ", line " + std::to_string(++number)), line);
    text.remove_prefix(end + 1);
    heartbeat::piece();
  }
}

}  // namespace

std::span<const MetricsField> metrics_fields() { return fields; }

std::string value_text(const MetricsRecord& record, const MetricsField& field) {
  const double value = record.*field.member;
  if (field.whole && std::isfinite(value)) return std::to_string(std::llround(value));
  return nlohmann::json(value).dump();
}

std::string to_json_line(const MetricsRecord& record) {
  std::string line =
      R"({"step":)" + std::to_string(record.step) + R"(,"images_seen":)" + std::to_string(record.images_seen);
  for (const auto& field : fields) {
    if (field.evaluation && std::isnan(record.*field.member)) continue;
    line += ",\"" + std::string(field.key) + "\":" + value_text(record, field);
  }
  return line + '}';
}

MetricsRecord parse_json_line(const std::string& line) { return parse_record(line, "metrics record"); }

MetricsLog::MetricsLog(const std::filesystem::path& file, std::uint64_t from_step,
                       const std::function<void(const MetricsRecord&)>& kept) {
  std::error_code error;
  // Weights do not depend on it: no reason to refuse a run that can go on.
  const std::filesystem::path aside = file.string() + ".damaged";
  if (const std::string why = too_large(file); !why.empty()) {
    std::filesystem::rename(file, aside);
    warning_ = why + "; no record of it is kept, and the file as it was is now " + aside.string();
  } else if (std::filesystem::exists(file, error)) {
    const std::string text = read_file(file);
    std::string kept_lines;
    try {
      for_each_record(text, file, [&](const MetricsRecord& record, std::string_view line) {
        if (record.step > from_step) return;
        (kept_lines += line) += '\n';
        if (kept) kept(record);
        if (std::isfinite(record.seconds)) seconds_before_ = record.seconds;
      });
    } catch (const Error& failure) {
      write_file_atomically(aside, text);
      warning_ = std::string(failure.what()) + "; the records before it are kept, and the file as it was is now " +
                 aside.string();
    }
    if (kept_lines != text) write_file_atomically(file, kept_lines);
  }
  file_.emplace(file);
}

void MetricsLog::append(const MetricsRecord& record) { file_->append(to_json_line(record) + '\n'); }

std::vector<MetricsRecord> read_metrics(const std::filesystem::path& file, std::string& damage) {
  std::vector<MetricsRecord> records;
  if (damage = too_large(file); !damage.empty()) return records;
  const std::string text = read_file(file);
  try {
    for_each_record(text, file, [&](const MetricsRecord& record, std::string_view) { records.push_back(record); });
  } catch (const Error& failure) {
    damage = failure.what();
  }
  return records;
}

std::vector<MetricsRecord> read_metrics(const std::filesystem::path& file) {
  std::string damage;
  std::vector<MetricsRecord> records = read_metrics(file, damage);
  if (!damage.empty()) throw Error(ExitCode::data, damage);
  return records;
}

}  // namespace ganymede
