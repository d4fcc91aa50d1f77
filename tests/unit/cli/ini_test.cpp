// INI files: their traps, and that what is written is read back as the same options.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "cli/arguments.hpp"
#include "ganymede/error.hpp"
#include "ganymede/options.hpp"
#include "support/refusal.hpp"

namespace ganymede::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Pairs = std::vector<std::pair<std::string, std::string>>;

Pairs read(const std::string& text) {
  Pairs pairs;
  for (const Setting& s : parse_ini(text, "x.ini")) pairs.emplace_back(s.name, s.value);
  return pairs;
}

std::string refusal(const std::string& text) {
  return testing::refusal(ExitCode::usage, [&] { parse_ini(text, "x.ini"); });
}

TEST(Ini, CommentsBlanksAndSettings) {
  EXPECT_EQ(read(""), Pairs{});
  EXPECT_EQ(read("# batch = 1\n\n  # indented\n \t \n"), Pairs{});
  EXPECT_EQ(read("batch = 7\nseed=8\n  r1\t=  9  "), (Pairs{{"batch", "7"}, {"seed", "8"}, {"r1", "9"}}));
  EXPECT_EQ(parse_ini("\n\nbatch = 7\n", "x.ini")[0].line, 3);
}

TEST(Ini, ValuesMayHoldEqualsSignsAndBlanks) {
  EXPECT_EQ(read("data = /a=b/c d"), (Pairs{{"data", "/a=b/c d"}}));
  EXPECT_EQ(read("data = [x]"), (Pairs{{"data", "[x]"}}));
  EXPECT_EQ(read("data = \"x\""), (Pairs{{"data", "\"x\""}}));
  EXPECT_EQ(read("data ="), (Pairs{{"data", ""}}));
}

TEST(Ini, LineEndsOfOtherSystems) {
  EXPECT_EQ(read("batch = 7\r\n\r\n# c\r\nseed = 8\r\n"), (Pairs{{"batch", "7"}, {"seed", "8"}}));
  EXPECT_EQ(read("batch = 7"), (Pairs{{"batch", "7"}})) << "no line end at the end";
}

TEST(Ini, AByteOrderMarkIsNoPartOfTheFirstName) {
  EXPECT_EQ(read("\xEF\xBB\xBF"
                 "batch = 7\n"),
            (Pairs{{"batch", "7"}}));
  EXPECT_EQ(read("\xEF\xBB\xBF# comment\nbatch = 7\n"), (Pairs{{"batch", "7"}}));
}

TEST(Ini, SectionsAreRefused) {
  EXPECT_THAT(refusal("[train]\nbatch = 7\n"), AllOf(HasSubstr("x.ini, line 1: "), HasSubstr("sections")));
  EXPECT_THAT(refusal("batch = 7\n  [a\n"), AllOf(HasSubstr("x.ini, line 2: "), HasSubstr("sections")));
}

TEST(Ini, AKeyTwiceNamesBothLines) {
  EXPECT_THAT(refusal("\nbatch = 7\nseed = 1\nbatch = 7\n"),
              AllOf(HasSubstr("x.ini, line 4: "), HasSubstr("'batch'"), HasSubstr("line 2")));
}

TEST(Ini, AHashNeverCutsAValueShort) {
  for (const char* text :
       {"data = /a#b", "data = #b", "data = /a #b", "batch = 7 # seven", "data = /a\\#b", "data = \"#\""})
    EXPECT_THAT(refusal(text), AllOf(HasSubstr("x.ini, line 1: "), HasSubstr("'#'"))) << text;
  EXPECT_THAT(refusal("ba#tch = 7"), AllOf(HasSubstr("x.ini, line 1: "), HasSubstr("'#'")));
  // The placeholder that Boost would replace by a text that contains it, and so on.
  EXPECT_THAT(refusal("%invalid_line%# = 7"), AllOf(HasSubstr("x.ini, line 1: "), HasSubstr("'#'")));
}

