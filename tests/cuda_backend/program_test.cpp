// The program on simulated GPUs, one of which a rank cannot use, or fails it in a step: the job ends with the
// documented code and one sentence that names the rank, and no process stays behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "cli/process.hpp"

namespace ganymede::test {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

constexpr int ranks = 2;

class GpuFault : public ::testing::Test {
 protected:
  // A command with a GPU for each rank; `shell` is run before it, where $rank is the rank. Each rank's own exit code is
  // kept: mpirun has one for all.
  Ending on_gpus(const std::string& shell, const Words& command) {
    for (int rank = 0; rank < ranks; ++rank) std::filesystem::remove(code_file(rank));
    // mpirun ends the rest as soon as one has ended with an error: each shell waits for its program's end all the same.
    write(folder_.path() / "wrapper",
          "rank=$OMPI_COMM_WORLD_RANK\nexport GANYMEDE_CUDA_SIM_DEVICES=H100,H100\n" + shell + R"(
trap 'told=1' TERM
"$@" &
echo $! > pid.$rank
while told=; wait $!; now=$?; [ $now = 127 ] || code=$now; [ "$told" ]; do :; done
echo $code > code.$rank
exit $code
)");
    return run(Words{"env", "GANYMEDE_CUDA_MODULE=" GANYMEDE_SIMULATED_MODULE, GANYMEDE_LAUNCH "/mpirun", "-n",
                     std::to_string(ranks), "sh", "wrapper"} +
                   command,
               folder_.path());
  }
  Ending train(const std::string& shell, const std::string& device = "cuda", const Words& options = {}) {
    return on_gpus(shell,
                   tiny_training("run", Words{"--steps", "3", "--sample-every", "0", "--device", device} + options));
  }
  void expect_one_message(const Ending& ending, int code, const std::string& expression) const {
    EXPECT_EQ(ending.code, code) << ending.err;
    EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
    EXPECT_THAT(ending.err, AllOf(StartsWith("ganymede: "), ContainsRegex(expression)));
    for (int rank = 0; rank < ranks; ++rank) {
      const std::string text = content(folder_.path() / ("pid." + std::to_string(rank)));
      ASSERT_NE(text, "");
      EXPECT_TRUE(eventually([&] { return ::kill(static_cast<pid_t>(std::stol(text)), 0) != 0 && errno == ESRCH; }))
          << "rank " << rank << " is still there";
    }
  }

  /// What all ranks have found out together ends each of them in good order, with the same code.
  void expect_one_message_of_all(const Ending& ending, int code, const std::string& expression) const {
    expect_one_message(ending, code, expression);
    for (int rank = 0; rank < ranks; ++rank)
      EXPECT_TRUE(eventually([&] { return content(code_file(rank)) == std::to_string(code) + "\n"; }))
          << "rank " << rank << " ended with " << content(code_file(rank));
  }
  [[nodiscard]] std::filesystem::path code_file(int rank) const {
    return folder_.path() / ("code." + std::to_string(rank));
  }

