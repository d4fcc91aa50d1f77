// What the doctor says of launches that have one thing wrong with them, and of one that has nothing.
#include "doctor/findings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/numbers.hpp"

namespace ganymede::doctor {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

struct Launch {
  std::vector<Facts> ranks;
  Links links;
  Folder folder;
  std::vector<std::string> blind;

  [[nodiscard]] std::vector<Finding> findings() const { return examine(ranks, links, folder, blind); }
};

// Two hosts of two ranks, joined by 10 Gbit/s, four cores each.
Launch healthy() {
  Launch launch;
  for (int rank = 0; rank < 4; ++rank) {
    Facts facts;
    facts.rank = rank;
    facts.host = rank < 2 ? "a" : "b";
    facts.program = "0123";
    facts.cores = {0, 1, 2, 3};
    facts.host_cores = 4;
    facts.interfaces = {{"eth0", rank < 2 ? "10.0.0.1" : "10.0.0.2", 24, 10000}};
    facts.locked_memory = 8 << 20;
    facts.shared_memory = facts.shared_memory_free = std::uint64_t{8} << 30U;
    launch.ranks.push_back(facts);
  }
  launch.links.hosts = 2;
  launch.links.latency = 50e-6;
  launch.links.large = launch.links.large_bytes / 1e9;  // of the 1.25e9 bytes a second that 10 Gbit/s are
  launch.links.clocks = {0, 1e-5, 1e-3, 1e-3};
  launch.links.clock_error = 1e-4;
  launch.folder = {"runs/x", "/shared/runs",        "nfs4", std::uint64_t{1} << 40U, "", 0.01,
                   true,     "/shared/runs/.probe", ""};
  return launch;
}

// The same, and a GPU for each rank.
Launch healthy_gpus() {
  Launch launch = healthy();
  for (Facts& facts : launch.ranks) facts.gpus = {"H100, 0", "H100, 1"};
  launch.links.gpus = GpuSums{30e-6, 64e6, 64e6 / 1.1e9, "NCCL 2.28.9", "", false};
  return launch;
}

void expect_one(const Launch& launch, bool error, const std::string& what, const std::string& mend) {
  const std::vector<Finding> found = launch.findings();
  ASSERT_EQ(found.size(), 1U) << (found.empty() ? "nothing" : found[1].what);
  EXPECT_EQ(found[0].error, error);
  EXPECT_THAT(found[0].what, HasSubstr(what));
  EXPECT_THAT(found[0].mend, HasSubstr(mend));
}

TEST(Doctor, HasNothingToSayOfAHealthyLaunch) {
  EXPECT_TRUE(healthy().findings().empty());
  EXPECT_TRUE(healthy_gpus().findings().empty());
}

TEST(Doctor, SumsOverGpus) {
  Launch launch = healthy_gpus();
  launch.links.gpus->large *= 10;
  expect_one(launch, false, "over the GPUs moves 105 MiB/s, 9 % of what the hosts' interfaces give",
             "NCCL_SOCKET_IFNAME");

  // On one host: against what MPI does in its memory.
  launch = healthy_gpus();
  launch.links.hosts = 1;
  for (Facts& facts : launch.ranks) facts.host = "a";
  for (Facts& facts : launch.ranks) facts.gpus = {"H100, 0", "H100, 1", "H100, 2", "H100, 3"};
  EXPECT_TRUE(launch.findings().empty());
  launch.links.gpus->large *= 10;
  expect_one(launch, false, "over the GPUs moves 105 MiB/s, 11 % of what MPI does from the hosts' memory",
             "NCCL_DEBUG=INFO");

  launch = healthy_gpus();
  launch.links.gpus->latency = 3e-3;
  expect_one(launch, false, "a sum of 1 KiB over the GPUs takes 3 ms", "--batch");

  launch.links.gpus->problem = "rank 1 on a: NCCL cannot join the ranks: no route; NCCL_DEBUG=INFO tells more";
  expect_one(launch, true, "no sums over the GPUs: rank 1 on a: NCCL cannot join the ranks: no route",
             "NCCL_DEBUG=INFO tells more");
  launch.links.gpus->late = true;
  expect_one(launch, false, "no route", "NCCL_DEBUG=INFO tells more");
}

TEST(Doctor, GpusSumWhereEachRankCanHaveOne) {
  std::vector<Facts> ranks = healthy_gpus().ranks;
  EXPECT_TRUE(gpus_can_sum(ranks));
  EXPECT_FALSE(gpus_can_sum({ranks[0]}));
  EXPECT_FALSE(gpus_can_sum(healthy().ranks));
  // Each sees its own alone.
  ranks[0].gpus = {"H100, 0"};
  ranks[1].gpus = {"H100, 1"};
  EXPECT_TRUE(gpus_can_sum(ranks));
  ranks[1].gpus = ranks[0].gpus;
  EXPECT_FALSE(gpus_can_sum(ranks));
  ranks = healthy_gpus().ranks;
  ranks[3].gpu_problem = "the driver is too old";
  EXPECT_FALSE(gpus_can_sum(ranks));
}

TEST(Doctor, OtherBuilds) {
  Launch launch = healthy();
  launch.ranks[3].program = "4567";
  expect_one(launch, true, "rank 0 on a runs another build of the program than ranks on b", "the same build");
}

TEST(Doctor, Cores) {
  Launch launch = healthy();
  launch.ranks[0].cores = launch.ranks[1].cores = {2};
  expect_one(launch, false, "ranks 0 and 1 on a share core 2", "--bind-to none");
  launch = healthy();
  for (Facts& facts : launch.ranks) {
    facts.cores = {facts.rank};  // of their own
    facts.host_cores = 4;
  }
  EXPECT_TRUE(launch.findings().empty());
  launch = healthy();
  launch.ranks[2].cores = launch.ranks[3].cores = {0};
  launch.ranks[2].host_cores = launch.ranks[3].host_cores = 1;
  expect_one(launch, false, "ranks 2 and 3 on b share core 0", "no more ranks than the host has cores");
  launch = healthy();
  for (int rank : {0, 1}) launch.ranks[rank].core_quota = 2;
  expect_one(launch, false, "on a grants the time of 2 of their 4 cores", "--threads 1,");
}

TEST(Doctor, Gpus) {
  Launch launch = healthy();
  for (Facts& facts : launch.ranks) facts.gpus = {"H100, 0000:1B:00.0", "H100, 0000:1C:00.0"};
  EXPECT_TRUE(launch.findings().empty());  // all of them, and one for each
  for (Facts& facts : launch.ranks) facts.gpus = {facts.rank % 2 == 0 ? "H100, 0000:1B:00.0" : "H100, 0000:1C:00.0"};
  EXPECT_TRUE(launch.findings().empty());  // each its own
  launch.ranks[1].gpus = launch.ranks[0].gpus;
  expect_one(launch, false, "2 ranks on a have 1 GPU", "--gpus-per-task=1");
  launch = healthy();
  launch.ranks[2].gpu_problem = "the driver is too old: install 580";
  expect_one(launch, false, "no GPU can be used on b: the driver is too old: install 580", "--device cpu");
}

TEST(Doctor, Network) {
  Launch launch = healthy();
  for (Facts& facts : launch.ranks) facts.interfaces.push_back({"docker0", "172.17.0.1", 16, 0});
  expect_one(launch, false, "hosts a and b have the same address 172.17.0.1 on docker0",
             "--mca btl_tcp_if_exclude lo,docker0");
  launch = healthy();
  launch.links.large *= 10;
  expect_one(launch, false, "95.4 MiB/s, 8 % of what their interfaces give", "btl_tcp_if_include");
  launch = healthy();
  launch.links.latency = 8e-3;
  expect_one(launch, false, "a sum of 1 KiB over the hosts takes 8 ms", "--batch");
}

TEST(Doctor, BandwidthThatInterfacesGive) {
  Launch launch = healthy();
  EXPECT_DOUBLE_EQ(expected_bandwidth(launch.ranks, 2), 1.25e9);
  EXPECT_DOUBLE_EQ(expected_bandwidth(launch.ranks, 4), 1.25e9 * 4 / 6);
  launch.ranks[3].interfaces[0].megabits = 1000;
  EXPECT_DOUBLE_EQ(expected_bandwidth(launch.ranks, 2), 1.25e8);
  launch.ranks[3].interfaces[0].megabits = 0;
  EXPECT_EQ(expected_bandwidth(launch.ranks, 2), 0);
  EXPECT_EQ(expected_bandwidth(launch.ranks, 1), 0);
}

TEST(Doctor, Clocks) {
  Launch launch = healthy();
  launch.links.clocks = {0, 0, 7, 7};
  expect_one(launch, false, "the clock of b is 7 s ahead of that of a", "NTP");
  launch.links.clock_error = 4;  // too busy to say
  EXPECT_TRUE(launch.findings().empty());
}

TEST(Doctor, Memory) {
  Launch launch = healthy();
  launch.ranks[2].shared_memory = launch.ranks[2].shared_memory_free = 64 << 20;
  expect_one(launch, false, "/dev/shm of b has 64 MiB free of 64 MiB, for 2 ranks", "--shm-size=256m");
  launch = healthy();
  launch.ranks[0].infiniband = true;
  expect_one(launch, false, "ranks on a may lock 8 MiB", "LimitMEMLOCK=infinity");
}

TEST(Doctor, Folder) {
  Launch launch = healthy();
  launch.folder.problem = "Read-only file system";
  expect_one(launch, true, "nothing can be written to /shared/runs (nfs4) on a: Read-only file system",
             "another --out");
  launch = healthy();
  launch.blind = {"b"};
  expect_one(launch, false, "runs/x (nfs4) is not seen on b", "rank 0 on a each time");
  launch = healthy();
  launch.folder.sync_seconds = 2;
  expect_one(launch, false, "1 MiB takes 2 s to the disk in runs/x", "--checkpoint-every");
  launch = healthy();
  launch.folder.free = 1 << 20;
  expect_one(launch, false, "1 MiB are free", "make room");

  launch = healthy();
  launch.folder.refused = "--out runs/x is not a folder";
  expect_one(launch, true, "is not a folder", "a training would refuse it");
  launch = healthy();
  launch.folder.file_system = "overlay";
  expect_one(launch, false, "the container's own layer", "--volume");
}

TEST(Doctor, SlurmTasksThatWereNotStarted) {
  Launch launch = healthy();
  launch.ranks.resize(1);
  launch.links = {};
  launch.links.clocks = {0};
  launch.ranks[0].environment = {{"SLURM_JOB_ID", "4"}, {"SLURM_NTASKS", "4"}};
  expect_one(launch, false, "this Slurm job has 4 tasks, and one rank was started", "srun --mpi=pmix");
}

TEST(Doctor, ErrorsComeFirst) {
  Launch launch = healthy();
  launch.ranks[0].cores = launch.ranks[1].cores = {2};
  launch.folder.problem = "No space left on device";
  launch.folder.sync_seconds = 9;
  const std::vector<Finding> found = launch.findings();
  ASSERT_EQ(found.size(), 2U);
  EXPECT_TRUE(found[0].error);
  EXPECT_FALSE(found[1].error);
}

TEST(Doctor, NumbersAsPeopleWriteThem) {
  EXPECT_EQ(bytes_text(12), "12 B");
  EXPECT_EQ(bytes_text(3.0 * 1024 * 1024 / 2), "1.5 MiB");
  EXPECT_EQ(time_text(8.5e-5), "85 µs");
  EXPECT_EQ(time_text(0.0123), "12.3 ms");
  EXPECT_EQ(time_text(3.25), "3.25 s");
  EXPECT_EQ(speed_text(0), "unknown speed");
  EXPECT_EQ(speed_text(100), "100 Mbit/s");
  EXPECT_EQ(speed_text(25000), "25 Gbit/s");
}

}  // namespace
}  // namespace ganymede::doctor
