// Curves of bounded length: what a point is the mean of, compared with means taken over all records.
#include "report/curves.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace ganymede {
namespace {

MetricsRecord record(std::uint64_t number) {
  MetricsRecord r;
  r.step = number * 10;
  r.images_seen = number * 1000;
  r.epoch = static_cast<double>(number) / 4;
  r.seconds = static_cast<double>(number) / 2;
  r.discriminator_loss = std::sin(static_cast<double>(number));
  r.generator_loss = static_cast<double>(number * number);
  return r;
}

Curves of(std::uint64_t count, std::size_t most) {
  Curves curves(most);
  for (std::uint64_t n = 1; n <= count; ++n) curves.add(record(n));
  return curves;
}

TEST(Curves, FewRecordsAreTheirPoints) {
  const Curves curves = of(7, 8);
  EXPECT_EQ(curves.records_per_point(), 1U);
  const std::vector<MetricsRecord> points = curves.points();
  ASSERT_EQ(points.size(), 7U);
  for (std::uint64_t n = 1; n <= 7; ++n) {
    EXPECT_EQ(points[n - 1].step, 10 * n);
    EXPECT_EQ(points[n - 1].discriminator_loss, std::sin(static_cast<double>(n)));
  }
}

TEST(Curves, APointIsTheMeanOfItsRecordsAndStandsAtTheLast) {
  for (const std::uint64_t count : {8U, 9U, 15U, 16U, 31U, 100U, 1001U}) {
    const Curves curves = of(count, 8);
    const std::vector<MetricsRecord> points = curves.points();
    const std::uint64_t each = curves.records_per_point();
    EXPECT_LE(points.size(), 8U);
    EXPECT_GE(points.size(), 4U);
    EXPECT_EQ(curves.records(), count);
    EXPECT_EQ(points.size(), (count + each - 1) / each);
    for (std::size_t i = 0; i < points.size(); ++i) {
      const std::uint64_t last = std::min((i + 1) * each, count);
      double d = 0;
      double g = 0;
      for (std::uint64_t n = i * each + 1; n <= last; ++n) {
        d += std::sin(static_cast<double>(n));
        g += static_cast<double>(n * n);
      }
      const double records = static_cast<double>(last - i * each);
      EXPECT_EQ(points[i].step, 10 * last);
      EXPECT_EQ(points[i].images_seen, 1000 * last);
      EXPECT_EQ(points[i].epoch, static_cast<double>(last) / 4);
      EXPECT_EQ(points[i].seconds, static_cast<double>(last) / 2);
      EXPECT_NEAR(points[i].discriminator_loss, d / records, 1e-12);
      EXPECT_NEAR(points[i].generator_loss, g / records, 1e-6);
    }
  }
}

TEST(Curves, WhatIsNotFiniteStaysSo) {
  Curves curves(4);
  for (std::uint64_t n = 1; n <= 16; ++n) {
    MetricsRecord r = record(n);
    if (n == 6) r.discriminator_loss = std::numeric_limits<double>::quiet_NaN();
    curves.add(r);
  }
  const std::vector<MetricsRecord> points = curves.points();
  ASSERT_EQ(points.size(), 2U);  // of eight each
  EXPECT_TRUE(std::isnan(points[0].discriminator_loss));
  EXPECT_TRUE(std::isfinite(points[0].generator_loss));
  EXPECT_TRUE(std::isfinite(points[1].discriminator_loss));
}

}  // namespace
}  // namespace ganymede