  /// A process that fails frees nothing by itself.
  const std::string leaves = "export GANYMEDE_CUDA_SIM_LEAVES_ALL=1\n";
  TemporaryFolder folder_;
};

TEST_F(GpuFault, TheProgramTrainsOnThem) {
  const Ending ending = train("");
  EXPECT_EQ(ending.code, 0) << ending.err;
  EXPECT_EQ(ending.err, "");
  EXPECT_THAT(ending.out, AllOf(ContainsRegex("\nrank 0 +[^ ]+  simulated H100 .no GPU. .0000:17:00.0.\n"
                                              "rank 1 +[^ ]+  simulated H100 .no GPU. .0000:18:00.0.\n"),
                                HasSubstr("done: 3 steps")));
  // What a graph's phases take nobody knows.
  const std::string whole = R"re("parts":.*"steps":[0-9.]+\}\})re";
  EXPECT_THAT(lines(content(folder_.path() / "run/timing.jsonl")),
              ElementsAre(AllOf(HasSubstr(R"("steps":3,"rank":0)"), ContainsRegex(whole), Not(HasSubstr("forward"))),
                          AllOf(HasSubstr(R"("steps":3,"rank":1)"), ContainsRegex(whole), Not(HasSubstr("forward")))));
}

// Graphs, waiting and the way of sums are no part of what is computed.
TEST_F(GpuFault, TheProgramTrainsToTheSameWeightsWithoutAGraphThroughMpiAndWithDebug) {
  const auto digests = [&](const std::string& out, const Words& options) {
    const Ending ending =
        on_gpus("", tiny_training(out, Words{"--steps", "3", "--sample-every", "0", "--device", "cuda"} + options));
    EXPECT_EQ(ending.code, 0) << ending.err;
    const std::string log = content(folder_.path() / out / "logs/rank-0000.log");
    std::smatch found;
    EXPECT_TRUE(std::regex_search(log, found, std::regex("steps, (generator .+, discriminator .+)"))) << log;
    return found.str(1);
  };
  const std::string usual = digests("usual", {});
  EXPECT_EQ(digests("plain", {"--no-graph"}), usual);
  EXPECT_EQ(digests("mpi", {"--reduction", "mpi"}), usual);
  EXPECT_EQ(digests("debug", {"--debug"}), usual);
}

TEST_F(GpuFault, TheProgramTrainsInBfloat16) {
  const Ending ending = train("", "cuda", {"--precision", "bf16"});
  EXPECT_EQ(ending.code, 0) << ending.err;
  EXPECT_THAT(ending.out, AllOf(HasSubstr("bfloat16"), HasSubstr("done: 3 steps")));
}

TEST_F(GpuFault, ARankWhoseGpuIsTooOldForBfloat16) {
  expect_one_message_of_all(
      train("[ $rank = 0 ] || export GANYMEDE_CUDA_SIM_DEVICES=H100,T4", "cuda", {"--precision", "bf16"}), 4,
      "rank 1 on [^ ]*: --precision bf16 needs a GPU of compute capability 8.0 .*T4.* has 7.5: train with "
      "--precision fp32");
}

// One rank with what its GPU has memory for.
class SmallGpu : public GpuFault {
 protected:
  Ending train(const std::string& mebibytes, const std::string& batch, const Words& options) {
    return run(Words{"env", "GANYMEDE_CUDA_MODULE=" GANYMEDE_SIMULATED_MODULE,
                     "GANYMEDE_CUDA_SIM_DEVICES=H100:memory=" + std::to_string(std::stoul(mebibytes) << 20U),
                     "GANYMEDE_CUDA_SIM_LEAVES_ALL=1"} +
                   ganymede({"train", "--out", "run-" + batch, "--data", "mnist-mini", "--device", "cuda", "--latent",
                             "4", "--discriminator-hidden", "8", "--batch", batch, "--memory-report"}) +
                   options,
               folder_.path());
  }
  /// The batch that a refusal proposes.
  static std::string proposed(const Ending& refused) {
    EXPECT_EQ(refused.code, 4) << refused.err;
    std::smatch found;
    EXPECT_TRUE(std::regex_search(refused.err, found, std::regex("--batch ([0-9]+) is the largest that fits")))
        << refused.err;
    return found[1];
  }
};

// On a GPU that has little more than the data set, what pictures, diagnoses and evaluations take, and a step.
TEST_F(SmallGpu, TrainsToItsEndWithTheLargestBatchThatFits) {
  const Words options = {"--generator-hidden", "8", "--steps",        "3",  "--diagnose-every", "2",
                         "--eval-every",       "2", "--eval-samples", "128"};
  const Ending ending = train("16", proposed(train("16", "1000", options)), options);
  EXPECT_EQ(ending.code, 0) << ending.err;
  // A training without libraries takes what was planned.
  std::smatch planned;
  std::smatch measured;
  ASSERT_TRUE(std::regex_search(ending.out, planned, std::regex("([0-9.]+ MiB)  in all\n"))) << ending.out;
  ASSERT_TRUE(std::regex_search(ending.out, measured, std::regex("measured: ([0-9.]+ MiB)\n"))) << ending.out;
  EXPECT_EQ(measured[1], planned[1]);
}

// What was left to cuBLASLt is less than it takes, in a step.
TEST_F(SmallGpu, ProposesABatchWhereALibraryFindsNoMemory) {
  const Words options = {"--generator-hidden", "256", "--steps", "1", "--diagnose-every", "0"};
  const Ending refused = train("64", "1200", options);
  EXPECT_THAT(refused.err, ContainsRegex("^ganymede: there is no memory for 32 MiB on the GPU, and [0-9.]+ MiB of its "
                                         "64 MiB are free: --batch [0-9]+ is the largest that fits"));
  const Ending ending = train("64", proposed(refused), options);
  EXPECT_EQ(ending.code, 0) << ending.err;
}

TEST_F(GpuFault, ARankThatCannotBindItsGpu) {
  const std::string rank_1 = "^ganymede: rank 1 on [^ ]*: ";
  expect_one_message_of_all(train("[ $rank = 0 ] || export GANYMEDE_CUDA_SIM_DEVICES=H100:busy"), 4,
                            rank_1 + ".*another process has the GPU to itself");
  expect_one_message_of_all(train("[ $rank = 0 ] || export CUDA_VISIBLE_DEVICES=7"), 4,
                            rank_1 + ".*no GPU that this process may use.*CUDA_VISIBLE_DEVICES says \"7\"");
  expect_one_message_of_all(train("[ $rank = 0 ] || export GANYMEDE_CUDA_SIM_DEVICES=H100", "cuda:1"), 4,
                            rank_1 + "there is no GPU 1 here: this process sees 1");
  expect_one_message_of_all(train("export CUDA_VISIBLE_DEVICES=0"), 4, "ranks 0 and 1 on [^ ]* share one GPU");
  expect_one_message_of_all(train("", "cuda:1"), 4, "share one GPU.*--device cuda:1 names that GPU to all ranks");
}

TEST_F(GpuFault, OldGpusBesideGoodOnesAreNotCounted) {
  for (const char* device : {"cuda", "auto"}) {
    // Only where a driver is, does `auto` look further: any library will do.
    if (!std::filesystem::exists(folder_.path() / "libcuda.so.1"))
      std::filesystem::create_symlink(GANYMEDE_SIMULATED_MODULE, folder_.path() / "libcuda.so.1");
    const std::string driver = "export LD_LIBRARY_PATH=" + folder_.path().string() + "\n";
    std::filesystem::remove_all(folder_.path() / "run");
    const Ending ending = train(driver + "export GANYMEDE_CUDA_SIM_DEVICES=P100,H100,P100,A100", device);
    EXPECT_EQ(ending.code, 0) << ending.err;
    EXPECT_THAT(ending.out, ContainsRegex("\nrank 0 +[^ ]+  simulated H100 .no GPU. .0000:18:00.0.\n"
                                          "rank 1 +[^ ]+  simulated A100 .no GPU. .0000:1A:00.0.\n"));
  }
  std::filesystem::remove_all(folder_.path() / "run");
  expect_one_message_of_all(
      train("export GANYMEDE_CUDA_SIM_DEVICES=P100,H100"), 4,
      "share one GPU .*no more ranks on a host than it has GPUs of compute capability 7.5 or more");
}

TEST_F(GpuFault, ARankThatFailsInAStep) {
  expect_one_message(train("[ $rank = 0 ] || export GANYMEDE_CUDA_SIM_FAIL=cudaGraphLaunch:1"), 4,
                     "^ganymede: rank 1 on [^ ]*: CUDA could not launch the step's graph");
}

// Each function that a training with convolutions and batch normalisation on two ranks calls, whose sums stand in the
// midst of each pass, fails on one rank in its first call and in one on the way: the other, which waits for it, ends
// too.
class GpuEveryFunction : public GpuFault {
 protected:
  // Of a line of the simulator's: a function and how often it was called.
  static int count_of(const std::string& line) { return std::stoi(line.substr(line.find(' ') + 1)); }
  static int calls_of(const std::string& function, const std::filesystem::path& file) {
    for (const std::string& line : lines(content(file)))
      if (line.starts_with(function + " ")) return count_of(line);
    return 0;
  }
  void fail_each(const std::string& reduction) {
    const std::string header("\0\0\x08\x03\0\0\0\x08\0\0\0\x08\0\0\0\x08", 16);
    write(folder_.path() / "set/train-images-idx3-ubyte", header + std::string(8 * 8 * 8, 'X'));
    write(folder_.path() / "options.ini",
          "data = set\nmodel = dcgan\nchannels = 3,4\nfully-connected = 6\nlatent = 3\nbatch = 4\nsteps = 4\n"
          "generator-norm = batch\nr1 = 0\nsample-every = 2\nsample-count = 4\ndiagnose-every = 0\ndevice = cuda\n"
          "reduction = " +
              reduction + "\n");
    const auto train = [&](const std::string& out, const std::string& rank_1) {
      return on_gpus(leaves + "[ $rank = 0 ] || export " + rank_1,
                     ganymede({"train", "--config", "options.ini", "--out", out}));
    };
    const std::filesystem::path file = folder_.path() / "calls";
    const Ending whole = train("whole", "GANYMEDE_CUDA_SIM_CALLS=" + file.string());
    ASSERT_EQ(whole.code, 0) << whole.err;
    int failures = 0;
    for (const std::string& line : lines(content(file))) {
      const std::string function = line.substr(0, line.find(' '));
      const int count = count_of(line);
      // What ends things, asks, or tells of errors may fail unnoticed.
      if (std::regex_search(function, std::regex("Destroy|Free|GetError|LastError|GetNodes|Version|Abort|Finalize$")))
        continue;
      // Of what is called a few times all: set-up's functions among them.
      std::set<int> numbers = {1, count / 2 + 1};
      for (int n = 2; n <= count && count <= 4; ++n) numbers.insert(n);
      for (const int nth : numbers) {
        const std::string call = function + ":" + std::to_string(nth);
        SCOPED_TRACE(call);
        std::filesystem::remove_all(folder_.path() / "failed");
        std::filesystem::remove(file);
        const Ending ending =
            train("failed", "GANYMEDE_CUDA_SIM_FAIL=" + call + " GANYMEDE_CUDA_SIM_CALLS=" + file.string());
        // What is asked again and again while it waits may be asked less often than in the whole training.
        if (ending.code == 0 && calls_of(function, file) < nth) continue;
        expect_one_message(ending, 4, "^ganymede: rank 1 on [^ ]*: ");
        ++failures;
      }
    }
    EXPECT_GT(failures, 30);
  }
};

TEST_F(GpuEveryFunction, EndsAllRanksThatNcclJoins) { fail_each("nccl"); }
TEST_F(GpuEveryFunction, EndsAllRanksThatMpiJoins) { fail_each("mpi"); }

// NCCL's deadline is before the watchdog's, which knows less of the reason.
TEST_F(GpuFault, RanksThatNcclCannotJoin) {
  const std::string apart = leaves + "export GANYMEDE_CUDA_SIM_UNREACHABLE=1";
  const auto begin = std::chrono::steady_clock::now();
  expect_one_message_of_all(train(apart, "cuda", {"--timeout", "4"}), 4,
                            "^ganymede: NCCL could not join the ranks within 3 s: a rank is missing, or "
                            "hosts cannot reach each other on the interface that NCCL chose; .*NCCL_SOCKET_IFNAME.*");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4 + 5));
}

