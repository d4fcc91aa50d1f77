// What is said of training images that may have been learnt by heart.
#include "cli/eval_memorisation.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ganymede::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(MemorisationVerdict, SaysOfCopiesOnlyWhatIsCertain) {
  const auto verdict = [](double near_copies, double independent) {
    eval::Memorisation found;
    found.near_copies = near_copies;
    found.independent = independent;
    return memorisation_verdict(found, true, false);
  };
  EXPECT_THAT(verdict(0.5, 1000), StartsWith("samples copy training images"));
  EXPECT_EQ(verdict(0.01, 1000), "no sign that training images were learnt by heart");
  // Of two that differ, say of a generator that has collapsed: either could be.
  EXPECT_THAT(verdict(0, 2), HasSubstr("too few samples that differ"));
  EXPECT_THAT(verdict(0.01, 50), HasSubstr("too few samples that differ"));
  EXPECT_THAT(verdict(0.05, 1000), HasSubstr("too few samples that differ"));
}

TEST(MemorisationVerdict, SaysWhetherMembersAreKnown) {
  eval::Memorisation none;
  none.independent = 1000;
  EXPECT_THAT(memorisation_verdict(none, false, false), HasSubstr("no copies; too few images to tell"));
  EXPECT_THAT(memorisation_verdict(none, true, true), HasSubstr("no copies, but one can tell"));
}

}  // namespace
}  // namespace ganymede::cli
