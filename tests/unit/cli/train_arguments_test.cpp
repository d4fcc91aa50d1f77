// Which setting wins: built-in, recipe, --config, command line; recipes by name and by file; a resumed run.
#include "cli/train_arguments.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "cli/commands.hpp"
#include "ganymede/error.hpp"
#include "support/environment.hpp"
#include "support/refusal.hpp"
#include "support/temporary_folder.hpp"

namespace ganymede::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Words = std::vector<std::string>;

ResolvedOptions resolve(const Words& words) {
  return resolve_train_options(parse_command_line(train_command().syntax, words));
}

std::string refusal(const Words& words) {
  return testing::refusal(ExitCode::usage, [&] { resolve(words); });
}

// A share folder of the test's own would hide the program's recipes; files do not.
class TrainArguments : public ::testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& text) {
    std::filesystem::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return (folder_ / name).string();
  }
  test::TemporaryFolder folder_;
};

TEST_F(TrainArguments, EachLayerOverridesTheOneBefore) {
  EXPECT_EQ(resolve({}).options.batch, 100);
  const std::string recipe = file("r.ini", "# mine\nbatch = 11\nseed = 12\nr1 = 13\n");
  const std::string config = file("c.ini", "seed = 22\nr1 = 23\n");
  const ResolvedOptions all = resolve({"--recipe", recipe, "--config", config, "--r1", "33"});
  EXPECT_EQ(all.options.latent, 100);
  EXPECT_EQ(all.options.batch, 11);
  EXPECT_EQ(all.options.seed, 22U);
  EXPECT_EQ(all.options.r1, 33);
  EXPECT_EQ(all.recipe, recipe);
  // The order of the words says nothing.
  EXPECT_EQ(resolve({"--r1", "33", "--config", config, "--recipe", recipe}).options.r1, 33);
  // Also back to the built-in value, and a switch off again.
  EXPECT_EQ(resolve({"--recipe", recipe, "--batch", "100"}).options.batch, 100);
  const std::string exact = file("e.ini", "reproducible = true\n");
  EXPECT_TRUE(resolve({"--config", exact}).options.reproducible);
  EXPECT_FALSE(resolve({"--config", exact, "--reproducible=false"}).options.reproducible);
}

TEST_F(TrainArguments, EpochsAloneOverrideTheStepsOfAnEarlierLayer) {
  const std::string both = file("both.ini", "steps = 50\nepochs = 7\n");
  const std::string epochs = file("epochs.ini", "epochs = 3\n");
  EXPECT_EQ(resolve({"--config", both}).options.steps, 50U);
  EXPECT_EQ(resolve({"--config", both, "--epochs", "8"}).options.steps, 0U);
  EXPECT_EQ(resolve({"--config", both, "--epochs", "8", "--steps", "0"}).options.steps, 0U);
  EXPECT_EQ(resolve({"--config", epochs, "--steps", "9"}).options.steps, 9U);
  EXPECT_THAT(refusal({"--epochs", "8", "--steps", "9"}),
              AllOf(HasSubstr("--steps 9 and --epochs 8"), HasSubstr("give one")));
  EXPECT_EQ(resolve({"--recipe", both, "--config", epochs}).options.steps, 0U);
  EXPECT_EQ(resolve({"--recipe", both, "--config", epochs}).options.epochs, 3);
}

