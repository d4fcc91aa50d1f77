// What event files say of records, options, pictures and tensors. That TensorBoard reads them so: tests/interop.
#include "tensorboard/events.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "ganymede/error.hpp"
#include "report/image_grid.hpp"
#include "support/refusal.hpp"
#include "unit/tensorboard/records.hpp"

namespace ganymede::tensorboard {
namespace {

using test::events_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Events, AFileBeginsWithItsVersion) {
  const std::vector<Event> events = events_of(file_begin(1.5));
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].file_version(), "brain.Event:2");
  EXPECT_EQ(events[0].wall_time(), 1.5);
}

TEST(Events, ARecordsNumbersAreScalarsUnderTheirTags) {
  MetricsRecord record;
  record.step = 300;
  record.images_seen = 30000;
  record.discriminator_loss = 1.25;
  record.generator_gradient_norm = 0.5;
  record.sample_diversity = 0.75;
  record.penalty = std::numeric_limits<double>::infinity();
  const std::vector<Event> events = events_of(scalars(2, record, {}));
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].step(), 300);
  std::map<std::string, float> found;
  for (const Summary::Value& value : events[0].summary().value()) found[value.tag()] = value.simple_value();
  EXPECT_EQ(found.at("D/loss"), 1.25F);
  EXPECT_EQ(found.at("G/gradient_norm"), 0.5F);
  EXPECT_EQ(found.at("samples/diversity"), 0.75F);
  EXPECT_EQ(found.at("training/images_seen"), 30000.F);
  EXPECT_TRUE(found.contains("training/epoch"));
  EXPECT_FALSE(found.contains("training/penalty")) << "not finite";
  EXPECT_FALSE(found.contains("samples/classes")) << "not known";
}

// Its numbers stand in each record up to the next.
TEST(Events, AnEvaluationIsToldOnceAtItsStep) {
  MetricsRecord first;
  first.step = 300;
  first.evaluated_step = 250;
  first.parzen = 200;
  MetricsRecord second = first;
  second.step = 400;
  MetricsRecord third = second;
  third.step = 500;
  third.evaluated_step = 500;
  third.parzen = 210;
  std::string bytes = scalars(1, first, {});
  bytes += scalars(2, second, first);
  bytes += scalars(3, third, second);
  std::vector<std::pair<std::int64_t, float>> parzen;
  std::vector<std::int64_t> losses;
  for (const Event& event : events_of(bytes))
    for (const Summary::Value& value : event.summary().value()) {
      if (value.tag() == "evaluation/parzen") parzen.emplace_back(event.step(), value.simple_value());
      if (value.tag() == "D/loss") losses.push_back(event.step());
    }
  EXPECT_THAT(parzen, ElementsAre(std::pair(250, 200.F), std::pair(500, 210.F)));
  EXPECT_THAT(losses, ElementsAre(300, 400, 500));
}

TEST(Events, OptionsHaveTheirKinds) {
  const std::vector<Event> events =
      events_of(hyperparameters(7, {{"r1", "0.5"}, {"model", "mlp"}, {"spectral-norm", "true"}, {"channels", "4,8"}}));
  ASSERT_EQ(events.size(), 1U);
  const SummaryMetadata::PluginData& plugin = events[0].summary().value(0).metadata().plugin_data();
  EXPECT_EQ(plugin.plugin_name(), "hparams");
  Hyperparameters content;
  ASSERT_TRUE(content.ParseFromString(plugin.content()));
  const auto& hparams = content.session_start_info().hparams();
  ASSERT_EQ(hparams.size(), 4U);
  EXPECT_EQ(hparams.at("r1").number_value(), 0.5);
  EXPECT_EQ(hparams.at("model").string_value(), "mlp");
  EXPECT_TRUE(hparams.at("spectral-norm").bool_value());
  EXPECT_EQ(hparams.at("channels").string_value(), "4,8");
}

TEST(Events, APictureIsTheFileWithItsSize) {
  const std::vector<float> images(4 * 6 * 5 * 3, 0.5F);
  for (const int channels : {1, 3}) {
    const std::string png = encode_png_grid(std::span(images).first(static_cast<std::size_t>(4 * 6 * 5 * channels)), 4,
                                            {6, 5, channels}, 2, {});
    const std::vector<Event> events = events_of(picture(3, 12, png, "grid.png"));
    ASSERT_EQ(events.size(), 1U);
    const Summary::Image& image = events[0].summary().value(0).image();
    EXPECT_EQ(image.height(), 13);
    EXPECT_EQ(image.width(), 11);
    EXPECT_EQ(image.colorspace(), channels);
    EXPECT_EQ(image.encoded_image_string(), png);
  }
}

TEST(Events, WhatIsNoPictureIsRefused) {
  for (const std::string& bytes : {std::string(), std::string("\x89PNG\r\n\x1a\n"), std::string(100, 'x')}) {
    EXPECT_THAT(testing::refusal(ExitCode::data, [&] { picture(3, 12, bytes, "grid.png"); }),
                HasSubstr("grid.png is no PNG"));
  }
}

TEST(Events, HistogramsCountEveryFiniteValueBetweenItsLimits) {
  const std::vector<float> values = {-2.F, -2.F, -1e-20F, 0.F, 0.F, 0.F, 1e-13F, 0.5F, 3.F, 3e30F};
  std::vector<float> with_nan = values;
  with_nan.push_back(std::numeric_limits<float>::quiet_NaN());
  const std::vector<Event> events =
      events_of(histograms(1, 40, "D parameters", {{"0.weight", {11}, with_nan}, {"0.bias", {1}, {with_nan.back()}}}));
  ASSERT_EQ(events.size(), 1U);
  ASSERT_EQ(events[0].summary().value_size(), 1) << "a tensor without finite values has no histogram";
  EXPECT_EQ(events[0].summary().value(0).tag(), "D parameters/0.weight");
  const Histogram& histogram = events[0].summary().value(0).histo();
  EXPECT_EQ(histogram.num(), 10);
  EXPECT_EQ(histogram.min(), -2);
  EXPECT_EQ(histogram.max(), static_cast<double>(3e30F));
  ASSERT_EQ(histogram.bucket_size(), histogram.bucket_limit_size());
  EXPECT_GT(histogram.bucket(0), 0) << "begins with the least value";
  double below = -std::numeric_limits<double>::infinity();
  for (int i = 0; i < histogram.bucket_size(); ++i) {
    const double limit = histogram.bucket_limit(i);
    EXPECT_EQ(histogram.bucket(i),
              std::count_if(values.begin(), values.end(), [&](float v) { return v >= below && v < limit; }))
        << "from " << below << " to " << limit;
    below = limit;
  }
  EXPECT_GT(below, 3e30) << "ends behind the greatest value";
}

}  // namespace
}  // namespace ganymede::tensorboard
