// The command line's traps: abbreviations, repetitions, switches with values, options taken for values.
#include "cli/arguments.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "cli/commands.hpp"
#include "ganymede/error.hpp"
#include "support/refusal.hpp"

namespace ganymede::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using Words = std::vector<std::string>;

const CommandSyntax& train() {
  static const CommandSyntax syntax = train_command().syntax;
  return syntax;
}

const CommandSyntax& inspect() {
  static const CommandSyntax syntax = inspect_command().syntax;
  return syntax;
}

std::string refusal(const CommandSyntax& syntax, const Words& words) {
  std::string said = testing::refusal(ExitCode::usage, [&] { parse_command_line(syntax, words); });
  EXPECT_THAT(said, AllOf(EndsWith(" (see: ganymede " + syntax.name + " --help)"), Not(HasSubstr("\n"))));
  return said;
}

TEST(CommandLine, BothFormsOfAValue) {
  const Parsed parsed = parse_command_line(train(), {"--seed", "7", "--out=runs/a=b", "--resume"});
  EXPECT_EQ(parsed.values,
            (std::map<std::string, std::string>{{"seed", "7"}, {"out", "runs/a=b"}, {"resume", "true"}}));
  EXPECT_TRUE(parsed.on("resume"));
  EXPECT_FALSE(parsed.on("reproducible"));
  EXPECT_EQ(parsed.get("seed", "1"), "7");
  EXPECT_EQ(parsed.get("batch", "100"), "100");
}

TEST(CommandLine, AbbreviationsAreNoOptions) {
  EXPECT_THAT(refusal(train(), {"--batc", "5"}), HasSubstr("there is no option --batc; did you mean --batch?"));
  EXPECT_THAT(refusal(train(), {"--batc=5"}), HasSubstr("there is no option --batc; did you mean --batch?"));
  EXPECT_THAT(refusal(train(), {"--bat", "5"}), HasSubstr("there is no option --bat; did you mean --"));
  EXPECT_THAT(refusal(train(), {"--sample", "5"}), HasSubstr("there is no option --sample"));
}

TEST(CommandLine, UnknownOptionsSuggestTheNearest) {
  EXPECT_THAT(refusal(train(), {"--leraning-rate", "1"}), HasSubstr("did you mean --learning-rate?"));
  EXPECT_THAT(refusal(train(), {"--learning_rate", "1"}), HasSubstr("did you mean --learning-rate?"));
  EXPECT_THAT(refusal(train(), {"--quux"}),
              AllOf(HasSubstr("there is no option --quux "), Not(HasSubstr("did you mean"))));
  EXPECT_THAT(refusal(train(), {"-b", "5"}), HasSubstr("there is no option"));
  EXPECT_THAT(refusal(train(), {"-batch", "5"}), HasSubstr("there is no option"));
  EXPECT_THAT(refusal(inspect(), {"run", "--jsno"}), HasSubstr("did you mean --json?"));
}

TEST(CommandLine, NothingIsGivenTwice) {
  EXPECT_THAT(refusal(train(), {"--seed", "1", "--seed", "1"}), HasSubstr("--seed is given twice"));
  EXPECT_THAT(refusal(train(), {"--seed=1", "--seed", "2"}), HasSubstr("--seed is given twice"));
  EXPECT_THAT(refusal(train(), {"--resume", "--resume"}), HasSubstr("--resume is given twice"));
  EXPECT_THAT(refusal(train(), {"--resume", "--resume=false"}), HasSubstr("--resume is given twice"));
}

TEST(CommandLine, ValuesThatAreMissing) {
  EXPECT_THAT(refusal(train(), {"--seed"}), HasSubstr("'--seed' is missing"));
  for (const char* last : {"--resume", "--seed", "--seed=3", "--unknown"})
    EXPECT_THAT(refusal(train(), {"--out", last}), HasSubstr("--out")) << last;
  EXPECT_THAT(refusal(train(), {"--seed", "--resume"}), HasSubstr("--seed"));
  EXPECT_THAT(refusal(train(), {"--out="}), HasSubstr("--out"));
  EXPECT_THAT(refusal(train(), {"--out", ""}), HasSubstr("--out needs a value"));
  EXPECT_THAT(refusal(train(), {"--config", ""}), HasSubstr("--config needs a value"));
  // Boost's placeholders, which it would fill in for ever.
  EXPECT_THAT(refusal(train(), {"--%canonical_option%="}), HasSubstr("no option --%canonical_option%"));
  EXPECT_THAT(refusal(train(), {"--out", "--%original_token%="}), HasSubstr("no option --%original_token%"));
  // Who means it can say it.
  EXPECT_EQ(parse_command_line(train(), {"--out=--resume"}).values.at("out"), "--resume");
  EXPECT_EQ(parse_command_line(train(), {"--leak", "-5"}).values.at("leak"), "-5");
}