// What somebody gave is refused where it does nothing; what a recipe or a file set beside what it belongs to is left
// out where that is overridden.
TEST_F(TrainArguments, WhatDoesNothingIsRefusedWhereItIsMeant) {
  const auto answer = [&](const Words& words) {
    return testing::refusal(ExitCode::usage, [&] { check_train_options(resolve(words).options); });
  };
  for (const Recipe& recipe : all_recipes()) EXPECT_EQ(answer({"--recipe", recipe.name}), "") << recipe.name;
  EXPECT_THAT(answer({"--optimizer", "sgd", "--beta1", "0.1"}), HasSubstr("--beta1 does nothing without"));

  // `modern` has a β₁ of its own, `dcgan` a schedule with a beginning.
  const Words sgd = {"--recipe", "modern", "--optimizer", "sgd"};
  EXPECT_EQ(answer(sgd), "");
  EXPECT_EQ(resolve(sgd).options.beta1, TrainOptions{}.beta1);
  EXPECT_THAT(answer({"--recipe", "modern", "--optimizer", "sgd", "--beta1", "0.1"}), HasSubstr("--beta1"));
  EXPECT_EQ(answer({"--recipe", "dcgan", "--schedule", "constant"}), "");
  EXPECT_EQ(answer({"--recipe", "modern", "--model", "mlp"}), "");
  EXPECT_THAT(answer({"--recipe", "modern", "--model", "mlp", "--channels", "8"}), HasSubstr("--channels belongs to"));
  // As config.ini writes it, it can be repeated.
  EXPECT_EQ(answer({"--config", file("config.ini", config_text(resolve(sgd).options, ""))}), "");

  // A file's own mistake is one, unless the command line gives what was missing; its mistake is not the recipe's.
  const std::string mistaken = file("mistaken.ini", "optimizer = sgd\nbeta1 = 0.1\n");
  for (const char* layer : {"--config", "--recipe"}) {
    EXPECT_THAT(answer({layer, mistaken}), HasSubstr("mistaken.ini, line 2: --beta1 does nothing without"));
    EXPECT_EQ(answer({layer, mistaken, "--optimizer", "adam"}), "");
    EXPECT_EQ(resolve({layer, mistaken, "--optimizer", "adam"}).options.beta1, 0.1);
  }
  const std::string corrected = file("corrected.ini", "beta1 = 0.5\n");
  EXPECT_EQ(answer({"--recipe", mistaken, "--config", corrected}), "");
  const std::string good = file("good.ini", "optimizer = adam\nbeta1 = 0.1\n");
  EXPECT_EQ(answer({"--config", good, "--optimizer", "sgd"}), "");
  const std::string plain = file("sgd.ini", "optimizer = sgd\n");
  EXPECT_EQ(answer({"--recipe", "modern", "--config", plain}), "");
  // What the layer between overrides may come back.
  EXPECT_EQ(resolve({"--recipe", "modern", "--config", plain, "--optimizer", "adam"}).options.beta1, 0);

  // Nobody gave what a run has written of itself.
  file("run/config.ini", "optimizer = sgd\nbeta1 = 0.1\n");
  const std::string run = (folder_ / "run").string();
  EXPECT_EQ(answer({"--out", run, "--resume"}), "");
  EXPECT_THAT(answer({"--out", run, "--resume", "--beta1", "0.1"}), HasSubstr("--beta1"));
}

TEST_F(TrainArguments, AConfigurationMayNameItsRecipe) {
  const std::string config = file("c.ini", "recipe = gan-literal\nr1 = 2\n");
  const ResolvedOptions resolved = resolve({"--config", config});
  EXPECT_EQ(resolved.recipe, "gan-literal");
  EXPECT_EQ(resolved.options.ema, 0);
  EXPECT_EQ(resolved.options.r1, 2);
  EXPECT_EQ(resolve({"--config", config, "--recipe", "gan"}).options.ema, 0.999);
  // Without one the options are the file's, not those of a recipe.
  const std::string plain = file("p.ini", "r1 = 2\n");
  EXPECT_EQ(resolve({"--config", plain}).recipe, plain);
  EXPECT_EQ(resolve({}).recipe, "gan");
}

TEST_F(TrainArguments, TheDefaultRecipeIsTheBuiltInOptions) {
  const ResolvedOptions gan = resolve({"--recipe", "gan"});
  EXPECT_EQ(trajectory_options(gan.options), trajectory_options(TrainOptions{}));
  EXPECT_EQ(config_text(gan.options, ""), config_text(TrainOptions{}, ""));
  EXPECT_THAT(gan.notes, IsEmpty());
}

TEST_F(TrainArguments, TheLiteralRecipeSaysThatItCollapses) {
  const ResolvedOptions literal = resolve({"--recipe", "gan-literal"});
  EXPECT_EQ(literal.options.r1, 0);
  EXPECT_EQ(literal.options.ema, 0);
  EXPECT_THAT(literal.notes, ElementsAre(HasSubstr("collapse")));
  // Everything else is the document's, as in the default.
  TrainOptions same = literal.options;
  same.r1 = TrainOptions{}.r1;
  same.ema = TrainOptions{}.ema;
  EXPECT_EQ(trajectory_options(same), trajectory_options(TrainOptions{}));
}

TEST_F(TrainArguments, RecipesByNameAndByFile) {
  std::vector<std::string> names;
  for (const Recipe& recipe : all_recipes()) {
    names.push_back(recipe.name);
    EXPECT_NE(recipe.summary, "") << recipe.name;
    EXPECT_EQ(trajectory_options(resolve({"--recipe", recipe.name}).options),
              trajectory_options(resolve({"--recipe", recipe.file.string()}).options));
  }
  EXPECT_THAT(names, ElementsAre("dcgan", "gan", "gan-literal", "modern", "wgan"));
  EXPECT_THAT(refusal({"--recipe", "gan-litteral"}),
              AllOf(HasSubstr("did you mean 'gan-literal'?"), HasSubstr("gan, gan-literal")));
  EXPECT_THAT(refusal({"--recipe", "nothing-like-it"}),
              AllOf(HasSubstr("There are: dcgan, gan"), Not(HasSubstr("did you mean"))));
  EXPECT_THAT(refusal({"--recipe", (folder_ / "none.ini").string()}), HasSubstr("none.ini"));
}

