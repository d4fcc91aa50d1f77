// The table of options: what every option takes, refuses, says of it, and writes to config.ini.
#include "ganymede/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <set>
#include <tuple>

#include "core/names.hpp"
#include "ganymede/error.hpp"
#include "math/activation/activations.hpp"
#include "math/loss/losses.hpp"
#include "math/optimizer/optimizers.hpp"
#include "support/refusal.hpp"

namespace ganymede {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;

std::string refusal(const std::string& name, const std::string& text) {
  TrainOptions options;
  const std::string before = config_text(options, "");
  std::string said = testing::refusal(ExitCode::usage, [&] { set_train_option(options, name, text); });
  if (!said.empty()) {
    EXPECT_EQ(config_text(options, ""), before) << "a refused value was stored";
  }
  return said;
}

std::string after(const std::string& name, const std::string& text) {
  TrainOptions options;
  set_train_option(options, name, text);
  return find_train_option(name)->get(options);
}

// What every option takes, as texts that come back as they are; the extremes of its range among them.
const std::map<std::string, std::vector<std::string>> taken = {
    {"data", {"mnist", "/a folder/with=signs", "[x]", "é", "a;b", "\"quoted\""}},
    {"out", {"runs/a", "-", "a b"}},
    {"resume", {"true", "false"}},
    {"allow-change", {"r1", "data,seed,steps,learning-rate"}},
    {"model", {"mlp"}},
    {"latent", {"1", "65536"}},
    {"generator-hidden", {"1", "65536", "128,64,32"}},
    {"discriminator-hidden", {"1", "65536", "7,7,7,7"}},
    {"generator-activation", names_of<math::Activations>()},
    {"discriminator-activation", names_of<math::Activations>()},
    {"leak", {"0", "1", "0.1", "0.30000000000000004"}},
    {"loss", {"non-saturating", "minimax", "least-squares", "hinge", "wasserstein", "relativistic"}},
    {"label-smoothing", {"0", "0.49", "0.1"}},
    {"scheme", {"alternating", "simultaneous"}},
    {"d-steps", {"1", "1000"}},
    {"d-burst", {"0", "1000"}},
    {"d-burst-first", {"0", "1000000000000"}},
    {"d-burst-every", {"0", "1000000000000"}},
    {"stack", {"1", "3"}},
    {"latent-distribution", {"normal", "uniform"}},
    {"condition", {"none", "concat", "projection"}},
    {"generator-norm", {"none", "batch"}},
    {"discriminator-norm", {"none", "batch"}},
    {"spectral-norm", {"true", "false"}},
    {"dropout", {"0", "0.9999999", "0.5"}},
    {"input-dropout", {"0", "0.9999999", "0.2"}},
    {"init", {"glorot", "normal"}},
    {"channels", {"64", "3,5,7"}},
    {"kernel", {"2", "15"}},
    {"blocks", {"0", "16"}},
    {"fully-connected", {"0", "65536"}},
    {"r1", {"0", "1e+06", "0.125"}},
    {"r2", {"0", "1e+06", "0.125"}},
    {"gradient-penalty", {"0", "1e+06", "10"}},
    {"penalty-every", {"1", "1000000000000"}},
    {"instance-noise", {"0", "1000", "0.1"}},
    {"instance-noise-end", {"1e-30", "1", "0.5"}},
    {"ema", {"0", "0.9999999", "0.999"}},
    {"optimizer", {"sgd", "rmsprop", "adam", "adamw"}},
    {"learning-rate", {"0", "1000", "2e-04", "5e-324"}},
    {"generator-learning-rate", {"0", "1000"}},
    {"discriminator-learning-rate", {"0", "1000"}},
    {"schedule", {"constant", "linear", "cosine"}},
    {"schedule-start", {"0", "0.9999999"}},
    {"schedule-end", {"0", "1", "0.01"}},
    {"momentum", {"0", "0.9999999"}},
    {"rmsprop-decay", {"0", "0.9999999"}},
    {"weight-decay", {"0", "1000", "1e-04"}},
    {"clip-gradient", {"0", "1e+09"}},
    {"clip-weights", {"0", "1e+09", "0.01"}},
    {"beta1", {"0", "0.9999999"}},
    {"beta2", {"0", "0.9999999"}},
    {"epsilon", {"1e-30", "1"}},
    {"batch", {"1", "16777216"}},
    {"micro-batch", {"0", "16777216"}},
    {"steps", {"0", "1000000000000"}},
    {"epochs", {"1e-09", "1e+09", "0.5"}},
    {"seed", {"0", "18446744073709551615"}},
    {"device", {"auto", "cpu", "cuda", "cuda:0", "cuda:12"}},
    {"reduction", {"auto", "nccl", "mpi"}},
    {"debug", {"true", "false"}},
    {"no-graph", {"true", "false"}},
    {"precision", {"fp32", "tf32", "bf16"}},
    {"threads", {"0", "4096"}},
    {"reproducible", {"true", "false"}},
    {"shards", {"1", "4096"}},
    {"instruction-set", {"auto", "x86-64-v2", "x86-64-v3", "x86-64-v4"}},
    {"on-nan", {"rollback", "skip", "stop"}},
    {"timeout", {"0", "1000000"}},
    {"checkpoint-every", {"0", "1000000000000"}},
    {"keep", {"0", "2147483647"}},
    {"keep-every", {"0", "1000000000000"}},
    {"checkpoint-failure", {"stop", "warn"}},
    {"sample-every", {"0", "1000000000000"}},
    {"sample-count", {"1", "10000"}},
    {"log-every", {"1", "1000000000000"}},
    {"drift-every", {"0", "1000000000000"}},
    {"diagnose-every", {"0", "1000000000000"}},
    {"stop-on", {"nothing", "collapse"}},
    {"eval-every", {"0", "1000000000000"}},
    {"eval-metrics", {"auto", "judge,parzen,two-sample,1nn-error,modes"}},
    {"eval-samples", {"2", "16777216"}},
    {"tensorboard", {"true", "false"}},
    {"tensorboard-histograms-every", {"0", "1000000000000"}},
    {"init-from", {"", "/a b/g.safetensors", "/g.safetensors,/d.safetensors"}},
};

const std::set<std::string> whole = {"latent",
                                     "d-steps",
                                     "batch",
                                     "steps",
                                     "seed",
                                     "threads",
                                     "shards",
                                     "keep",
                                     "sample-every",
                                     "sample-count",
                                     "log-every",
                                     "drift-every",
                                     "checkpoint-every",
                                     "d-burst",
                                     "d-burst-first",
                                     "d-burst-every",
                                     "penalty-every",
                                     "kernel",
                                     "fully-connected",
                                     "stack",
                                     "blocks",
                                     "micro-batch",
                                     "keep-every",
                                     "diagnose-every",
                                     "tensorboard-histograms-every"};
const std::set<std::string> real = {"leak",
                                    "dropout",
                                    "input-dropout",
                                    "label-smoothing",
                                    "r1",
                                    "r2",
                                    "gradient-penalty",
                                    "instance-noise",
                                    "instance-noise-end",
                                    "ema",
                                    "learning-rate",
                                    "generator-learning-rate",
                                    "discriminator-learning-rate",
                                    "schedule-start",
                                    "schedule-end",
                                    "momentum",
                                    "rmsprop-decay",
                                    "weight-decay",
                                    "clip-gradient",
                                    "clip-weights",
                                    "beta1",
                                    "beta2",
                                    "epsilon",
                                    "epochs"};
const std::set<std::string> lists = {"generator-hidden", "discriminator-hidden", "channels"};
const std::set<std::string> switches = {"resume", "reproducible", "debug", "no-graph", "spectral-norm", "tensorboard"};
const std::set<std::string> texts = {"data", "out"};

TEST(Options, ThisTestKnowsThemAll) {
  for (const OptionSpec& spec : train_option_specs()) EXPECT_TRUE(taken.contains(spec.name)) << spec.name;
  EXPECT_EQ(taken.size(), train_option_specs().size());
}

TEST(Options, WhatIsSetComesBack) {
  for (const auto& [name, values] : taken)
    for (const std::string& value : values) EXPECT_EQ(after(name, value), value) << name;
}

TEST(Options, OtherSpellingsOfANumberAreTheSameNumber) {
  EXPECT_EQ(after("learning-rate", "0.0002"), "2e-04");
  EXPECT_EQ(after("learning-rate", "2E-4"), "2e-04");
  EXPECT_EQ(after("learning-rate", ".5"), "0.5");
  EXPECT_EQ(after("batch", "0100"), "100");
}

TEST(Options, EachIsDescribed) {
  std::set<std::string> names;
  for (const OptionSpec& spec : train_option_specs()) {
    EXPECT_TRUE(names.insert(spec.name).second) << spec.name << " is there twice";
    EXPECT_NE(std::string(spec.help), "") << spec.name;
    EXPECT_NE(std::string(spec.group), "") << spec.name;
    EXPECT_EQ(std::string(spec.value).empty(), switches.contains(spec.name)) << spec.name;
    // What determines the weights is needed to repeat the run.
    EXPECT_TRUE(spec.stored() || !spec.trajectory()) << spec.name;
    EXPECT_EQ(find_train_option(spec.name), &spec);
  }
  EXPECT_EQ(find_train_option("nonsense"), nullptr);
}

TEST(Options, WhatIsNoNumberIsRefusedWithNameAndRange) {
  for (const std::set<std::string>& kind : {whole, real})
    for (const std::string& name : kind)
      for (const char* text : {"nan", "-nan",  "inf", "-inf", "infinity", "",      " ",
                               "+1",  " 1",    "1 ",  "0x1",  "0x1p3",    "1e400", "-1e400",
                               "1,5", "1.5.5", "--1", "-",    "e5",       "1e",    "99999999999999999999999999",
                               "-1",  "１",    "1\n", "true"})
        EXPECT_THAT(refusal(name, text), AllOf(HasSubstr("--" + name + " takes a"), HasSubstr("number from "),
                                               HasSubstr(" to "), HasSubstr("not '" + std::string(text) + "'")))
            << name;
  for (const std::string& name : whole)
    for (const char* text : {"1.0", "1e2", "1."})
      EXPECT_THAT(refusal(name, text), HasSubstr("a whole number from ")) << name;
}

TEST(Options, JustOutsideTheRangeIsRefused) {
  for (const auto& [name, text] :
       std::vector<std::pair<std::string, std::string>>{{"latent", "0"},
                                                        {"latent", "65537"},
                                                        {"leak", "1.0000001"},
                                                        {"dropout", "1"},
                                                        {"input-dropout", "1"},
                                                        {"d-steps", "0"},
                                                        {"d-steps", "1001"},
                                                        {"r1", "1000001"},
                                                        {"ema", "1"},
                                                        {"beta1", "1"},
                                                        {"beta2", "1"},
                                                        {"epsilon", "0"},
                                                        {"epsilon", "1.5"},
                                                        {"batch", "0"},
                                                        {"batch", "16777217"},
                                                        {"micro-batch", "16777217"},
                                                        {"instance-noise", "1001"},
                                                        {"instance-noise-end", "0"},
                                                        {"instance-noise-end", "1.1"},
                                                        {"epochs", "0"},
                                                        {"seed", "18446744073709551616"},
                                                        {"steps", "1000000000001"},
                                                        {"threads", "4097"},
                                                        {"shards", "0"},
                                                        {"shards", "4097"},
                                                        {"sample-count", "0"},
                                                        {"log-every", "0"},
                                                        {"learning-rate", "1001"},
                                                        {"generator-learning-rate", "1001"},
                                                        {"discriminator-learning-rate", "1001"},
                                                        {"schedule-start", "1"},
                                                        {"schedule-end", "1.1"},
                                                        {"momentum", "1"},
                                                        {"rmsprop-decay", "1"},
                                                        {"weight-decay", "1001"},
                                                        {"clip-gradient", "1000000001"},
                                                        {"clip-weights", "1000000001"},
                                                        {"keep", "2147483648"}})
    EXPECT_THAT(refusal(name, text), HasSubstr("--" + name + " takes a")) << name << " " << text;
  EXPECT_THAT(refusal("latent", "0"), HasSubstr("from 1 to 65536"));
  EXPECT_THAT(refusal("seed", "-1"), HasSubstr("from 0 to 18446744073709551615"));
  EXPECT_THAT(refusal("ema", "1"), HasSubstr("from 0 to 0.9999999"));
}

TEST(Options, Switches) {
  for (const std::string& name : switches)
    for (const char* text : {"", "1", "0", "yes", "no", "True", "TRUE", "on", "true ", "tru"})
      EXPECT_THAT(refusal(name, text), AllOf(HasSubstr("--" + name), HasSubstr("true or false"))) << text;
}

TEST(Options, Lists) {
  for (const std::string& name : lists)
    for (const char* text : {"", ",", "128,", ",128", "128,,128", "0", "65537", "-1", "128 128", "128, 128", "128;128",
                             "1e2", "+5", "nan", "99999999999"})
      EXPECT_THAT(refusal(name, text), AllOf(HasSubstr("--" + name), HasSubstr("separated by commas"))) << text;
  std::string many = "1";
  for (int i = 1; i < 64; ++i) many += ",1";
  EXPECT_EQ(after("generator-hidden", many), many);
  EXPECT_THAT(refusal("generator-hidden", many + ",1"), HasSubstr("64"));
}

TEST(Options, ChoicesListWhatThereIsAndSuggestTheNearest) {
  EXPECT_EQ(refusal("loss", "minmax"),
            "--loss takes non-saturating, minimax, least-squares, hinge, wasserstein or relativistic, not 'minmax'; "
            "did you mean 'minimax'?");
  EXPECT_THAT(refusal("scheme", "x"), HasSubstr("alternating or simultaneous"));
  EXPECT_THAT(refusal("instruction-set", "x86-64-v5"), HasSubstr("x86-64-v2, x86-64-v3 or x86-64-v4"));
  for (const char* name :
       {"model", "loss", "scheme", "optimizer", "schedule", "device", "generator-activation", "instruction-set"})
    for (const char* text : {"", "auto ", "MLP", "relu\n"})
      EXPECT_THAT(refusal(name, text), HasSubstr("--" + std::string(name)));
}

// One list of each, the one that every backend dispatches on: the help names all of it, and all of it is taken.
template <class List>
void expect_all_of(const std::string& option) {
  const std::string help = find_train_option(option)->help;
  std::string listed;
  for (int i = 0; i < List::size; ++i)
    List::visit(i, [&](auto one) {
      const std::string name = decltype(one)::name;
      EXPECT_EQ(after(option, name), name);
      listed += (i == 0 ? "" : i + 1 == List::size ? " or " : ", ") + name;
    });
  EXPECT_THAT(help, EndsWith(": " + listed));
}

TEST(Options, EveryNameIsListedAndTaken) {
  expect_all_of<math::Activations>("generator-activation");
  expect_all_of<math::Activations>("discriminator-activation");
  expect_all_of<math::Losses>("loss");
  expect_all_of<math::Optimizers>("optimizer");
  expect_all_of<math::Schedules>("schedule");
}

TEST(Options, TextsThatConfigIniCouldNotHoldAreRefused) {
  using namespace std::string_literals;
  for (const std::string& name : texts)
    for (const std::string& text :
         {""s, "a#b"s, "#"s, "a\nb"s, "a\rb"s, " a"s, "a "s, "\ta"s, "a\t"s, "a\0b"s, "\x7F"s})
      EXPECT_THAT(refusal(name, text), AllOf(HasSubstr("--" + name), HasSubstr("config.ini"))) << text;
}

TEST(Options, UnknownNamesAreAnsweredWithTheNearest) {
  const auto answer = [](const std::string& name) {
    TrainOptions options;
    return testing::refusal(ExitCode::usage, [&] { set_train_option(options, name, "1"); });
  };
  EXPECT_EQ(answer("bathc"), "there is no option 'bathc'; did you mean 'batch'?");
  EXPECT_EQ(answer("learnin-rate"), "there is no option 'learnin-rate'; did you mean 'learning-rate'?");
  EXPECT_EQ(answer("Batch"), "there is no option 'Batch'; did you mean 'batch'?");
  EXPECT_EQ(answer("quux"), "there is no option 'quux'");
  EXPECT_THAT(answer(""), HasSubstr("there is no option ''"));
}

TEST(Options, ThoseThatDoNotGoTogether) {
  const auto answer = [](const std::vector<std::pair<std::string, std::string>>& settings) {
    TrainOptions options;
    for (const auto& [name, value] : settings) set_train_option(options, name, value);
    return testing::refusal(ExitCode::usage, [&] { check_train_options(options); });
  };
  EXPECT_THAT(answer({{"scheme", "simultaneous"}, {"d-steps", "2"}}), HasSubstr("--d-steps 2"));
  EXPECT_EQ(answer({{"scheme", "simultaneous"}}), "");
  EXPECT_THAT(answer({{"reproducible", "true"}, {"batch", "7"}}), HasSubstr("at most --shards 7"));
  EXPECT_EQ(answer({{"batch", "7"}}), "");
  EXPECT_EQ(answer({{"reproducible", "true"}, {"batch", "8"}}), "");
  EXPECT_THAT(answer({{"scheme", "simultaneous"}, {"d-burst", "3"}}), HasSubstr("--d-burst 3"));
  for (const char* loss : {"hinge", "wasserstein", "relativistic"})
    EXPECT_THAT(answer({{"loss", loss}, {"label-smoothing", "0.1"}}),
                HasSubstr("--loss " + std::string(loss) + " has none"));
  for (const char* loss : {"non-saturating", "minimax", "least-squares"})
    EXPECT_EQ(answer({{"loss", loss}, {"label-smoothing", "0.1"}}), "");
  for (const char* penalty : {"r2", "gradient-penalty"})
    EXPECT_THAT(answer({{"discriminator-activation", "tanh"}, {"r1", "0"}, {penalty, "1"}}),
                HasSubstr("--" + std::string(penalty) + " needs"));
  for (int i = 0; i < math::Activations::size; ++i)
    math::Activations::visit(i, [&](auto sigma) {
      const std::string name = decltype(sigma)::name;
      if (decltype(sigma)::piecewise_linear) {
        EXPECT_EQ(answer({{"discriminator-activation", name}}), "");
      } else {
        EXPECT_THAT(answer({{"discriminator-activation", name}}), AllOf(HasSubstr(name), HasSubstr("--r1 0")));
        EXPECT_EQ(answer({{"discriminator-activation", name}, {"r1", "0"}}), "");
      }
    });
  EXPECT_THAT(answer({{"discriminator-norm", "batch"}}), AllOf(HasSubstr("--r1 needs"), HasSubstr("--r1 0")));
  EXPECT_EQ(answer({{"discriminator-norm", "batch"}, {"r1", "0"}}), "");
  EXPECT_EQ(answer({{"spectral-norm", "true"}, {"dropout", "0.5"}}), "");
  EXPECT_THAT(answer({{"spectral-norm", "true"}, {"clip-weights", "0.01"}}),
              AllOf(HasSubstr("--clip-weights and --spectral-norm exclude each other"), HasSubstr("--clip-weights 0")));
  EXPECT_THAT(answer({{"spectral-norm", "true"}, {"discriminator-norm", "batch"}, {"r1", "0"}}),
              AllOf(HasSubstr("--spectral-norm and --discriminator-norm batch exclude each other"),
                    HasSubstr("--discriminator-norm none")));
  EXPECT_EQ(answer({{"generator-norm", "batch"}}), "");
  for (const char* norm : {"generator-norm", "discriminator-norm"}) {
    EXPECT_THAT(answer({{"r1", "0"}, {norm, "batch"}, {"batch", "1"}}),
                AllOf(HasSubstr("--" + std::string(norm) + " batch"), HasSubstr("--batch 2")));
    EXPECT_EQ(answer({{"r1", "0"}, {norm, "batch"}, {"batch", "2"}}), "");
  }
  EXPECT_EQ(answer({{"batch", "1"}}), "");
  // A critic that nothing bounds.
  EXPECT_THAT(answer({{"loss", "wasserstein"}, {"r1", "0"}}),
              AllOf(HasSubstr("nothing here bounds D"), HasSubstr("--clip-weights 0.01")));
  for (const auto& [name, value] : {std::pair{"clip-weights", "0.01"},
                                    {"gradient-penalty", "10"},
                                    {"r1", "1"},
                                    {"r2", "1"},
                                    {"spectral-norm", "true"}})
    EXPECT_EQ(answer({{"loss", "wasserstein"}, {"r1", "0"}, {name, value}}), "");
  EXPECT_EQ(answer({{"loss", "hinge"}, {"r1", "0"}}), "");
  EXPECT_THAT(answer({{"loss", "wasserstein"}, {"r1", "0"}, {"clip-weights", "0.01"}, {"gradient-penalty", "10"}}),
              HasSubstr("--clip-weights and --gradient-penalty exclude each other"));
  // A slice of the batch has no statistics of the whole, and is made of whole shards.
  for (const char* norm : {"generator-norm", "discriminator-norm"}) {
    EXPECT_THAT(answer({{"r1", "0"}, {norm, "batch"}, {"micro-batch", "50"}}),
                AllOf(HasSubstr("--" + std::string(norm) + " batch"), HasSubstr("--micro-batch 0")));
    EXPECT_EQ(answer({{"r1", "0"}, {norm, "batch"}, {"micro-batch", "0"}}), "");
  }
  EXPECT_THAT(answer({{"reproducible", "true"}, {"micro-batch", "12"}}),
              AllOf(HasSubstr("up to 13 images"), HasSubstr("--micro-batch 13"), HasSubstr("--shards 9")));
  EXPECT_EQ(answer({{"reproducible", "true"}, {"micro-batch", "13"}}), "");
  EXPECT_EQ(answer({{"reproducible", "true"}, {"micro-batch", "12"}, {"shards", "9"}}), "");
  EXPECT_EQ(answer({{"micro-batch", "1"}}), "");
  EXPECT_THAT(answer({{"keep-every", "10000"}, {"keep", "0"}}), HasSubstr("--keep 0 keeps every checkpoint"));
  for (const char* every : {"0", "3000"})
    EXPECT_THAT(answer({{"keep-every", "10000"}, {"checkpoint-every", every}}),
                AllOf(HasSubstr("--checkpoint-every " + std::string(every)), HasSubstr("use a multiple")));
  EXPECT_EQ(answer({{"keep-every", "10000"}}), "");
  // What would do nothing is refused with what it needs.
  for (const auto& [name, value, needed, also] :
       {std::tuple{"momentum", "0.9", "--optimizer sgd", std::pair{"optimizer", "sgd"}},
        {"rmsprop-decay", "0.9", "--optimizer rmsprop", {"optimizer", "rmsprop"}},
        {"penalty-every", "4", "a penalty", {"r2", "1"}},
        {"instance-noise-end", "0.5", "--instance-noise", {"instance-noise", "0.1"}},
        {"d-burst-first", "10", "--d-burst", {"d-burst", "5"}},
        {"d-burst-every", "10", "--d-burst", {"d-burst", "5"}},
        {"schedule-start", "0.5", "a --schedule by which step sizes fall", {"schedule", "linear"}},
        {"schedule-end", "0.1", "a --schedule by which step sizes fall", {"schedule", "cosine"}},
        {"shards", "4", "--reproducible", {"reproducible", "true"}},
        {"leak",
         "0.1",
         "--generator-activation or --discriminator-activation leaky-relu",
         {"generator-activation", "leaky-relu"}},
        {"leak",
         "0.1",
         "--generator-activation or --discriminator-activation leaky-relu",
         {"discriminator-activation", "leaky-relu"}},
        {"eval-metrics", "parzen", "--eval-every", {"eval-every", "100"}},
        {"eval-samples", "500", "--eval-every", {"eval-every", "100"}},
        {"tensorboard-histograms-every", "10", "--tensorboard", {"tensorboard", "true"}}}) {
    EXPECT_THAT(answer({{"r1", "0"}, {name, value}}),
                AllOf(HasSubstr("--" + std::string(name) + " does nothing without " + needed), HasSubstr("add that")));
    EXPECT_EQ(answer({{"r1", "0"}, {name, value}, also}), "");
  }
  for (const auto& [name, value] :
       {std::pair{"precision", "bf16"}, {"debug", "true"}, {"no-graph", "true"}, {"reduction", "mpi"}}) {
    EXPECT_THAT(answer({{"device", "cpu"}, {name, value}}),
                HasSubstr("--" + std::string(name) + " is for GPUs and does nothing with --device cpu"));
    EXPECT_EQ(answer({{name, value}}), "") << "there may be a GPU";
  }
  for (const char* device : {"cuda", "cuda:1"})
    EXPECT_THAT(answer({{"device", device}, {"instruction-set", "x86-64-v3"}}),
                HasSubstr("--instruction-set is for CPUs and does nothing with --device " + std::string(device)));
  EXPECT_EQ(answer({{"instruction-set", "x86-64-v3"}}), "");
  EXPECT_THAT(answer({{"schedule", "cosine"}, {"schedule-end", "1"}}),
              AllOf(HasSubstr("--schedule-end is the part of the step size that --schedule cosine falls to"),
                    HasSubstr("use less than 1, or --schedule constant")));
  // The constants of an optimiser that another does not use.
  for (const auto& [name, with, without] :
       {std::tuple{"beta1", std::vector<std::string>{"adam", "adamw"}, std::vector<std::string>{"sgd", "rmsprop"}},
        {"beta2", {"adam", "adamw"}, {"sgd", "rmsprop"}},
        {"epsilon", {"rmsprop", "adam", "adamw"}, {"sgd"}},
        {"momentum", {"sgd"}, {"rmsprop", "adam", "adamw"}},
        {"rmsprop-decay", {"rmsprop"}, {"sgd", "adam", "adamw"}}}) {
    for (const std::string& optimizer : without) {
      EXPECT_THAT(answer({{"optimizer", optimizer}, {name, "0.25"}}),
                  HasSubstr("--" + std::string(name) + " does nothing without --optimizer " + with[0]));
      const std::string standard = find_train_option(name)->get(TrainOptions{});
      EXPECT_EQ(answer({{"optimizer", optimizer}, {name, standard}}), "");
    }
    for (const std::string& optimizer : with) EXPECT_EQ(answer({{"optimizer", optimizer}, {name, "0.25"}}), "");
  }
  for (const char* precision : {"tf32", "bf16"})
    EXPECT_THAT(answer({{"precision", precision}, {"reproducible", "true"}}),
                AllOf(HasSubstr("--precision " + std::string(precision) + " and --reproducible exclude each other"),
                      HasSubstr("--precision fp32")));
  EXPECT_EQ(answer({{"precision", "fp32"}, {"reproducible", "true"}}), "");
  EXPECT_THAT(
      answer({{"learning-rate", "0.1"}, {"generator-learning-rate", "1"}, {"discriminator-learning-rate", "1"}}),
      HasSubstr("--learning-rate is for networks without one of their own"));
  EXPECT_EQ(answer({{"learning-rate", "0.1"}, {"generator-learning-rate", "1"}}), "");
  EXPECT_THAT(answer({{"init", "normal"}, {"init-from", "g,d"}}), HasSubstr("--init draws the weights that"));
  EXPECT_EQ(answer({{"init", "normal"}, {"init-from", "g"}}), "");
  for (const char* many : {"100", "101"})
    EXPECT_THAT(answer({{"micro-batch", many}}), HasSubstr(std::string(many) + " cuts nothing off a batch of 100"));
  EXPECT_EQ(answer({{"micro-batch", "99"}}), "");
  EXPECT_THAT(answer({{"d-burst", "5"}, {"d-burst-first", "0"}, {"d-burst-every", "0"}}),
              AllOf(HasSubstr("--d-burst 5 names no step"), HasSubstr("--d-burst 0")));
  EXPECT_EQ(answer({{"d-burst", "5"}, {"d-burst-first", "0"}}), "");
  EXPECT_THAT(answer({{"allow-change", "r1"}}), HasSubstr("add --resume"));
  EXPECT_EQ(answer({{"allow-change", "r1"}, {"resume", "true"}}), "");
  // An option of one family of networks says nothing about another.
  for (const auto& [name, value] : {std::pair{"channels", "32"}, {"kernel", "3"}, {"fully-connected", "0"}}) {
    EXPECT_THAT(answer({{name, value}}), HasSubstr("--" + std::string(name) + " belongs to --model dcgan"));
    EXPECT_EQ(answer({{name, value}, {"model", "dcgan"}}), "");
  }
  for (const char* name : {"generator-hidden", "discriminator-hidden"}) {
    EXPECT_THAT(answer({{name, "32"}, {"model", "dcgan"}}), HasSubstr("belongs to --model mlp"));
    EXPECT_EQ(answer({{name, "32"}}), "");
  }
}

TEST(Options, FilesToStartFromAreTheSameFromEveryFolder) {
  const std::string here = std::filesystem::current_path().string();
  EXPECT_EQ(after("init-from", "g.safetensors,sub/../d.safetensors"),
            here + "/g.safetensors," + here + "/d.safetensors");
  EXPECT_THAT(refusal("init-from", "/a,/b,/c"), HasSubstr("one file, or two"));
  for (const char* text : {",", "/a,", ",/a", "/a#b", "/a\n"})
    EXPECT_THAT(refusal("init-from", text), HasSubstr("--init-from takes")) << text;
  EXPECT_FALSE(trajectory_options({}).contains("init-from"));
  TrainOptions options;
  options.init_from = {"/g.safetensors"};
  EXPECT_EQ(trajectory_options(options).at("init-from"), "/g.safetensors");
}

TEST(Options, ChangesThatCannotBeAllowedAreRefusedWithTheReason) {
  for (const char* name : {"latent", "generator-hidden", "model", "stack", "optimizer", "blocks"})
    EXPECT_THAT(refusal("allow-change", name), AllOf(HasSubstr(name), HasSubstr("tensors would not fit"))) << name;
  EXPECT_THAT(refusal("allow-change", "init-from"), HasSubstr("goes on from the weights of its checkpoint"));
  for (const char* name : {"threads", "keep", "out", "device"})
    EXPECT_THAT(refusal("allow-change", name), HasSubstr("no trajectory depends on it")) << name;
  EXPECT_THAT(refusal("allow-change", "r1,learning-rat"),
              AllOf(HasSubstr("no such option"), HasSubstr("did you mean 'learning-rate'?")));
  for (const char* text : {"", ",", "r1,", ",r1"})
    EXPECT_THAT(refusal("allow-change", text), HasSubstr("no such option"));
}

TEST(Options, TheTrajectoryKnowsNoPlaces) {
  TrainOptions options;
  const std::map<std::string, std::string> plain = trajectory_options(options);
  options.out = "elsewhere";
  options.data = "other";
  options.threads = 7;
  options.micro_batch = 13;
  options.steps = 12;
  options.epochs = 3;
  options.checkpoint_every = 1;
  options.shards = 4;  // without --reproducible there are none
  options.instruction_set = "x86-64-v2";
  EXPECT_EQ(trajectory_options(options), plain);
  EXPECT_FALSE(plain.contains("shards"));
  options.reproducible = true;
  EXPECT_EQ(trajectory_options(options).at("shards"), "4");
  EXPECT_EQ(plain.at("batch"), "100");
}

TEST(Options, TheLengthOfATrainingIsPartOfItsTrajectoryWhereStepSizesOrNoiseFollowIt) {
  TrainOptions options;
  options.steps = 12;
  options.schedule_start = 0.5;
  const std::map<std::string, std::string> constant = trajectory_options(options);
  for (const char* name : {"steps", "epochs", "schedule-start", "schedule-end"}) EXPECT_FALSE(constant.contains(name));
  options.schedule = "cosine";
  const std::map<std::string, std::string> cosine = trajectory_options(options);
  EXPECT_EQ(cosine.at("steps"), "12");
  EXPECT_EQ(cosine.at("schedule-start"), "0.5");
  EXPECT_FALSE(cosine.contains("epochs"));
  options.steps = 0;
  EXPECT_EQ(trajectory_options(options).at("epochs"), "1000");

  EXPECT_FALSE(constant.contains("instance-noise-end"));
  options.schedule = "constant";
  options.instance_noise = 0.1;
  options.steps = 12;
  const std::map<std::string, std::string> noisy = trajectory_options(options);
  EXPECT_EQ(noisy.at("steps"), "12");
  EXPECT_EQ(noisy.at("instance-noise-end"), "1");
  EXPECT_FALSE(noisy.contains("schedule-start"));
}

TEST(Options, MembersThatWereSetOutOfRangeAreRefusedByName) {
  const auto answer = [](double TrainOptions::*member, double value) {
    TrainOptions options;
    options.*member = value;
    return testing::refusal(ExitCode::usage, [&] { check_train_options(options); });
  };
  EXPECT_THAT(answer(&TrainOptions::beta2, 1), HasSubstr("--beta2 takes a number from 0"));
  EXPECT_THAT(answer(&TrainOptions::momentum, std::nan("")), HasSubstr("--momentum takes a number from 0"));
  EXPECT_THAT(answer(&TrainOptions::weight_decay, -1), HasSubstr("--weight-decay takes a number from 0"));
  EXPECT_EQ(answer(&TrainOptions::weight_decay, 1e-4), "");
  // Also of those that change no trajectory.
  const auto named = [](std::string TrainOptions::*member, const char* name) {
    TrainOptions options;
    options.*member = name;
    return testing::refusal(ExitCode::usage, [&] { check_train_options(options); });
  };
  EXPECT_THAT(named(&TrainOptions::on_nan, "Stop"), HasSubstr("--on-nan takes"));
  EXPECT_THAT(named(&TrainOptions::checkpoint_failure, "Stop"), HasSubstr("--checkpoint-failure takes"));
  EXPECT_THAT(named(&TrainOptions::precision, "fp16"), HasSubstr("--precision takes"));
}

}  // namespace
}  // namespace ganymede