TEST(CommandLine, SwitchesTakeNoWordAfterThem) {
  EXPECT_THAT(refusal(train(), {"--reproducible", "false"}),
              HasSubstr("'false' has no place here; a switch takes it behind an equals sign: --NAME=false"));
  EXPECT_THAT(refusal(train(), {"--reproducible", "true"}), HasSubstr("'true' has no place here"));
  EXPECT_THAT(refusal(train(), {"--reproducible=yes"}),
              AllOf(HasSubstr("--reproducible is a switch"), HasSubstr("'yes'")));
  EXPECT_THAT(refusal(train(), {"--reproducible="}), HasSubstr("--reproducible"));
  EXPECT_EQ(parse_command_line(train(), {"--reproducible=false"}).values.at("reproducible"), "false");
  EXPECT_FALSE(parse_command_line(train(), {"--dry-run=false"}).on("dry-run"));
  const Parsed parsed = parse_command_line(inspect(), {"--json", "run"});
  EXPECT_TRUE(parsed.on("json"));
  EXPECT_THAT(parsed.positional, ElementsAre("run"));
}

TEST(CommandLine, StrayWords) {
  EXPECT_THAT(refusal(train(), {"stray"}), HasSubstr("'stray' has no place here"));
  EXPECT_THAT(refusal(train(), {"--seed", "1", "2"}), HasSubstr("'2' has no place here"));
  EXPECT_THAT(refusal(train(), {"--", "--seed"}), HasSubstr("has no place here"));
  EXPECT_THAT(refusal(inspect(), {}), HasSubstr("RUN is missing"));
  EXPECT_THAT(refusal(inspect(), {"--json"}), HasSubstr("RUN is missing"));
  EXPECT_THAT(refusal(inspect(), {"a", "b"}), HasSubstr("'b' has no place here"));
}

TEST(CommandLine, Help) {
  for (const Words& words : {Words{"--help"}, Words{"-h"}, Words{"--seed", "1", "--help"}})
    EXPECT_TRUE(parse_command_line(train(), words).help);
  EXPECT_TRUE(parse_command_line(inspect(), {"--help"}).help) << "without its RUN";
}

TEST(CommandLine, TheHelpShowsEveryOptionOfEveryCommand) {
  for (const Command& command : commands()) {
    const std::string help = help_text(command.syntax);
    EXPECT_THAT(help, AllOf(HasSubstr(command.syntax.summary), HasSubstr("ganymede " + command.syntax.name),
                            HasSubstr("--help")));
    EXPECT_THAT(general_help(), HasSubstr(command.syntax.summary));
    for (const Argument& a : command.syntax.arguments)
      EXPECT_THAT(help, HasSubstr("\n  --" + a.name + (a.value.empty() ? " " : " " + a.value))) << command.syntax.name;
    std::size_t begin = 0;
    for (std::size_t end = 0; (end = help.find('\n', begin)) != std::string::npos; begin = end + 1) {
      const std::string line = help.substr(begin, end - begin);
      const auto columns =
          std::count_if(line.begin(), line.end(), [](unsigned char c) { return (c & 0xC0U) != 0x80U; });
      EXPECT_LE(columns, 100) << line;
    }
  }
}

TEST(CommandLine, Counts) {
  const auto count = [](const std::string& text) {
    Parsed parsed;
    parsed.values["count"] = text;
    return parse_count(parsed, "count", 5, 1, 10);
  };
  EXPECT_EQ(count("1"), 1);
  EXPECT_EQ(count("10"), 10);
  EXPECT_EQ(parse_count({}, "count", 5, 1, 10), 5);
  for (const char* text : {"0", "11", "-1", "+1", "", " 1", "1 ", "0x1", "1.0", "1e1", "nan", "99999999999999999999"}) {
    EXPECT_EQ(testing::refusal(ExitCode::usage, [&] { count(text); }),
              "--count takes a whole number from 1 to 10, not '" + std::string(text) + "'");
  }
}

}  // namespace
}  // namespace ganymede::cli