// Its own errors are told in its words: 2 is ncclSystemError.
TEST_F(GpuFault, NcclThatFails) {
  expect_one_message_of_all(train(leaves + "[ $rank = 0 ] || export GANYMEDE_CUDA_SIM_FAIL=ncclCommInitRankConfig:1:2"),
                            4, "^ganymede: rank 1 on [^ ]*: NCCL cannot join the ranks: .*NCCL_DEBUG=INFO");
  expect_one_message_of_all(train(leaves + "[ $rank = 1 ] || export GANYMEDE_CUDA_SIM_FAIL=ncclGetUniqueId:1:2"), 4,
                            "^ganymede: (rank 0 on [^ ]*: )?NCCL cannot start: .*NCCL_DEBUG=INFO");
  expect_one_message(train(leaves + "[ $rank = 0 ] || export GANYMEDE_CUDA_SIM_FAIL=ncclAllReduce:1:2"), 4,
                     "^ganymede: rank 1 on [^ ]*: NCCL could not sum over the ranks: ");
}

// What a profiler is told: each phase's range by its name, none within another, and none around what is no step.
TEST_F(GpuFault, ProfilersSeeThePhases) {
  const auto ranges = [&](const std::string& out, const Words& options) {
    const std::filesystem::path file = folder_.path() / (out + ".ranges");
    const Ending ending =
        run(Words{"env", "GANYMEDE_CUDA_MODULE=" GANYMEDE_SIMULATED_MODULE,
                  "NVTX_INJECTION64_PATH=" GANYMEDE_RANGE_RECORDER, "GANYMEDE_RANGES=" + file.string()} +
                tiny_training(out, Words{"--steps", "3", "--sample-every", "0", "--diagnose-every", "0", "--r1", "0",
                                         "--device", "cuda"} +
                                       options),
            folder_.path());
    EXPECT_EQ(ending.code, 0) << ending.err;
    return lines(content(file));
  };
  Words step;
  for (const char* phase : {"images", "noise", "noise", "G forward", "D forward", "loss", "D backward", "D reduction",
                            "update", "D forward", "loss", "D backward", "G backward", "G reduction", "update"})
    step = step + Words{phase, "."};
  EXPECT_EQ(ranges("plain", {"--no-graph"}), step + step + step);
  // The second step is recorded, and then replayed, as the third is: by one call each.
  const Words replay = {"step", "."};
  EXPECT_EQ(ranges("graph", {}), step + step + replay + replay);
}

