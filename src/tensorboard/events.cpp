// See events.hpp.
#include "tensorboard/events.hpp"

#include <event.pb.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <limits>
#include <string_view>

#include "core/numbers.hpp"
#include "ganymede/error.hpp"
#include "ganymede/version.hpp"
#include "report/metrics_log.hpp"
#include "tensorboard/tf_record.hpp"

namespace ganymede::tensorboard {
namespace {

Event event_at(double time, std::uint64_t step) {
  Event event;
  event.set_wall_time(time);
  event.set_step(static_cast<std::int64_t>(step));
  return event;
}

std::string record(const Event& event) { return tf_record(event.SerializeAsString()); }

Summary::Value& add_value(Event& event, const std::string& tag) {
  Summary::Value& value = *event.mutable_summary()->add_value();
  value.set_tag(tag);
  return value;
}

// A summary of the plug-in, which reads its content alone and wants a tensor of any kind beside it.
std::string plugin_summary(double time, const char* tag, const Hyperparameters& content) {
  Event event = event_at(time, 0);
  Summary::Value& value = add_value(event, tag);
  SummaryMetadata::PluginData& plugin = *value.mutable_metadata()->mutable_plugin_data();
  plugin.set_plugin_name("hparams");
  plugin.set_content(content.SerializeAsString());
  Tensor& tensor = *value.mutable_tensor();
  tensor.set_dtype(Tensor::DT_FLOAT);
  tensor.mutable_tensor_shape()->add_dim()->set_size(1);
  tensor.add_float_val(0);
  return record(event);
}

google::protobuf::Value value_of(const std::string& text) {
  google::protobuf::Value value;
  if (text == "true" || text == "false")
    value.set_bool_value(text == "true");
  else if (const std::optional<double> number = number_from<double>(text))
    value.set_number_value(*number);
  else
    value.set_string_value(text);
  return value;
}

// TensorFlow's own: from 1e-12 by tenths of themselves, to either side of zero.
const std::vector<double>& bucket_limits() {
  static const std::vector<double> limits = [] {
    std::vector<double> positive;
    for (double limit = 1e-12; limit < 1e20; limit *= 1.1) positive.push_back(limit);
    positive.push_back(std::numeric_limits<double>::max());
    std::vector<double> all;
    std::transform(positive.rbegin(), positive.rend(), std::back_inserter(all), [](double limit) { return -limit; });
    all.push_back(0);
    all.insert(all.end(), positive.begin(), positive.end());
    return all;
  }();
  return limits;
}

// False where no value is finite.
bool fill(Histogram& histogram, const std::vector<float>& values) {
  const std::vector<double>& limits = bucket_limits();
  std::vector<double> counts(limits.size());
  double least = std::numeric_limits<double>::infinity();
  double most = -least;
  double number = 0;
  double sum = 0;
  double squares = 0;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    ++counts[static_cast<std::size_t>(std::upper_bound(limits.begin(), limits.end(), value) - limits.begin())];
    least = std::min(least, value);
    most = std::max(most, value);
    ++number;
    sum += value;
    squares += value * value;
  }
  if (number == 0) return false;
  histogram.set_min(least);
  histogram.set_max(most);
  histogram.set_num(number);
  histogram.set_sum(sum);
  histogram.set_sum_squares(squares);
  // Nothing before the first value and behind the last: readers take `min` and `max` for the outer limits. Empty
  // buckets beside each other are one.
  const auto filled = [](double count) { return count > 0; };
  const auto first = std::find_if(counts.begin(), counts.end(), filled) - counts.begin();
  const auto last = counts.rend() - std::find_if(counts.rbegin(), counts.rend(), filled);
  for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(last); ++i) {
    if (counts[i] == 0 && counts[i + 1] == 0) continue;
    histogram.add_bucket_limit(limits[i]);
    histogram.add_bucket(counts[i]);
  }
  return true;
}

}  // namespace

std::string file_begin(double time) {
  Event event = event_at(time, 0);
  event.set_file_version("brain.Event:2");
  event.mutable_source_metadata()->set_writer(std::string("ganymede ") + version);
  return record(event);
}

std::string restart(double time, std::uint64_t step) {
  Event event = event_at(time, step);
  event.mutable_session_log()->set_status(SessionLog::START);
  return record(event);
}

std::string hyperparameters(double time, const std::map<std::string, std::string>& options) {
  Hyperparameters content;
  SessionStartInfo& start = *content.mutable_session_start_info();
  start.set_start_time_secs(time);
  for (const auto& [name, text] : options) (*start.mutable_hparams())[name] = value_of(text);
  return plugin_summary(time, "_hparams_/session_start_info", content);
}

std::string finished(double time) {
  Hyperparameters content;
  content.mutable_session_end_info()->set_status(SessionEndInfo::STATUS_SUCCESS);
  content.mutable_session_end_info()->set_end_time_secs(time);
  return plugin_summary(time, "_hparams_/session_end_info", content);
}

std::string tag_of(const std::string& column) {
  for (const auto& [beginning, group] : {std::pair<std::string_view, const char*>{"d_", "D/"},
                                         {"g_", "G/"},
                                         {"sample_", "samples/"},
                                         {"eval_", "evaluation/"}})
    if (column.starts_with(beginning)) return group + column.substr(beginning.size());
  return "training/" + column;
}

std::string scalars(double time, const MetricsRecord& metrics, const MetricsRecord& before) {
  Event of_step = event_at(time, metrics.step);
  add_value(of_step, tag_of("images_seen")).set_simple_value(static_cast<float>(metrics.images_seen));
  const bool evaluated = std::isfinite(metrics.evaluated_step) && metrics.evaluated_step != before.evaluated_step;
  Event of_evaluation = event_at(time, evaluated ? static_cast<std::uint64_t>(metrics.evaluated_step) : 0);
  for (const MetricsField& field : metrics_fields()) {
    if (!std::isfinite(metrics.*field.member) || (field.evaluation && !evaluated)) continue;
    add_value(field.evaluation ? of_evaluation : of_step, tag_of(field.key))
        .set_simple_value(static_cast<float>(metrics.*field.member));
  }
  return record(of_step) + (evaluated ? record(of_evaluation) : "");
}

std::string picture(double time, std::uint64_t step, const std::string& png, const std::string& source) {
  // Behind the signature: the header's length, its name, width, height, depth and colour type.
  constexpr std::size_t width_at = 16;
  constexpr std::size_t height_at = 20;
  constexpr std::size_t colour_at = 25;
  if (!png.starts_with("\x89PNG\r\n\x1a\n") || png.size() <= colour_at)
    throw Error(ExitCode::data, source + " is no PNG");
  const auto number = [&](std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = value << 8U | static_cast<unsigned char>(png[at + i]);
    return static_cast<std::int32_t>(value);
  };
  Event event = event_at(time, step);
  Summary::Image& image = *add_value(event, "samples").mutable_image();
  image.set_width(number(width_at));
  image.set_height(number(height_at));
  image.set_colorspace(png[colour_at] == 0 ? 1 : 3);
  image.set_encoded_image_string(png);
  return record(event);
}

std::string histograms(double time, std::uint64_t step, const std::string& group,
                       const std::vector<ganymede::Tensor>& tensors) {
  Event event = event_at(time, step);
  for (const ganymede::Tensor& tensor : tensors) {
    Histogram histogram;
    if (fill(histogram, tensor.values)) *add_value(event, group + "/" + tensor.name).mutable_histo() = histogram;
  }
  return record(event);
}

}  // namespace ganymede::tensorboard