TEST(Ini, LinesOfAnyOtherFormAreRefused) {
  EXPECT_THAT(refusal("batch 7"), AllOf(HasSubstr("line 1: expected 'name = value'"), HasSubstr("batch 7")));
  EXPECT_THAT(refusal("batch = 7\n= 5\n"), HasSubstr("line 2: expected 'name = value'"));
  EXPECT_THAT(refusal("; comment"), HasSubstr("expected 'name = value'"));
  EXPECT_THAT(refusal("batch = 7\n\f\n"), HasSubstr("line 2: expected"));
  EXPECT_THAT(refusal(std::string("batch = 7\0\n", 11)), HasSubstr("not a text file"));
  EXPECT_THAT(refusal(std::string("\x89PNG\r\n\x1A\n\0\0\0", 11)), HasSubstr("x.ini"));
}

TEST(Ini, AVeryLongLine) {
  const std::string value(1 << 20, 'x');
  EXPECT_EQ(read("data = " + value), (Pairs{{"data", value}}));
}

// Options drawn from their whole ranges are the same after they were written to config.ini and read back.
TEST(Ini, WhatConfigTextWritesIsReadAsTheSameOptions) {
  std::mt19937_64 random(5);  // NOLINT(cert-msc51-cpp): the same options each time
  const auto below = [&](std::uint64_t n) { return random() % n; };
  const auto pick = [&](const std::vector<std::string>& from) { return from[below(from.size())]; };
  const auto unit = [&] { return static_cast<double>(random() >> 11) * 0x1p-53; };
  const auto sizes = [&] {
    std::vector<int> widths(1 + below(5));
    for (int& w : widths) w = static_cast<int>(1 + below(65536));
    return widths;
  };
  const std::vector<std::string> activations = {"identity", "relu", "leaky-relu", "sigmoid", "tanh"};
  for (int i = 0; i < 500; ++i) {
    TrainOptions o;
    o.data.clear();
    for (std::uint64_t c = 1 + below(40); c > 0; --c) o.data += static_cast<char>('$' + below('~' - '$'));
    o.latent = static_cast<int>(1 + below(65536));
    o.generator_hidden = sizes();
    o.discriminator_hidden = sizes();
    o.generator_activation = pick(activations);
    o.discriminator_activation = pick(activations);
    o.leak = unit();
    o.loss = pick({"non-saturating", "minimax"});
    o.scheme = pick({"alternating", "simultaneous"});
    o.d_steps = static_cast<int>(1 + below(1000));
    o.r1 = std::pow(10, 16 * unit() - 10);
    o.ema = 0.9999999 * unit();
    o.learning_rate = std::pow(10, 300 * unit() - 297);
    o.beta1 = 0.9999999 * unit();
    o.beta2 = 0.9999999 * unit();
    o.epsilon = std::pow(10, -29 * unit());
    o.batch = static_cast<int>(1 + below(1 << 24));
    o.steps = below(1'000'000'000'001);
    o.epochs = std::pow(10, 17 * unit() - 8);
    o.seed = random();
    o.threads = static_cast<int>(below(4097));
    o.reproducible = below(2) == 1;
    o.shards = static_cast<int>(1 + below(4096));
    o.instruction_set = pick({"auto", "x86-64-v2", "x86-64-v3", "x86-64-v4"});
    o.checkpoint_every = below(1'000'000'000'001);
    o.keep = static_cast<int>(below(1U << 31));
    o.sample_every = below(1'000'000'000'001);
    o.sample_count = static_cast<int>(1 + below(10000));
    o.log_every = 1 + below(1'000'000'000'000);
    o.drift_every = below(1'000'000'000'001);

    TrainOptions again;
    const std::string text = config_text(o, "some recipe");
    for (const Setting& s : parse_ini(text, "config.ini")) set_train_option(again, s.name, s.value);
    ASSERT_EQ(config_text(again, "some recipe"), text);
    // The text shows what was meant to the last bit.
    ASSERT_EQ(again.learning_rate, o.learning_rate);
    ASSERT_EQ(again.epochs, o.epochs);
    ASSERT_EQ(again.seed, o.seed);
    ASSERT_EQ(again.generator_hidden, o.generator_hidden);
    ASSERT_EQ(again.data, o.data);
    ASSERT_EQ(trajectory_options(again), trajectory_options(o));
  }
}

}  // namespace
}  // namespace ganymede::cli
