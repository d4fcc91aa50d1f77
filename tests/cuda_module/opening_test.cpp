// Opening the CUDA module: each thing that can be wrong with it is one sentence that names it and says what to do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "device/cuda_module.hpp"
#include "ganymede/error.hpp"
#include "support/environment.hpp"
#include "support/refusal.hpp"
#include "support/temporary_folder.hpp"

namespace ganymede {
namespace {

namespace fs = std::filesystem;
using test::Environment;
using test::TemporaryFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* chosen = "GANYMEDE_CUDA_MODULE";

std::string broken(const std::string& name) { return std::string(GANYMEDE_BROKEN_MODULES) + "/" + name + ".so"; }

/// What cuda_device_factory() says on its way out; empty when it returns.
std::string refusal(const fs::path& program) {
  std::string said = testing::refusal(ExitCode::launch, [&] { cuda_device_factory(program); });
  EXPECT_THAT(said, Not(HasSubstr("\n")));
  return said;
}

std::string refusal_of(const std::string& module) {
  const Environment name(chosen, broken(module));
  return refusal("/nowhere");
}

TEST(Opening, WithoutAModuleSaysWhereItLookedAndHowToBuildOne) {
  const Environment none(chosen, std::nullopt);
  const TemporaryFolder folder;
  EXPECT_THAT(refusal(folder / "bin"), AllOf(HasSubstr("no libganymede_cuda.so in " + (folder / "lib").string() +
                                                       " and " + folder.path().string()),
                                             HasSubstr("launch/install --cuda"), HasSubstr("--device cpu")));
  const CudaProbe probe = probe_cuda(folder / "bin");
  EXPECT_TRUE(probe.expected);
  EXPECT_THAT(probe.problem, HasSubstr("no GPU backend"));
}

TEST(Opening, FindsTheModuleOfABuildTreeAndOfAnInstallation) {
  const Environment none(chosen, std::nullopt);
  const Environment sight("GANYMEDE_TEST_SIGHT", "turing beside volta");
  const TemporaryFolder folder;
  for (const char* place : {"lib", "lib/ganymede"}) {
    fs::create_directories(folder / place);
    fs::copy_file(broken("sights"), folder / place / "libganymede_cuda.so");
    EXPECT_NE(cuda_device_factory(folder / "bin"), nullptr) << place;
    fs::remove(folder / place / "libganymede_cuda.so");
  }
}

TEST(Opening, AModuleThatWasNamedAndIsNotThere) {
  const Environment name(chosen, "/nowhere/module.so");
  EXPECT_THAT(refusal("/"),
              AllOf(HasSubstr("GANYMEDE_CUDA_MODULE is set to /nowhere/module.so"), HasSubstr("unset it")));
  EXPECT_FALSE(probe_cuda("/").expected);
}

TEST(Opening, NamesTheMissingLibrary) {
  EXPECT_THAT(refusal_of("needs_absent"), AllOf(HasSubstr(broken("needs_absent") + " needs libganymede_absent.so.1"),
                                                HasSubstr("LD_LIBRARY_PATH")));
}

TEST(Opening, AFileThatIsNoLibrary) {
  const TemporaryFolder folder;
  std::ofstream(folder / "text.so") << "not what you think";
  const Environment name(chosen, (folder / "text.so").string());
  EXPECT_THAT(refusal("/"), AllOf(HasSubstr("cannot be opened"), HasSubstr("text.so"), HasSubstr("build it anew")));
}

TEST(Opening, ALibraryThatIsNoModule) {
  EXPECT_THAT(refusal_of("no_module"), HasSubstr("is no CUDA module of Ganymede"));
}

TEST(Opening, AModuleOfAnotherBuild) {
  EXPECT_THAT(refusal_of("other_build"), AllOf(HasSubstr("of another build (0.0.9, GNU 11.4.0, 0123456789ab)"),
                                               HasSubstr("build or install both together")));
}

TEST(Opening, SaysWhatIsWrongWithDriversAndGpus) {
  const struct {
    const char* sight;
    const char* says;
  } cases[] = {
      {"volta",
       "no GPU here has compute capability 7.5 or more (Turing, 2018): Tesla V100-SXM2-16GB has 7.0, Quadro "
       "P2000 has 6.1"},
      {"old driver", "it runs CUDA 12.4, and this program is built with 13.0"},
      {"failed", "cudaErrorSystemNotReady, system not yet initialized"},
  };
  for (const auto& one : cases) {
    const Environment sight("GANYMEDE_TEST_SIGHT", one.sight);
    EXPECT_THAT(refusal_of("sights"), AllOf(HasSubstr(one.says), HasSubstr("--device cpu"))) << one.sight;
  }
  const Environment sight("GANYMEDE_TEST_SIGHT", "turing beside volta");
  EXPECT_THAT(refusal_of("sights"), IsEmpty());
}

}  // namespace
}  // namespace ganymede
