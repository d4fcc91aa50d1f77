// What is deleted in a run's folder when a training that was killed goes on.
#include "report/run_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <set>
#include <string>

#include "core/files.hpp"
#include "support/temporary_folder.hpp"

namespace ganymede {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::KilledBySignal;

// The kernel kills whoever writes more than it may.
[[noreturn]] void write_until_killed(const fs::path& file) {
  const rlimit none{0, 0};
  const rlimit little{10, 10};
  setrlimit(RLIMIT_CORE, &none);
  setrlimit(RLIMIT_FSIZE, &little);
  std::signal(SIGXFSZ, SIG_DFL);
  write_file_atomically(file, "more than there is room for");
  std::abort();
}

TEST(RunFolder, SweepsWhatAKilledTrainingWasWriting) {
  const test::TemporaryFolder scratch;
  const RunFolder folder(scratch / "run");
  folder.make();
  const auto names = [&] {
    std::set<std::string> all;
    for (const auto& entry : fs::recursive_directory_iterator(folder.root()))
      if (entry.is_regular_file()) all.insert(fs::relative(entry.path(), folder.root()));
    return all;
  };
  for (const fs::path& file : {folder.report(), folder.generator(), folder.sample(7), folder.real_sample()})
    EXPECT_EXIT(write_until_killed(file), KilledBySignal(SIGXFSZ), "");
  ASSERT_EQ(names().size(), 4U);
  // Complete ones, ones of others, and names that only look alike.
  write_file_atomically(folder.report(), "a page");
  EXPECT_EXIT(write_until_killed(folder.evaluation()), KilledBySignal(SIGXFSZ), "");
  const std::string of_eval = [&] {
    for (const std::string& name : names())
      if (name.starts_with(".eval.json.")) return name;
    return std::string();
  }();
  for (const char* name : {".notes.0123456789ab.part", ".report.html.0123456789.part", ".report.html.0123456789aZ.part",
                           "report.html.0123456789ab.part"})
    write_file_atomically(folder.root() / name, "other");
  folder.sweep();
  EXPECT_THAT(names(), ElementsAre(of_eval, ".notes.0123456789ab.part", ".report.html.0123456789.part",
                                   ".report.html.0123456789aZ.part", "report.html", "report.html.0123456789ab.part"));
}

}  // namespace
}  // namespace ganymede
