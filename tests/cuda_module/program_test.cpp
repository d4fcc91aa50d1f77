// The program on machines that lack something for a GPU: `--device cuda` ends with code 4 and a sentence, `--device
// auto` trains on the CPU, silently where nobody expects a GPU and with a warning where one cannot be used. The drivers
// are ours (modules/driver.cpp), the module and CUDA's runtime in it are the real ones.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/process.hpp"

namespace ganymede::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string broken = GANYMEDE_BROKEN_MODULES;

/// A training with these variables in its environment.
Ending train(const Words& variables, const std::string& device) {
  const TemporaryFolder folder;
  return run(Words{"env"} + variables + tiny_training("run", {"--steps", "2", "--device", device}), folder.path());
}

Words driver(const std::string& name) { return {"LD_LIBRARY_PATH=" + broken + "/driver_" + name}; }
Words module(const std::string& name) { return {"GANYMEDE_CUDA_MODULE=" + broken + "/" + name + ".so"}; }

void expect_refused(const Words& variables, const std::string& says) {
  const Ending ending = train(variables, "cuda");
  EXPECT_EQ(ending.code, 4);
  EXPECT_THAT(ending.err, HasSubstr(says));
  EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
}

TEST(Program, TrainsOnTheCpuWithAWarningWhereTheModuleIsBrokenAndADriverIsThere) {
  for (const std::string name : {"needs_absent", "other_build", "no_module"}) {
    const Ending ending = train(driver("idle") + module(name), "auto");
    EXPECT_EQ(ending.code, 0) << ending.err;
    EXPECT_THAT(ending.out + ending.err, AllOf(HasSubstr("training on the CPU, because"), HasSubstr(name + ".so")));
    expect_refused(driver("idle") + module(name), name + ".so");
  }
}

TEST(Program, NamesALibraryThatCannotBeUsed) {
  const auto expect = [](const std::string& folder, const std::string& why) {
    expect_refused(module("needs_nccl") + Words{"LD_LIBRARY_PATH=/nowhere:" + folder},
                   "needs_nccl.so cannot be opened with " + folder + "/libnccl_test.so.1 (" + why +
                       "): LD_LIBRARY_PATH names its folder: take that out");
  };
  expect(broken + "/nccl_older", "it has no ncclTest");
  const TemporaryFolder folder;
  write(folder.path() / "libnccl_test.so.1", "");
  expect(folder.path().string(), "file too short");
  write(folder.path() / "libnccl_test.so.1", std::string(4096, 'x'));
  expect(folder.path().string(), "invalid ELF header");
  expect_refused(module("needs_nccl") + Words{"LD_LIBRARY_PATH=" + broken + "/nccl_whole"}, "is no CUDA module");
}

#ifdef GANYMEDE_HAS_CUDA_MODULE

TEST(Program, AnOldDriver) {
  const Ending ending = train(driver("old"), "auto");
  EXPECT_EQ(ending.code, 0) << ending.err;
  EXPECT_THAT(ending.out + ending.err, HasSubstr("the NVIDIA driver is too old: it runs CUDA 12.4"));
  expect_refused(driver("old"), "the NVIDIA driver is too old: it runs CUDA 12.4");
}

TEST(Program, ADriverWithoutAGpu) {
  const Ending ending = train(driver("idle"), "auto");
  EXPECT_EQ(ending.code, 0) << ending.err;
  EXPECT_THAT(ending.out + ending.err, Not(HasSubstr("GPU")));
  expect_refused(driver("idle"), "sees no GPU that this process may use");
  expect_refused(driver("idle") + Words{"CUDA_VISIBLE_DEVICES=7"}, "CUDA_VISIBLE_DEVICES says \"7\"");
}

/// As this machine is: with no driver nothing but this is in the way, and with one nothing is.
TEST(Program, ThisMachinesDriver) {
  const Ending by_itself = train({}, "auto");
  EXPECT_EQ(by_itself.code, 0) << by_itself.err;
  if (dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL) == nullptr) {
    EXPECT_THAT(by_itself.out + by_itself.err, Not(HasSubstr("GPU")));
    const std::string says = "there is no NVIDIA driver here (libcuda.so.1): install one that runs CUDA ";
    expect_refused({}, says);
    const Ending timed = run({GANYMEDE_PROGRAM, "bench", "--device", "cuda"}, TemporaryFolder().path());
    EXPECT_EQ(timed.code, 4);
    EXPECT_THAT(timed.err, HasSubstr(says));
    EXPECT_EQ(lines(timed.err).size(), 1U) << timed.err;
    const Ending broken_too = train(module("needs_absent"), "auto");
    EXPECT_EQ(broken_too.code, 0) << broken_too.err;
    EXPECT_THAT(broken_too.out + broken_too.err, Not(HasSubstr("GPU")));
  } else {
    const Ending asked = train({}, "cuda");
    EXPECT_EQ(asked.code, 0) << asked.err;
  }
}

#else

TEST(Program, ABuildWithoutAModule) {
  const Ending ending = train(driver("idle"), "auto");
  EXPECT_EQ(ending.code, 0) << ending.err;
  EXPECT_THAT(ending.out + ending.err, Not(HasSubstr("GPU")));
  expect_refused({}, "this build has no GPU backend: there is no libganymede_cuda.so in ");
}

#endif

}  // namespace
}  // namespace ganymede::test
