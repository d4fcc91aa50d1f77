// Wrong usage and damaged input: one line on stderr, the contract's exit code, nothing written; alone and on
// several ranks.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <csignal>
#include <future>

#include "cli/process.hpp"

namespace ganymede::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
namespace fs = std::filesystem;

struct Refused {
  Words words;
  int code;
  std::string says;
};

// A folder with a finished run of 4 steps and things that are not what they seem.
class Usage : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    const Ending made = run(tiny_training("run", {"--steps", "4"}), folder_->path());
    ASSERT_EQ(made.code, 0) << made.err;
    const fs::path here = folder_->path();
    write(here / "file", "not what you think");
    fs::create_directory(here / "empty");
    write(here / "begun/config.ini", content(here / "run/config.ini"));
    write(here / "begun/logs/rank-0000.log", content(here / "run/logs/rank-0000.log"));
    write(here / "empty-data/train-images-idx3-ubyte", "");
    // The magic of images, and a claim of 2^31 - 1 of them.
    write(here / "huge-data/train-images-idx3-ubyte",
          std::string("\0\0\x08\x03\x7F\xFF\xFF\xFF\0\0\0\x1C\0\0\0\x1C", 16));
    for (const std::string half : {"train", "t10k"})
      for (const char* folder : {"small-images", "no-tests"}) {
        if (half == "t10k" && folder == std::string("no-tests")) continue;
        write(here / folder / (half + "-images-idx3-ubyte"),
              std::string("\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x02", 16) + std::string(8, 'x'));
        write(here / folder / (half + "-labels-idx1-ubyte"), std::string("\0\0\x08\x01\0\0\0\x02\0\1", 10));
      }
    fs::copy(here / "small-images", here / "cut-images");
    fs::resize_file(here / "cut-images/train-images-idx3-ubyte", 20);
    fs::copy(here / "small-images", here / "no-labels");
    fs::remove(here / "no-labels/train-labels-idx1-ubyte");
    write(here / "twice.ini", "seed = 1\nseed = 2\n");
    write(here / "hash.ini", "data = /tmp/a#b\n");
    write(here / "section.ini", "[train]\nseed = 1\n");
    write(here / "binary.ini", std::string("seed = 1\0\n", 10));
    write(here / "value.ini", "seed = 1\nbatch = 1e400\n");
    fs::copy(here / "run", here / "misconfigured", fs::copy_options::recursive);
    write(here / "misconfigured/config.ini", "no setting\n");
    fs::copy(here / "run", here / "damaged", fs::copy_options::recursive);
    std::string bytes = content(here / "damaged/generator.safetensors");
    bytes[8] = '?';  // where the header's JSON begins
    write(here / "damaged/generator.safetensors", bytes);
    fs::copy(here / "run", here / "flipped", fs::copy_options::recursive);
    damage(here / "flipped/generator.safetensors");
    fs::copy(here / "run", here / "cut", fs::copy_options::recursive);
    fs::resize_file(here / "cut/generator.safetensors", 100);
    fs::copy(here / "run", here / "invalid", fs::copy_options::recursive);
    fs::remove(here / "invalid/generator.safetensors");
    damage(here / "invalid/checkpoints/step-00000004/discriminator.safetensors");
  }
  static void TearDownTestSuite() { delete folder_; }

  static void expect_refused(const Refused& wrong) {
    const Snapshot before = snapshot(folder_->path());
    check_refusal(wrong, run(ganymede(wrong.words), folder_->path()));
    EXPECT_TRUE(snapshot(folder_->path()) == before) << "something was written by " << shown(wrong);
  }
  /// All at once, for mpirun takes a second to notice that a rank has failed, and no processor.
  static void expect_refused(int ranks, const std::vector<Refused>& all) {
    const Snapshot before = snapshot(folder_->path());
    std::vector<std::future<Ending>> endings;
    for (const Refused& wrong : all)
      endings.push_back(std::async(std::launch::async, [&wrong, ranks] {
        return run(mpirun({"-n", std::to_string(ranks)}, ganymede(wrong.words)), folder_->path());
      }));
    for (std::size_t i = 0; i < all.size(); ++i) check_refusal(all[i], endings[i].get());
    EXPECT_TRUE(snapshot(folder_->path()) == before) << "something was written";
  }

  static std::string shown(const Refused& wrong) {
    std::string words;
    for (const std::string& word : wrong.words) words += word + " ";
    return words;
  }
  static void check_refusal(const Refused& wrong, const Ending& ending) {
    SCOPED_TRACE(shown(wrong));
    EXPECT_EQ(ending.code, wrong.code) << ending.err;
    EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
    EXPECT_THAT(ending.err, AllOf(StartsWith("ganymede: "), HasSubstr(wrong.says)));
    EXPECT_EQ(ending.out, "");
  }

  static TemporaryFolder* folder_;
};
TemporaryFolder* Usage::folder_ = nullptr;

