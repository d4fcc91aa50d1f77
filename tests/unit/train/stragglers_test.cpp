// Which ranks are said to be slow, when, and on what grounds.
#include "train/stragglers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ganymede {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

const std::vector<std::string> hosts = {"a", "b", "c"};

// One window of steps of so many seconds on each rank, as judged by the first.
std::vector<std::string> window(Stragglers& judge, const std::vector<double>& seconds, std::uint64_t steps = 100) {
  std::vector<std::string> taken;
  taken.reserve(seconds.size());
  for (const double each : seconds) taken.push_back(Stragglers::text({steps, each * static_cast<double>(steps)}));
  return judge.judge(taken, hosts);
}

TEST(Stragglers, ARankIsNamedWhenItBecomesSlow) {
  Stragglers ranks;
  EXPECT_THAT(window(ranks, {0.030, 0.031, 0.044}), IsEmpty());
  EXPECT_THAT(window(ranks, {0.030, 0.031, 0.062}),
              ElementsAre(AllOf(StartsWith("rank 2 on c is slower than the others"),
                                HasSubstr("takes 62 ms, the median rank's 31 ms"))));
  EXPECT_THAT(window(ranks, {0.030, 0.031, 0.062}), IsEmpty());  // that is known
  EXPECT_THAT(ranks.summary(hosts), ElementsAre(HasSubstr("rank 2 on c was slower than the others, which waited for "
                                                          "it, in 2 of 3 comparisons")));
  EXPECT_THAT(window(ranks, {0.030, 0.031, 0.030}), IsEmpty());
  EXPECT_THAT(window(ranks, {0.050, 0.031, 0.030}), ElementsAre(StartsWith("rank 0 on a")));
  EXPECT_THAT(window(ranks, {0.030, 0.031, 0.062}), ElementsAre(StartsWith("rank 2 on c")));
  // Each that was named is so at the end, however soon it was as fast as the others.
  EXPECT_THAT(ranks.summary(hosts), ElementsAre(AllOf(StartsWith("rank 0 on a was slower"), HasSubstr("in 1 of 6 ")),
                                                AllOf(StartsWith("rank 2 on c was slower"), HasSubstr("in 3 of 6 "))));
}

TEST(Stragglers, OfTwoTheFasterIsTheMeasure) {
  Stragglers ranks;
  EXPECT_THAT(window(ranks, {0.030, 0.062}), ElementsAre(StartsWith("rank 1 on b")));
}

TEST(Stragglers, AShortWindowIsJudgedWithTheNext) {
  Stragglers ranks;
  EXPECT_THAT(window(ranks, {1, 1, 10}, 49), IsEmpty());
  EXPECT_THAT(ranks.summary(hosts), IsEmpty());
  EXPECT_THAT(window(ranks, {0.001, 0.001, 0.01}, 1),
              ElementsAre(HasSubstr("takes 9.8e+03 ms, the median rank's 980 ms")));
  for (int window_of_a_second = 0; window_of_a_second < 5; ++window_of_a_second)
    EXPECT_THAT(window(ranks, {0.01, 0.01, 0.02}), IsEmpty());  // slow it was before
  EXPECT_THAT(ranks.summary(hosts), ElementsAre(HasSubstr("in 3 of 3 comparisons")));
}

// Where one of them was at work as all were stopped, the pause is in its time alone.
TEST(Stragglers, WhoWasStoppedWithAllTheOthersIsNotSlow) {
  const auto stopped = [](bool others) {
    return std::vector<std::string>{Stragglers::text({100, 9}, true), Stragglers::text({100, 3}, others),
                                    Stragglers::text({100, 3}, others)};
  };
  Stragglers ranks;
  EXPECT_THAT(window(ranks, {0.01, 0.01, 0.09}), IsEmpty());  // short yet, and judged with the next
  EXPECT_THAT(ranks.judge(stopped(true), hosts), IsEmpty());
  EXPECT_THAT(window(ranks, {0.01, 0.01, 0.01}), IsEmpty());
  EXPECT_THAT(window(ranks, {0.03, 0.03, 0.03}), IsEmpty());
  EXPECT_THAT(ranks.summary(hosts), IsEmpty());
  // One that is stopped again and again holds the others up.
  EXPECT_THAT(ranks.judge(stopped(false), hosts), ElementsAre(StartsWith("rank 0 on a")));
}

}  // namespace
}  // namespace ganymede
