// Who started the process: the variables that launchers set, as seen with Open MPI 4.1 and Slurm 22.05.
#include "comm/launch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include <cstdlib>
#include <map>

#include "ganymede/communicator.hpp"
#include "support/refusal.hpp"

namespace ganymede {
namespace {

using Variables = std::map<std::string, std::string>;

comm::Launch detect(const Variables& variables) {
  return comm::detect_launch([&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

std::string refusal(const Variables& variables) {
  return testing::refusal(ExitCode::launch, [&] { detect(variables); });
}

TEST(Launch, OneProcessByDefault) {
  EXPECT_FALSE(detect({}).mpi);
  EXPECT_FALSE(detect({{"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_MCA_btl", "self,tcp"}}).mpi);
}

TEST(Launch, Mpirun) {
  const Variables mpirun = {{"OMPI_COMM_WORLD_SIZE", "3"}, {"PMIX_RANK", "0"}, {"PMIX_NAMESPACE", "42"}};
  EXPECT_TRUE(detect(mpirun).mpi);
  EXPECT_EQ(detect(mpirun).expected_size, 3);
  EXPECT_TRUE(detect({{"OMPI_COMM_WORLD_SIZE", "1"}}).mpi);
  // Inside a batch job mpirun starts its daemons by srun, one a node.
  Variables batch = mpirun;
  batch.insert({{"SLURM_STEP_NUM_TASKS", "2"}, {"SLURM_NTASKS", "3"}});
  EXPECT_EQ(detect(batch).expected_size, 3);
}

TEST(Launch, SrunWithPmix) {
  const auto launch = detect({{"PMIX_RANK", "1"}, {"PMIX_NAMESPACE", "slurm.pmix.7.0"}, {"SLURM_STEP_NUM_TASKS", "4"}});
  EXPECT_TRUE(launch.mpi);
  EXPECT_EQ(launch.expected_size, 4);
}

TEST(Launch, BatchScriptStartsOneProcess) {
  EXPECT_FALSE(detect({{"SLURM_JOB_ID", "7"}, {"SLURM_NTASKS", "8"}, {"SLURM_PROCID", "0"}}).mpi);
  EXPECT_FALSE(detect({{"SLURM_JOB_ID", "7"}, {"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}}).mpi);
}

TEST(Launch, TasksThatCannotFindEachOtherAreRefused) {
  const Variables srun = {{"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_PROCID", "2"}};
  EXPECT_THAT(refusal(srun),
              ::testing::AllOf(::testing::HasSubstr("4 tasks"), ::testing::HasSubstr("srun --mpi=pmix")));
  Variables pmi2 = srun;
  pmi2.insert({{"PMI_RANK", "2"}, {"PMI_SIZE", "4"}});
  EXPECT_THAT(refusal(pmi2), ::testing::HasSubstr("srun --mpi=pmix"));
  EXPECT_THAT(refusal({{"PMI_RANK", "0"}, {"PMI_SIZE", "2"}}), ::testing::HasSubstr("Open MPI's mpirun"));
  EXPECT_EQ(refusal({{"PMI_RANK", "0"}, {"PMI_SIZE", "1"}}), "");
}

TEST(Launch, NumbersThatAreNoneAreIgnored) {
  for (const char* text : {"", "x", "4x", "99999999999999", " 4", "4(x2)"}) {
    EXPECT_FALSE(detect({{"SLURM_STEP_NUM_TASKS", text}, {"OMPI_COMM_WORLD_SIZE", text}, {"PMI_SIZE", text}}).mpi)
        << text;
  }
}

TEST(Launch, OneProcessNeverInitialisesMpi) {
  // The tests themselves may have been started by a launcher.
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMIX_NAMESPACE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    unsetenv(name);
  }
  const auto ranks = make_communicator();
  EXPECT_EQ(ranks->size(), 1);
  EXPECT_EQ(ranks->description(), "one process");
  int initialised = -1;
  MPI_Initialized(&initialised);
  EXPECT_EQ(initialised, 0);

  setenv("SLURM_STEP_NUM_TASKS", "2", 1);
  EXPECT_THROW((void)make_communicator(), Error);
  unsetenv("SLURM_STEP_NUM_TASKS");
}

}  // namespace
}  // namespace ganymede