TEST_F(Usage, WrongCommandLines) {
  for (const Refused& wrong : std::vector<Refused>{
           {{"tran"}, 2, "did you mean 'train'?"},
           {{"--verbose"}, 2, "there is no command '--verbose'"},
           {{""}, 2, "there is no command ''"},
           {{"train"}, 2, "add --out RUN"},
           {{"train", "--out", "new", "--bat", "5"}, 2, "there is no option --bat; did you mean"},
           {{"train", "--out", "new", "--batc=5"}, 2, "did you mean --batch?"},
           {{"train", "--out", "new", "--seed", "1", "--seed", "1"}, 2, "--seed is given twice"},
           {{"train", "--out", "new", "--reproducible", "false"}, 2, "'false' has no place here"},
           {{"train", "--out", "new", "--reproducible=maybe"}, 2, "--reproducible is a switch"},
           {{"train", "--out", "new", "--seed", "--resume"}, 2, "--seed"},
           {{"train", "--seed", "1", "--out"}, 2, "--out"},
           {{"train", "--out", "--resume"}, 2, "--out"},
           {{"train", "--out", "new", "stray"}, 2, "'stray' has no place here"},
           {{"train", "--out", "new#1"}, 2, "'#'"},
           {{"train", "--out", "new\nline"}, 2, "line ends"},
           {{"train", "--out", "new", "--batch", "nan"},
            2,
            "--batch takes a whole number from 1 to 16777216, not 'nan'"},
           {{"train", "--out", "new", "--r1", "inf"}, 2, "--r1 takes a number from 0 to 1e+06, not 'inf'"},
           {{"train", "--out", "new", "--seed", "-1"}, 2, "--seed takes"},
           {{"train", "--out", "run", "--resume", "--batch", "80", "--allow-change", "batch"},
            2,
            "the run has all its 4 steps already, and none is left to change (batch"},
           {{"train", "--out", "new", "--epochs", "1e400"}, 2, "--epochs takes"},
           {{"train", "--out", "new", "--generator-hidden", "128,"}, 2, "--generator-hidden takes"},
           {{"train", "--out", "new", "--loss", "minmax"}, 2, "did you mean 'minimax'?"},
           {{"train", "--out", "new", "--scheme", "simultaneous", "--d-steps", "2"}, 2, "--d-steps 2"},
           {{"train", "--out", "new", "--reproducible", "--batch", "5"}, 2, "--shards 5"},
           {{"train", "--out", "new", "--discriminator-activation", "tanh"}, 2, "--r1 0"},
           {{"train", "--out", "new", "--recipe", "gan-litteral"}, 2, "did you mean 'gan-literal'?"},
           {{"train", "--out", "new", "--recipe", "unheard"},
            2,
            "there is no recipe 'unheard'. There are: dcgan, gan, "},
           {{"train", "--out", "new", "--device", "gpu"},
            2,
            "those this process sees), not 'gpu'; did you mean 'cuda'?"},
           {{"train", "--out", "new", "--recipe", "none.ini"}, 2, "none.ini"},
           {{"train", "--out", "new", "--config", "none.ini"}, 2, "none.ini"},
           {{"train", "--out", "new", "--config", "empty"}, 2, "empty"},
           {{"train", "--out", "new", "--config", "twice.ini"},
            2,
            "twice.ini, line 2: 'seed' was already given in line 1"},
           {{"train", "--out", "new", "--config", "hash.ini"}, 2, "hash.ini, line 1: "},
           {{"train", "--out", "new", "--config", "section.ini"}, 2, "section.ini, line 1: "},
           {{"train", "--out", "new", "--config", "binary.ini"}, 2, "binary.ini, line 1: "},
           {{"train", "--out", "new", "--config", "value.ini"}, 2, "value.ini, line 2: --batch takes"},
           {{"train", "--out", "run"}, 2, "already holds a run: add --resume"},
           {{"train", "--out", "run", "--resume", "--seed", "5"}, 2, "seed 1 → 5"},
           {{"train", "--out", "run", "--resume", "--recipe", "gan-literal"}, 2, "r1 5 → 0"},
           {{"train", "--out", "run", "--resume", "--steps", "3"}, 2, "already has 4 steps"},
           {{"sample"}, 2, "RUN is missing"},
           {{"sample", "run", "run"}, 2, "'run' has no place here"},
           {{"sample", "run", "--count", "0"}, 2, "--count takes a whole number from 1 to 100000"},
           {{"sample", "run", "--count", "1000", "--interpolate", "101"}, 2, "lower --count"},
           {{"sample", "run", "--seed", "1.5"}, 2, "--seed takes"},
           {{"sample", "run", "--seed", "18446744073709551616"}, 2, "from 0 to 18446744073709551615"},
           {{"sample", "run", "--out", "x.JPG"}, 2, "let it end in .png"},
           {{"sample", "run", "--out", "-"}, 2, "let it end in .png, or give /dev/stdout for the standard output"},
           {{"report", "run", "--out", "x.pdf"}, 2, "than the page that is written: let it end in .html"},
           {{"export", "run", "--out", "x.pt"}, 2, "let it end in .safetensors"},
           {{"export", "run", "--format", "onnx", "--out", "x.safetensors"}, 2, "let it end in .onnx"},
           {{"metrics", "run", "--csv", "--out", "x.json"}, 2, "let it end in .csv"},
           {{"judge", "--out", "x.pt"}, 2, "let it end in .safetensors"},
           {{"eval"}, 2, "RUN is missing"},
           {{"eval", "run", "--samples", "1"}, 2, "--samples takes a whole number from 2 to 16777216"},
           {{"eval", "run", "--metrics", "parzn"}, 2, "did you mean 'parzen'?"},
           {{"eval", "run", "--metrics", "parzen,,"}, 2, "--metrics takes a list of parzen, "},
           {{"eval", "run", "--json", "nowhere/x.json"},
            3,
            "nowhere/x.json cannot be written: there is no folder nowhere"},
           {{"judge", "--out", "nowhere/j.safetensors"}, 3, "cannot be written: there is no folder nowhere"},
           {{"eval", "run", "--seed", "x"}, 2, "--seed takes"},
           {{"eval", "run", "--threads", "-1"}, 2, "--threads takes"},
           {{"eval", "run", "--data", "mnist-mini", "--metrics", "parzen,1nn-error"},
            2,
            "needs a class-conditional run"},
           {{"eval", "run", "--data", "mnist-mini", "--metrics", "judge", "--samples", "127"},
            2,
            "needs at least 128 samples"},
           {{"judge", "run"}, 2, "'run' has no place here"},
           {{"judge", "--epochs", "0"}, 2, "--epochs takes"},
           {{"judge", "--check", "--seed", "2"}, 2, "--check trains nothing"},
           {{"eval", "run", "--data", "small-images"},
            2,
            "run makes images of 28×28, and those of small-images are of 2×2"},
           {{"eval", "run", "--data", "mnist-mini", "--metrics", "gan-train"}, 2, "needs a class-conditional run"},
           {{"latent"}, 2, "RUN is missing"},
           {{"latent", "run", "--rows", "0"}, 2, "--rows takes a whole number from 1 to 100"},
           {{"latent", "run/generator.safetensors"}, 2, "no run's folder to put pictures into: add --out"},
           {{"latent", "run", "--data", "small-images"}, 2, "samples are of 28×28, and images of small-images of 2×2"},
           {{"report"}, 2, "RUN... is missing"},
           {{"report", "run", "--output", "x"}, 2, "did you mean --out?"},
           {{"report", "run", "run", "run", "run", "run", "run", "run", "run", "run"}, 2, "at most 8 runs"},
           {{"inspect", "run", "--jsn"}, 2, "did you mean --json?"},
           {{"export", "run", "--format", "npz"}, 2, "--format takes safetensors, onnx or tensorboard"},
           {{"export", "run", "--network", "both"}, 2, "--network takes"},
           {{"recipes", "gan"}, 2, "'gan' has no place here"},
           {{"bench", "--out", "x"}, 2, "there is no option --out"},
           {{"bench", "--rounds", "0"}, 2, "--rounds takes"},
           {{"bench", "--roofline", "H10"},
            2,
            "no peaks are known of a GPU 'H10', but of T4, A100, L40S, H100, H200, B200"},
       })
    expect_refused(wrong);
}