class GpuDoctor : public GpuFault {
 protected:
  // What the doctor says, within ten seconds.
  nlohmann::json look(const std::string& shell, int code, const Words& options = {}) {
    // A driver is looked for, and no more: any library will do.
    if (!std::filesystem::exists(folder_.path() / "libcuda.so.1"))
      std::filesystem::create_symlink(GANYMEDE_SIMULATED_MODULE, folder_.path() / "libcuda.so.1");
    const auto begin = std::chrono::steady_clock::now();
    const Ending ending = on_gpus("export LD_LIBRARY_PATH=" + folder_.path().string() + "\n" + shell,
                                  ganymede({"doctor", "--json"}) + options);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
    EXPECT_EQ(ending.code, code) << ending.err;
    EXPECT_EQ(ending.err, "");
    return nlohmann::json::parse(ending.out);
  }
  static std::string found(const nlohmann::json& json, const std::string& severity) {
    std::string text;
    for (const auto& finding : json["findings"])
      if (finding["severity"] == severity)
        text += finding["what"].get<std::string>() + "\n" + finding["mend"].get<std::string>() + "\n";
    return text;
  }
};

TEST_F(GpuDoctor, TimesTheSumsOverThem) {
  const nlohmann::json json = look("", 0);
  EXPECT_THAT(
      json["ranks"][1]["cuda"].get<std::string>(),
      MatchesRegex("driver for CUDA [0-9]+.[0-9]+, CUDA runtime [0-9]+.[0-9]+, cuBLASLt [0-9.]+, cuDNN simulated, "
                   "NCCL [0-9]+.[0-9]+.[0-9]+"));
  const nlohmann::json& sums = json["gpu_all_reduce"];
  EXPECT_THAT(sums["library"].get<std::string>(), ContainsRegex("^NCCL [0-9]+\\.[0-9]+\\.[0-9]+$"));
  EXPECT_EQ(sums["problem"], "");
  EXPECT_GT(sums["latency_seconds"], 0);
  EXPECT_GT(sums["bytes_per_second"], 0);
  EXPECT_THAT(found(json, "error"), "");
}