TEST_F(TrainArguments, RecipesOfAnotherShareFolder) {
  file("share/recipes/mine.ini", "# What it is\n# note: be careful\n# note: be very careful\nbatch = 5\n");
  const test::Environment share("GANYMEDE_SHARE", (folder_ / "share").string());
  const Recipe mine = read_recipe("mine");
  EXPECT_EQ(mine.summary, "What it is");
  EXPECT_THAT(mine.notes, ElementsAre("be careful", "be very careful"));
  EXPECT_EQ(resolve({"--recipe", "mine"}).options.batch, 5);
}

TEST_F(TrainArguments, MistakesInAFileNameFileAndLine) {
  const std::string typo = file("typo.ini", "\nbathc = 5\n");
  EXPECT_THAT(refusal({"--config", typo}), AllOf(HasSubstr("typo.ini, line 2: "), HasSubstr("did you mean 'batch'?")));
  EXPECT_THAT(refusal({"--recipe", typo}), HasSubstr("typo.ini, line 2: "));
  const std::string value = file("value.ini", "batch = 5\nseed = 1e400\n");
  EXPECT_THAT(refusal({"--config", value}),
              AllOf(HasSubstr("value.ini, line 2: "), HasSubstr("--seed takes a whole number")));
  EXPECT_THAT(refusal({"--config", file("empty.ini", "data =\n")}), HasSubstr("empty.ini, line 1: --data"));
  EXPECT_THAT(refusal({"--recipe", file("nested.ini", "recipe = gan\n")}),
              HasSubstr("nested.ini, line 1: a recipe builds on no other: give --recipe on the command line"));
  for (const std::string name : {"config", "dry-run"})
    EXPECT_THAT(refusal({"--config", file("command-line.ini", name + " = true\n")}),
                HasSubstr("line 1: '" + name + "' is an option of the command line alone: give --" + name + " there"));
  EXPECT_THAT(refusal({"--config", (folder_ / "none").string()}), HasSubstr("none"));
  EXPECT_THAT(refusal({"--config", folder_.path().string()}), HasSubstr(folder_.path().string()));
  EXPECT_THAT(refusal({"--config", file("large.ini", std::string((1 << 20) + 1, '\n'))}), HasSubstr("large.ini"));
}

TEST_F(TrainArguments, AResumedRunGoesOnWithItsOwnOptions) {
  file("run/config.ini", "batch = 7\nseed = 8\n");
  const std::string run = (folder_ / "run").string();
  EXPECT_EQ(resolve({"--out", run, "--resume"}).options.batch, 7);
  EXPECT_EQ(resolve({"--out", run, "--resume"}).recipe, run + "/config.ini");
  EXPECT_EQ(resolve({"--out", run, "--resume", "--seed", "9"}).options.seed, 9U);
  // Unless told otherwise: by a file, by a recipe, or because it is not resumed.
  EXPECT_EQ(resolve({"--out", run, "--resume", "--config", file("c.ini", "seed = 3\n")}).options.batch, 100);
  EXPECT_EQ(resolve({"--out", run, "--resume", "--recipe", "gan"}).options.batch, 100);
  EXPECT_EQ(resolve({"--out", run}).options.batch, 100);
  EXPECT_EQ(resolve({"--out", run, "--resume=false"}).options.batch, 100);
  EXPECT_EQ(resolve({"--out", (folder_ / "fresh").string(), "--resume"}).options.batch, 100);
}

TEST_F(TrainArguments, ASwitchOfEarlierRunsFilesIsUnderstood) {
  EXPECT_EQ(resolve({"--config", file("on.ini", "tf32 = true\n")}).options.precision, "tf32");
  EXPECT_EQ(resolve({"--config", file("off.ini", "tf32 = false\n")}).options.precision, "fp32");
}

TEST_F(TrainArguments, ConfigTextIsReadByConfig) {
  TrainOptions options;
  options.batch = 77;
  options.learning_rate = 0.1 + 0.2;
  options.reproducible = true;
  const ResolvedOptions again = resolve({"--config", file("config.ini", config_text(options, "gan"))});
  EXPECT_EQ(config_text(again.options, "gan"), config_text(options, "gan"));
}

}  // namespace
}  // namespace ganymede::cli