TEST_F(Usage, DamagedOrMissingFiles) {
  for (const Refused& wrong : std::vector<Refused>{
           {{"train", "--out", "file"}, 3, "file is not a folder"},
           {{"train", "--out", "file/below"}, 3, "file"},
           {{"train", "--out", std::string(300, 'x')}, 3, "File name too long"},
           // What training cannot write a dry run does not pass, nor does root: neither is told by permissions alone.
           {{"train", "--out", "/proc/run", "--dry-run"}, 3, "cannot be made in /proc"},
           {{"train", "--out", "/proc", "--dry-run"}, 3, "--out /proc cannot be written to"},
           {{"train", "--out", "/", "--dry-run"}, 3, "--out / is the root of all folders: choose another"},
           {{"train", "--out", "new", "--data", "nowhere"}, 3, "nowhere"},
           {{"train", "--out", "new", "--data", "empty"}, 3, "empty"},
           {{"train", "--out", "new", "--data", "empty-data"}, 3, "train-images-idx3-ubyte"},
           {{"train", "--out", "new", "--data", "huge-data"}, 3, "train-images-idx3-ubyte"},
           // What would do without labels, or test images, is told where those are at fault.
           {{"train", "--out", "new", "--data", "no-labels", "--condition", "concat"},
            3,
            "no train-labels-idx1-ubyte[.gz] (--condition concat needs labels; --condition none trains without)\n"},
           {{"train", "--out", "new", "--data", "cut-images", "--condition", "concat", "--eval-every", "1"},
            3,
            "found 20\n"},
           {{"train", "--out", "new", "--data", "no-tests", "--eval-every", "1", "--eval-metrics", "judge"},
            3,
            "no t10k-images-idx3-ubyte[.gz] (--eval-every compares with test images; 0 trains without)\n"},
           {{"train", "--out", "run", "--resume", "--data", "gone", "--eval-every", "1"},
            3,
            "works too; where the set lies elsewhere now, give that with --data\n"},
           {{"train", "--out", "invalid", "--resume"}, 3, "step-00000004"},
           {{"sample", "nowhere"}, 3, "nowhere does not exist"},
           {{"sample", "empty"}, 3, "is it a run's folder?"},
           {{"eval", "begun"},
            3,
            "begun is the folder of a training that has ended without a checkpoint; "
            "begun/logs/rank-0000.log says why\n"},
           {{"inspect", "begun"}, 3, "has ended without a checkpoint"},
           {{"latent", "begun"}, 3, "has ended without a checkpoint"},
           {{"export", "begun"}, 3, "has ended without a checkpoint"},
           {{"inspect", GANYMEDE_SHARE_FOLDER "/judge/mnist.safetensors"}, 3, "holds a judge of digits"},
           {{"eval", GANYMEDE_SHARE_FOLDER "/judge/mnist.safetensors"}, 3, "`ganymede judge --check --out /"},
           {{"sample", "file"}, 3, "file"},
           {{"sample", "damaged"}, 3, "generator.safetensors"},
           {{"sample", "flipped"}, 3, "flipped/generator.safetensors: ganymede-digest"},
           {{"sample", "cut"}, 3, "generator.safetensors"},
           {{"sample", "invalid"}, 3, "step-00000004"},
           {{"sample", "run", "--out", "file/x.png"}, 3, "file/x.png"},
           {{"sample", "run", "--out", "nowhere/x.png"}, 3, "nowhere/x.png"},
           {{"eval", "nowhere"}, 3, "nowhere does not exist"},
           {{"eval", "run", "--data", "mnist-mini", "--judge", "run/generator.safetensors"}, 3, "holds no judge"},
           {{"eval", "run", "--data", "mnist-mini", "--judge", "flipped/generator.safetensors"}, 3, "is damaged"},
           {{"eval", "run", "--data", "mnist-mini", "--judge", "nowhere"}, 3, "nowhere"},
           {{"eval", "cut"}, 3, "generator.safetensors"},
           {{"eval", "run/checkpoints/step-00000004/generator.safetensors"}, 3, "name the checkpoint's folder"},
           {{"eval", "run", "--data", "nowhere"}, 3, "there is no data set 'nowhere'"},
           {{"eval", "run", "--data", "./nowhere"}, 3, "/nowhere is no folder"},
           {{"eval", "run", "--json", "numbers.txt"}, 2, "--json numbers.txt names another kind of file than the JSON"},
           {{"eval", "run", "--data", "no-tests"}, 3, "no t10k-images-idx3-ubyte[.gz]"},
           {{"eval", "run", "--data", "mnist-mini", "--samples", "2", "--json", "file/x"}, 3, "file/x"},
           {{"latent", "nowhere"}, 3, "nowhere does not exist"},
           {{"latent", "run", "--data", "nowhere"}, 3, "there is no data set 'nowhere'"},
           {{"report", "nowhere"}, 3, "nowhere holds no run"},
           {{"report", "run", "empty"}, 3, "empty holds no run"},
           {{"report", "run/generator.safetensors"}, 3, "holds no run"},
           {{"report", "run", "--out", "nowhere/x.html"},
            3,
            "nowhere/x.html cannot be written: there is no folder nowhere"},
           {{"report", "run", "--out", "empty"}, 3, "empty is a folder: name a file, in it or elsewhere"},
           {{"report", "misconfigured"}, 3, "misconfigured/config.ini, line 1"},
           {{"inspect", "flipped"}, 3, "the file is damaged"},
           {{"export", "flipped/generator.safetensors"}, 3, "the file is damaged"},
           {{"inspect", "cut"}, 3, "generator.safetensors"},
           {{"inspect", "invalid/checkpoints/step-00000004"}, 3, "discriminator.safetensors"},
           {{"export", "cut"}, 3, "generator.safetensors"},
           {{"export", "run/generator.safetensors", "--weights", "raw"}, 3, "average alone"},
           {{"export", "run", "--out", "file/x"}, 3, "file/x"},
       })
    expect_refused(wrong);
}