// In one sentence, and with what helps; whoever waits for a rank that has failed does not say so instead of it.
TEST_F(GpuDoctor, SaysWhyThereAreNone) {
  const std::string on_1 = leaves + "[ $rank = 0 ] || export GANYMEDE_CUDA_SIM_FAIL=";
  EXPECT_THAT(
      found(look(on_1 + "ncclCommInitRankConfig:1:2", 4), "error"),
      ContainsRegex("^no sums over the GPUs: rank 1 on [^ ]*: NCCL cannot join the ranks: .*\nNCCL_DEBUG=INFO "));
  EXPECT_THAT(found(look(on_1 + "ncclAllReduce:1:2", 4), "error"),
              ContainsRegex("^no sums over the GPUs: rank 1 on [^ ]*: NCCL could not sum over the ranks: "));
  const nlohmann::json apart = look(leaves + "export GANYMEDE_CUDA_SIM_UNREACHABLE=1", 0, {"--timeout", "2"});
  EXPECT_THAT(found(apart, "warning"),
              ContainsRegex("no sums over the GPUs: NCCL could not join the ranks within 1 s: a rank is missing, or "
                            "hosts cannot reach each other on the interface that NCCL chose\nNCCL_DEBUG=INFO "));
  EXPECT_THAT(apart["gpu_all_reduce"]["problem"].get<std::string>(), HasSubstr("NCCL could not join"));
  EXPECT_EQ(apart["gpu_all_reduce"].count("latency_seconds"), 0U);
  // Ranks that share a GPU are another finding; one that is too old is none for a rank.
  EXPECT_THAT(found(look("export GANYMEDE_CUDA_SIM_DEVICES=P100,H100", 0), "warning"), HasSubstr("have 1 GPU\n"));
  EXPECT_FALSE(look("export CUDA_VISIBLE_DEVICES=0", 0).contains("gpu_all_reduce"));
}

