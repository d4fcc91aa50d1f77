// What a rank finds out about its place, beside what the system says in other ways.
#include "doctor/facts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/cores.hpp"
#include "core/files.hpp"
#include "ganymede/communicator.hpp"
#include "support/temporary_folder.hpp"

namespace ganymede::doctor {
namespace {

TEST(Cores, AreThoseOfTheAffinity) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  const std::vector<int> all = usable_cores();
  EXPECT_EQ(static_cast<int>(all.size()), CPU_COUNT(&before));
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(all.back(), &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(usable_cores(), std::vector<int>{all.back()});
  ASSERT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
}

TEST(Cores, AreListedAsTasksetTakesThem) {
  EXPECT_EQ(core_list({0}), "0");
  EXPECT_EQ(core_list({0, 1, 2, 3, 8}), "0-3,8");
  EXPECT_EQ(core_list({1, 3, 4}), "1,3-4");
}

TEST(Facts, AreThisProcesss) {
  setenv("SLURM_JOB_ID", "17", 1);
  const Facts facts = look_around(3);
  unsetenv("SLURM_JOB_ID");
  EXPECT_EQ(facts.rank, 3);
  EXPECT_EQ(facts.host, host_name());
  EXPECT_EQ(facts.program, digest(read_file("/proc/self/exe")));
  EXPECT_EQ(facts.environment.at("SLURM_JOB_ID"), "17");
  EXPECT_GE(facts.host_cores, static_cast<int>(facts.cores.size()));
  EXPECT_GE(facts.shared_memory, facts.shared_memory_free);
  for (const Interface& i : facts.interfaces) EXPECT_NE(i.name, "lo");
}

TEST(Facts, TravelAsText) {
  Facts facts = look_around(0);
  facts.interfaces = {{"eth9", "10.1.2.3", 16, 2500}};
  facts.cuda = "driver for CUDA 13.0";
  facts.gpu_problem = "a \"quote\"\nand a line";
  facts.locked_memory = ~std::uint64_t{0};
  const Facts back = from_text(to_text(facts));
  EXPECT_EQ(to_text(back), to_text(facts));
  EXPECT_EQ(back.interfaces.at(0).address, "10.1.2.3");
  EXPECT_EQ(back.locked_memory, ~std::uint64_t{0});
}

TEST(Folder, IsTriedWhereItWouldBeMade) {
  const test::TemporaryFolder here;
  const Folder folder = try_folder(here.path() / "a/b", [] { return std::string("refused"); });
  EXPECT_EQ(folder.problem, "");
  EXPECT_EQ(folder.existing, std::filesystem::canonical(here.path()).string());
  EXPECT_EQ(std::filesystem::file_size(folder.probe), 1U << 20U);
  EXPECT_TRUE(folder.synced);
  EXPECT_GT(folder.sync_seconds, 0);
  EXPECT_EQ(folder.refused, "refused");
  EXPECT_FALSE(std::filesystem::exists(here.path() / "a"));
  std::filesystem::remove(folder.probe);
}

TEST(Folder, ThatCannotBeWrittenSaysWhy) {
  const Folder folder = try_folder("/proc/run", [] { return std::string(); });
  EXPECT_EQ(folder.file_system, "proc");
  EXPECT_NE(folder.problem, "");
  EXPECT_EQ(folder.probe, "");
}

}  // namespace
}  // namespace ganymede::doctor
