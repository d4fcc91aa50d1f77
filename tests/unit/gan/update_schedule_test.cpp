// When D is updated how often, against counting one by one.
#include "gan/update_schedule.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace ganymede::testing {
namespace {

TEST(UpdateSchedule, CountsAsOneByOne) {
  for (const int burst : {0, 1, 7})
    for (const std::uint64_t first : {0U, 1U, 5U, 20U})
      for (const std::uint64_t every : {0U, 1U, 4U, 10U}) {
        TrainOptions o;
        o.d_steps = 3;
        o.d_burst = burst;
        o.d_burst_first = first;
        o.d_burst_every = every;
        o.batch = 10;
        std::uint64_t updates = 0;
        for (std::uint64_t step = 0; step < 60; ++step) {
          ASSERT_EQ(discriminator_updates(o, step), updates) << burst << " " << first << " " << every << " " << step;
          const bool bursts = burst > 0 && (step < first || (every > 0 && step % every == 0));
          ASSERT_EQ(step_kind(o, step).burst, bursts);
          const int now = bursts ? burst : 3;
          ASSERT_EQ(discriminator_updates(o, step_kind(o, step)), now);
          // So many images are seen within this step.
          ASSERT_EQ(steps_to_see(o, static_cast<double>(updates) * 10 + 1), step + 1);
          // Behind steps of other batches, which showed 7 images in all, as many steps more.
          const Shown before{step, 7};
          ASSERT_EQ(images_seen(o, before, step + 1), 7 + static_cast<std::uint64_t>(now) * 10);
          ASSERT_EQ(steps_to_see(o, 8, before), step + 1);
          ASSERT_EQ(steps_to_see(o, 7 + now * 10, before), step + 1);
          ASSERT_EQ(steps_to_see(o, 7, before), std::max<std::uint64_t>(step, 1));
          updates += static_cast<std::uint64_t>(now);
          ASSERT_EQ(steps_to_see(o, static_cast<double>(updates) * 10), step + 1);
        }
      }
  EXPECT_EQ(steps_to_see(TrainOptions{}, 0), 1U);
}

TEST(UpdateSchedule, IsWgans) {
  TrainOptions o;
  o.d_steps = 5;
  o.d_burst = 100;
  // Arjovsky et al.: 100 updates in the first 25 steps and in every 500th.
  EXPECT_EQ(discriminator_updates(o, 25), 2500U);
  EXPECT_EQ(discriminator_updates(o, 500), 2500U + 475U * 5U);
  EXPECT_EQ(discriminator_updates(o, 501), 2500U + 475U * 5U + 100U);
  EXPECT_EQ(discriminator_updates(o, 1'000'000'000), 100ULL * (25 + 1'999'999) + 5ULL * (1'000'000'000 - 2'000'024));
}

TEST(UpdateSchedule, PenaltiesComeEveryNthStep) {
  TrainOptions o;
  o.penalty_every = 4;
  for (std::uint64_t step = 0; step < 12; ++step) EXPECT_EQ(step_kind(o, step).penalised, step % 4 == 0);
  o.r1 = 0;
  EXPECT_FALSE(step_kind(o, 0).penalised);
  o.r2 = 1;
  EXPECT_TRUE(step_kind(o, 0).penalised);
}

}  // namespace
}  // namespace ganymede::testing