// On images of four pixels, with networks of a few units: what a step asks for is what a device counts that only
// counts.
class GpuBench : public GpuFault {
 protected:
  Ending bench(const Words& options) {
    const std::string header("\0\0\x08\x03\0\0\0\x04\0\0\0\x02\0\0\0\x02", 16);
    write(folder_.path() / "set/train-images-idx3-ubyte", header + std::string(16, 'X'));
    const Ending ending = on_gpus("", ganymede({"bench", "--data",
                                                "set",   "--latent",
                                                "2",     "--generator-hidden",
                                                "2",     "--discriminator-hidden",
                                                "2",     "--batch",
                                                "2",     "--r1",
                                                "0",     "--ema",
                                                "0",     "--rounds",
                                                "2",     "--round-steps",
                                                "2",     "--device",
                                                "cuda",  "--roofline",
                                                "H100"}) +
                                          options);
    EXPECT_EQ(ending.code, 0) << ending.err;
    EXPECT_EQ(ending.err, "");
    return ending;
  }
  nlohmann::json json(const Words& options = {}) { return nlohmann::json::parse(bench(options + Words{"--json"}).out); }
};

TEST_F(GpuBench, ComparesAStepWithWhatTheGpuCanDo) {
  const nlohmann::json json = this->json();
  const double best = json["seconds_per_step"]["min"];
  EXPECT_GT(best, 0);

  double flops = 0;
  double bytes = 0;
  std::set<std::string> parts;
  for (const nlohmann::json& each : json["roofline"]["operations"]) {
    const double own_flops = each["flops"];
    const double own_bytes = each["bytes"];
    flops += own_flops;
    bytes += own_bytes;
    parts.insert(each["part"]);
    EXPECT_DOUBLE_EQ(each["least_seconds"], std::max(own_flops / 67e12, own_bytes / 3350e9)) << each;
  }
  // Of a rank's one real image and one generated one: of G, 2 → 2 → 4, two passes forward and one backward; of D,
  // 4 → 2 → 1, one of both images forward and backward, and one of the generated one, back to its pixels.
  constexpr int g = 2 * 2 + 2 * 4;
  constexpr int d = 4 * 2 + 2 * 1;
  EXPECT_EQ(flops, 2 * ((g + g) + (2 * 4 + g) + (2 * d + 2 * 2 * 1 + 2 * d) + (d + d)));
  EXPECT_DOUBLE_EQ(json["flops_per_step_and_rank"], flops);
  EXPECT_DOUBLE_EQ(json["least_bytes_per_step_and_rank"], bytes);
  EXPECT_DOUBLE_EQ(json["gflops_per_rank"], flops / best / 1e9);
  EXPECT_DOUBLE_EQ(json["gbytes_per_second_per_rank"], bytes / best / 1e9);
  // By the attributes of the simulated H100: 132 multiprocessors, 128 multiply-adds, 1.98 GHz; 5120 bits, 2.619 GHz.
  EXPECT_DOUBLE_EQ(json["peak_gflops_per_rank"], 2 * 132 * 128 * 1.98);
  EXPECT_DOUBLE_EQ(json["peak_gbytes_per_second_per_rank"], 2 * 2.619 * 5120 / 8);

  // All phases but the penalty's, which this training has not.
  double phases = 0;
  for (const auto& [name, seconds] : json["phases"].items()) {
    EXPECT_EQ(seconds > 0, name != "penalty") << name;
    EXPECT_EQ(parts.count(name), name == "penalty" ? 0U : 1U) << name;
    phases += seconds.get<double>();
  }
  EXPECT_EQ(json["phases"].size(), 11U);
  EXPECT_LE(phases, json["clocked_seconds_per_step"]);
  EXPECT_GT(phases, 0.5 * json["clocked_seconds_per_step"].get<double>());
  // Each of them is one kernel, copy or sum; a stopwatch stops and goes on for each of two sums.
  EXPECT_EQ(json["recorded_operations_per_step"], json["roofline"]["operations"].size() + 4);
  EXPECT_EQ(json["discriminator_sum"]["bytes"], 4 * 19);
  EXPECT_GT(json["discriminator_sum"]["seconds_alone"], 0);
}

