// The README's tables, the help and the parser are the same: what differs is printed as it should be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "cli/commands.hpp"
#include "report/metrics_log.hpp"

namespace ganymede::cli {
namespace {

std::string readme() {
  std::ifstream in(GANYMEDE_SOURCE_DIR "/README.md");
  return {std::istreambuf_iterator<char>(in), {}};
}

// What stands between <!-- NAME --> and <!-- /END -->, without the line end of the first.
std::string between(const std::string& name, const std::string& end) {
  const std::string text = readme();
  const std::string opening = "<!-- " + name + " -->\n";
  const std::size_t begin = text.find(opening);
  const std::size_t stop = text.find("<!-- /" + end + " -->");
  if (begin == std::string::npos || stop == std::string::npos || stop < begin) return "no such marker";
  return text.substr(begin + opening.size(), stop - begin - opening.size());
}

// A cell of a Markdown table: a bar would end it.
std::string cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, "\\");
  return text;
}

std::string code(const std::string& text) { return text.empty() ? "" : "`" + cell(text) + "`"; }

TEST(Readme, ItsTablesOfOptionsAreTheParsers) {
  for (const Command& command : commands()) {
    if (!std::set<std::string>{"train", "eval", "latent", "judge", "doctor"}.contains(command.syntax.name)) continue;
    std::string expected = "| option | default | meaning |\n|---|---|---|\n";
    for (const Argument& a : command.syntax.arguments)
      expected += "| " + code("--" + a.name + (a.value.empty() ? "" : " " + a.value)) + " | " + code(a.shown_default) +
                  " | " + cell(a.help) + " |\n";
    const std::string marker = "options:" + command.syntax.name;
    EXPECT_TRUE(between(marker, marker) == expected)
        << "Put this between <!-- " << marker << " --> and <!-- /" << marker << " --> in README.md:\n"
        << expected;
  }
}

// Every field of metrics.jsonl has a row of its own, in the order of a line.
TEST(Formats, DescribesEveryFieldOfARecord) {
  std::ifstream in(GANYMEDE_SOURCE_DIR "/docs/FORMATS.md");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  std::size_t at = 0;
  for (const MetricsField& field : metrics_fields()) {
    at = text.find("\n| `" + std::string(field.key) + "` |", at);
    ASSERT_NE(at, std::string::npos) << field.key;
  }
}

TEST(Readme, ItsTableOfCommandsIsThePrograms) {
  std::string expected = "| command | does |\n|---|---|\n";
  for (const Command& c : commands())
    expected += "| " + code(c.syntax.name + (c.syntax.positional.empty() ? "" : " " + c.syntax.positional)) + " | " +
                cell(c.syntax.summary) + " |\n";
  EXPECT_TRUE(between("commands", "commands") == expected)
      << "Put this between <!-- commands --> and <!-- /commands --> in README.md:\n"
      << expected;
}

}  // namespace
}  // namespace ganymede::cli