// Only while a training has the folder is there a checkpoint to wait for.
TEST_F(Usage, ATrainingUnderWayHasItsFirstCheckpointToCome) {
  const int lock = ::open((folder_->path() / "begun/.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  ASSERT_EQ(::flock(lock, LOCK_EX | LOCK_NB), 0);
  for (const char* command : {"inspect", "sample"})
    expect_refused(
        {{command, "begun"},
         3,
         "begun is a run's folder without a checkpoint yet: wait for the first, which --checkpoint-every N"});
  ::close(lock);
}

TEST_F(Usage, OneMessageFromSeveralRanks) {
  expect_refused(2, {{{"tran"}, 2, "did you mean 'train'?"},
                     {{"train", "--out", "new", "--batch", "nan"}, 2, "--batch takes"},
                     {{"train", "--out", "file/below"}, 3, "file"},
                     {{"train", "--out", "new", "--data", "empty-data"}, 3, "empty-data"},
                     {{"train", "--out", "invalid", "--resume"}, 3, "step-00000004"},
                     {{"train", "--out", "run", "--resume", "--seed", "5"}, 2, "seed 1 → 5"},
                     {{"sample", "cut"}, 3, "generator.safetensors"},
                     {{"eval", "run", "--samples", "0"}, 2, "--samples takes"},
                     {{"eval", "run", "--data", "small-images"}, 2, "small-images are of 2×2"},
                     {{"eval", "run", "--data", "mnist-mini", "--metrics", "1nn-error"}, 2, "class-conditional"},
                     {{"eval", "run", "--data", "mnist-mini", "--judge", "file"}, 3, "file"},
                     {{"judge", "--threads", "x"}, 2, "--threads takes"},
                     {{"eval", "cut"}, 3, "generator.safetensors"},
                     {{"eval", "run", "--data", "no-tests"}, 3, "no t10k-images-idx3-ubyte[.gz]"},
                     {{"eval", "run", "--data", "mnist-mini", "--samples", "2", "--json", "file/x"}, 3, "file/x"}});
  expect_refused(
      3, {{{"train", "--out", "new", "--batch", "2"}, 2, "3 ranks cannot share a batch of 2: start at most 2 ranks or"},
          {{"train", "--out", "new", "--reproducible", "--shards", "1"},
           2,
           "3 ranks cannot share 1 virtual shard: start at most 1 rank or raise"},
          {{"train", "--out", "new", "--data", "nowhere"}, 3, "nowhere"}});
}

TEST_F(Usage, OutputThatIsLostIsAnError) {
  const auto into = [](const std::string& where, const Words& words) {
    return run(Words{"bash", "-c", "\"$@\" " + where, "bash"} + words, folder_->path());
  };
  for (const Words& words :
       {Words{"--help"}, Words{"--version"}, Words{"train", "--help"}, Words{"recipes"}, Words{"inspect", "run"},
        Words{"inspect", "run", "--json"}, Words{"sample", "run"}, Words{"train", "--out", "new", "--dry-run"}}) {
    const Ending ending = into("> /dev/full", ganymede(words));
    EXPECT_EQ(ending.code, 3) << words[0];
    EXPECT_EQ(lines(ending.err).size(), 1U) << ending.err;
    EXPECT_THAT(ending.err,
                StartsWith("ganymede: the output could not be written: No space left on device; make room"));
    // Line by line, so that the last write has failed before the program asks.
    const Ending by_line = into("> /dev/full", Words{"stdbuf", "-oL"} + ganymede(words));
    EXPECT_EQ(by_line.code, 3) << words[0];
    EXPECT_THAT(by_line.err, HasSubstr("could not be written: No space left on device")) << words[0];
    // A reader that has seen enough.
    const Ending cut = into("| true; exit ${PIPESTATUS[0]}", ganymede(words));
    EXPECT_EQ(cut.code, 0) << words[0] << cut.err;
    EXPECT_EQ(cut.err, "") << words[0];
  }
  // A training's result is in its folder.
  const Words training = {"--steps", "200", "--log-every", "1"};
  EXPECT_EQ(into("> /dev/full", tiny_training("full", training)).code, 0);
  EXPECT_EQ(into("| head -1; exit ${PIPESTATUS[0]}", tiny_training("headed", training)).code, 0);
  EXPECT_TRUE(content(folder_->path() / "full/generator.safetensors") ==
              content(folder_->path() / "headed/generator.safetensors"));
}

// Processes that a launcher failed to bring together: its first one says so.
TEST(Launchers, OneOfTheirProcessesSpeaks) {
  const TemporaryFolder folder;
  const auto start = [&](const Words& variables) {
    const Words clean = {"env",
                         "-u",
                         "OMPI_COMM_WORLD_RANK",
                         "-u",
                         "OMPI_COMM_WORLD_SIZE",
                         "-u",
                         "PMIX_RANK",
                         "-u",
                         "PMIX_NAMESPACE",
                         "-u",
                         "PMI_RANK",
                         "-u",
                         "SLURM_PROCID"};
    return run(clean + variables + ganymede({"recipes"}), folder.path());
  };
  for (const std::string name : {"PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID"}) {
    for (const char* rank : {"0", "1"}) {
      const Ending ending = start({"PMI_SIZE=2", name + "=" + rank});
      EXPECT_EQ(ending.code, 4);
      EXPECT_EQ(lines(ending.err).size(), rank[0] == '0' ? 1U : 0U) << name << " " << rank << ": " << ending.err;
    }
  }
  EXPECT_EQ(lines(start({"PMI_SIZE=2"}).err).size(), 1U);
  // MPI, which has started each of these alone, says of each that it is the first.
  for (const char* rank : {"0", "1"}) {
    const Ending ending =
        start({"PMIX_NAMESPACE=x", std::string("PMIX_RANK=") + rank, "SLURM_STEP_NUM_TASKS=4", "SLURM_JOB_ID=1"});
    EXPECT_EQ(ending.code, 4);
    EXPECT_EQ(ending.err, rank[0] == '1' ? ""
                                         : "ganymede: the launcher started 4 ranks, but MPI sees 1: launcher and Open "
                                           "MPI do not fit together; under Slurm start it with `srun --mpi=pmix`, or "
                                           "with `mpirun` inside the batch script\n");
  }
  // mpirun's ranks in a batch job's second task.
  EXPECT_EQ(lines(start({"PMI_SIZE=2", "PMI_RANK=0", "SLURM_PROCID=1"}).err).size(), 1U);
}

TEST(DanglingLinks, AreNoPlaceForARun) {
  const TemporaryFolder folder;
  fs::create_symlink("gone", folder / "dangling");
  for (const char* out : {"dangling", "dangling/run"}) {
    const Ending ending = run(ganymede({"train", "--dry-run", "--out", out}), folder.path());
    EXPECT_EQ(ending.code, 3);
    EXPECT_THAT(ending.err, HasSubstr("dangling is a symbolic link to gone, which does not exist"));
  }
}

TEST_F(Usage, NoCommandShowsTheHelp) {
  const Ending ending = run(ganymede({}), folder_->path());
  EXPECT_EQ(ending.code, 2);
  EXPECT_EQ(ending.out, "");
  EXPECT_EQ(ending.err, run(ganymede({"--help"}), folder_->path()).out);
}

TEST_F(Usage, HelpAndVersionGoToStdout) {
  for (const Words& words :
       {Words{"--help"}, Words{"-h"}, Words{"help"}, Words{"--version"}, Words{"train", "--help"}, Words{"train", "-h"},
        Words{"sample", "--help"}, Words{"export", "--help"}, Words{"inspect", "--help"}, Words{"recipes", "--help"},
        Words{"bench", "--help"}, Words{"recipes"}}) {
    const Ending ending = run(ganymede(words), folder_->path());
    EXPECT_EQ(ending.code, 0) << words[0];
    EXPECT_EQ(ending.err, "") << words[0];
    EXPECT_NE(ending.out, "") << words[0];
  }
  // A command's own comes either way.
  const auto shown = [](const Words& words) { return run(ganymede(words), folder_->path()); };
  for (const char* command : {"train", "inspect"})
    for (const char* help : {"help", "--help"})
      EXPECT_EQ(shown({help, command}).out, shown({command, "--help"}).out) << help << " " << command;
  const Ending unknown = shown({"help", "tran"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("did you mean 'train'?"));
  // What makes no step other than it is, is no option of bench.
  const std::string bench = shown({"bench", "--help"}).out;
  EXPECT_THAT(bench, AllOf(HasSubstr("--batch "), HasSubstr("--timeout "), HasSubstr("--rounds ")));
  for (const char* option : {"--out", "--allow-change", "--on-nan", "--keep-every", "--log-every", "--tensorboard"})
    EXPECT_THAT(bench, Not(HasSubstr(option)));
  // Once, however many ranks there are.
  EXPECT_EQ(run(mpirun({"-n", "2"}, ganymede({"recipes"})), folder_->path()).out,
            run(ganymede({"recipes"}), folder_->path()).out);
}

}  // namespace
}  // namespace ganymede::test