// The same as a table.
TEST_F(GpuBench, SaysSoToPeople) {
  const std::string table = bench({}).out;
  EXPECT_THAT(table, ContainsRegex("\narithmetic    [0-9.]+ MFLOP a step and rank in matrix products; [0-9.]+ GFLOP/s "
                                   "at best, [0-9]+% of 66908\\.2\n"
                                   "memory        [0-9.]+ MB a step and rank at least; [0-9.]+ GB/s at best, "
                                   "[0-9]+% of 3352\n"
                                   "graph         33 kernels and copies a step\n"));
  double shares = 0;
  for (const char* phase : {"images", "noise", "G forward", "D forward", "loss", "D backward", "G backward",
                            "D reduction", "G reduction", "update"}) {
    std::smatch share;
    ASSERT_TRUE(std::regex_search(table, share,
                                  std::regex("\n" + std::string(phase) + " +[0-9]+\\.[0-9] +([0-9]+\\.[0-9])%\n")))
        << phase << " in\n"
        << table;
    shares += std::stod(share[1]);
  }
  EXPECT_NEAR(shares, 100, 10 * 0.05);
  EXPECT_THAT(table, ContainsRegex("\nall +29 operations "));
  EXPECT_THAT(bench({"--no-graph"}).out, HasSubstr("\ngraph         none: the step's calls are made one by one\n"));
}

// As many steps as are judged together, twice, on images of four pixels: by the GPUs' clock a kernel takes 2 ms, and
// three times as long on a slow one.
class SlowGpu : public GpuFault {};

TEST_F(SlowGpu, IsNamed) {
  const std::string header("\0\0\x08\x03\0\0\0\x04\0\0\0\x02\0\0\0\x02", 16);
  write(folder_.path() / "set/train-images-idx3-ubyte", header + std::string(16, 'X'));
  const auto train = [&](const std::string& out, const std::string& shell) {
    return on_gpus("export GANYMEDE_CUDA_SIM_KERNEL_MICROSECONDS=2000\n" + shell,
                   ganymede({"train", "--out",
                             out,     "--data",
                             "set",   "--latent",
                             "2",     "--generator-hidden",
                             "2",     "--discriminator-hidden",
                             "2",     "--batch",
                             "2",     "--steps",
                             "102",   "--drift-every",
                             "51",    "--sample-every",
                             "0",     "--diagnose-every",
                             "0",     "--device",
                             "cuda"}));
  };
  const Ending even = train("even", "");
  EXPECT_EQ(even.code, 0) << even.err;
  EXPECT_THAT(even.err, Not(HasSubstr("slower")));
  const Ending slow = train("slow", "[ $rank = 0 ] || export GANYMEDE_CUDA_SIM_KERNEL_MICROSECONDS=6000");
  EXPECT_EQ(slow.code, 0) << slow.err;
  EXPECT_THAT(slow.err,
              ContainsRegex("rank 1 on [^ ]+ is slower than the others, which wait for it: its part of a step "
                            "takes [0-9.]+ ms, the median rank's [0-9.]+ ms; its host or GPU may be"));
  EXPECT_THAT(slow.err, ContainsRegex("rank 1 on [^ ]+ was slower than the others, which waited for it, in 2 of 2 "));
  EXPECT_THAT(slow.err, Not(HasSubstr("rank 0")));
}

}  // namespace
}  // namespace ganymede::test
