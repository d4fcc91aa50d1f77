// `ganymede judge`
#include <cstdio>

#include "cli/commands.hpp"
#include "cli/file_ending.hpp"
#include "cli/train_arguments.hpp"
#include "core/files.hpp"
#include "eval/judge.hpp"
#include "eval/shipped_judge.hpp"
#include "ganymede/dataset.hpp"
#include "ganymede/error.hpp"
#include "train/agreed_device.hpp"

namespace ganymede::cli {
namespace {

// What a shipped judge must reach on MNIST's test images.
constexpr double least_accuracy = 0.992;

void report_accuracy(const eval::Share& right) {
  std::printf("accuracy      %.2f %% of %llu test images of MNIST\n", 100 * right.share(),
              static_cast<unsigned long long>(right.of));
}

// Its labels are digits: any other set would make another judge.
Dataset open_mnist(Communicator& ranks) {
  return Dataset::open("mnist", {.train_labels = true, .test = true, .test_labels = true}, ranks);
}

void check(const std::string& file, Device& device, const Dataset& mnist) {
  const eval::ShippedJudge shipped = eval::read_judge(file);
  eval::Judge judge(device, shipped.file, shipped.source);
  std::printf("judge         %s\nweights       %s (XXH3-128 of the values)\n", shipped.source.c_str(),
              shipped.digest.c_str());
  for (const auto& [name, value] : shipped.file.metadata)
    if (name != "format" && name != "network") std::printf("  %-22s%s\n", name.c_str(), value.c_str());
  const eval::Share right = judge.accuracy(mnist.test());
  report_accuracy(right);
  if (right.share() < least_accuracy)
    throw Error(ExitCode::data, shipped.source + " is right about " + std::to_string(100 * right.share()) +
                                    " % of MNIST's test images, less than the 99.2 % that a judge needs: train one " +
                                    "with ganymede judge --out FILE");
}

constexpr CountOption epochs_option{"epochs", eval::JudgeRecipe{}.epochs, 1, 10000};

struct Request {
  bool check = false;
  eval::JudgeRecipe recipe;
  int threads = 0;
  std::string file;  // empty: the shipped one to check, or judge.safetensors
};

Request parse_request(const Parsed& parsed) {
  Request request;
  request.check = parsed.on("check");
  if (request.check && (parsed.has("epochs") || parsed.has("seed")))
    throw Error(ExitCode::usage, "--check trains nothing: leave out --epochs and --seed");
  request.recipe.epochs = static_cast<int>(epochs_option.of(parsed));
  request.recipe.seed = parse_seed(parsed);
  request.threads = static_cast<int>(threads_option.of(parsed));
  request.file = parsed.get("out", {});
  if (!request.check) refuse_other_ending(request.file, "safetensors file", {".safetensors"});
  return request;
}

std::string out_file(const Request& request) { return request.file.empty() ? "judge.safetensors" : request.file; }

void train(const Request& request, Device& device, const Dataset& mnist, const Dataset& mini) {
  const eval::JudgeRecipe& recipe = request.recipe;
  const std::string out = out_file(request);
  const std::vector<ImageSet> halves = {mini.train(), mini.test()};
  const std::vector<std::uint32_t> which = eval::images_outside(mnist.train(), halves);
  std::printf("training on the %zu images of MNIST that are not in mnist-mini; %s\n", which.size(),
              device.description().c_str());
  std::fflush(stdout);
  eval::Judge judge(device);
  const eval::LabelledImages images = eval::images_of(mnist.train(), which);
  judge.train(images, recipe, [&](int epoch, double loss) {
    std::printf("epoch %d/%d  loss %.5f\n", epoch + 1, recipe.epochs, loss);
    std::fflush(stdout);
  });
  judge.scale_features(images);
  const eval::Share right = judge.accuracy(mnist.test());
  report_accuracy(right);
  const TensorFile file = eval::judge_file(judge, recipe, which.size(), mnist.digest(), right);
  file.write(out);
  std::printf("judge         %s\nweights       %s (XXH3-128 of the values)\n", out.c_str(),
              file.weights_digest().c_str());
}

// One rank trains: a network of this size gains nothing from more. The others wait.
int run(const Parsed& parsed, Communicator& ranks) {
  Request request;
  together(ranks, [&] { request = parse_request(parsed); });
  on_root(ranks, [&] {
    if (!request.check) check_file_place(out_file(request));
  });
  const Dataset mnist = open_mnist(ranks);
  const Dataset mini = Dataset::open("mnist-mini", {.train_labels = true, .test = true, .test_labels = true}, ranks);
  std::vector<std::string> warnings;
  const std::unique_ptr<Device> device = make_agreed_cpu_device(request.threads, ranks, warnings);
  on_root(ranks, [&] {
    for (const std::string& warning : warnings) std::fprintf(stderr, "ganymede: warning: %s\n", warning.c_str());
    if (request.check)
      check(request.file, *device, mnist);
    else
      train(request, *device, mnist, mini);
  });
  return 0;
}

}  // namespace

Command judge_command() {
  return {{"judge",
           "Trains the classifier of digits that `eval` judges by, or checks the shipped one.",
           "",
           {{"check", "", "train nothing: say what the shipped judge is, or --out's, and check it on MNIST", "Options"},
            epochs_option.argument("passes over the images to train"),
            seed_argument("of weights, order and shifts"),
            {"out", "FILE", "where the judge goes; with --check which one", "Options", "judge.safetensors"},
            threads_option.argument("threads of the rank that trains; 0: the node's cores shared by its ranks")}},
          run};
}

}  // namespace ganymede::cli
