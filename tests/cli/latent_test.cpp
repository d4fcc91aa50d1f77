// `ganymede latent`: its pictures, and that a report shows them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/process.hpp"

namespace ganymede::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

class Latent : public ::testing::Test {
 protected:
  Ending ganymede_here(const Words& words) { return run(ganymede(words), folder_.path()); }
  void train(const Words& more) {
    const Ending ending = run(tiny_training("run", Words{"--steps", "20"} + more), folder_.path());
    ASSERT_EQ(ending.code, 0) << ending.err;
  }
  TemporaryFolder folder_;
};

TEST_F(Latent, DrawsAndTheReportShows) {
  train({"--condition", "concat"});
  const Ending drawn = ganymede_here({"latent", "run", "--rows", "3", "--steps", "5"});
  ASSERT_EQ(drawn.code, 0) << drawn.err;
  EXPECT_EQ(drawn.err, "");
  EXPECT_THAT(drawn.out, AllOf(HasSubstr("direction  1   singular value"), HasSubstr("of all change")));
  const Json json = Json::parse(content(folder_.path() / "run/samples/latent.json"));
  EXPECT_EQ(json["format"], "ganymede-latent");
  EXPECT_EQ(json["step"], 20);
  std::vector<std::string> files;
  for (const Json& picture : json["pictures"]) {
    files.push_back(picture["file"]);
    EXPECT_TRUE(content(folder_.path() / "run/samples" / files.back()).starts_with("\x89PNG")) << files.back();
  }
  EXPECT_EQ(files, (std::vector<std::string>{"latent-spherical.png", "latent-linear.png", "latent-classes.png",
                                             "latent-directions.png", "latent-neighbours.png"}));
  for (const std::string& file : files)
    for (const std::string& text : {std::string("tEXtstep\0"
                                                "20",
                                                11),
                                    std::string("tEXtseed\0"
                                                "1",
                                                10)})
      EXPECT_THAT(content(folder_.path() / "run/samples" / file), HasSubstr(text)) << file;
  const std::vector<double> values = json["directions"]["singular_values"];
  ASSERT_EQ(values.size(), 3U);
  EXPECT_TRUE(std::is_sorted(values.rbegin(), values.rend()));
  double squares = 0;
  for (const double value : values) squares += value * value;
  EXPECT_LE(squares, json["directions"]["squares_of_all"]);
  // The same once more, also to another place.
  const std::string walks = content(folder_.path() / "run/samples/latent-spherical.png");
  ASSERT_EQ(ganymede_here({"latent", "run", "--rows", "3", "--steps", "5", "--out", "there"}).code, 0);
  EXPECT_EQ(content(folder_.path() / "there/latent-spherical.png"), walks);

  // Then nobody knows which training images to look for; the rest is drawn.
  const std::string configuration = content(folder_.path() / "run/config.ini");
  write(folder_.path() / "run/config.ini", "no option\n");
  const Ending without = ganymede_here({"latent", "run", "--rows", "1", "--steps", "3", "--out", "there"});
  EXPECT_EQ(without.code, 0);
  EXPECT_THAT(without.err, AllOf(HasSubstr("warning: no nearest training images: "), HasSubstr("config.ini")));
  write(folder_.path() / "run/config.ini", configuration);

  // As many as there may be.
  ASSERT_EQ(ganymede_here({"latent", "run", "--rows", "100", "--steps", "3"}).code, 0);
  ASSERT_EQ(ganymede_here({"report", "run"}).code, 0);
  EXPECT_THAT(content(folder_.path() / "run/report.html"), HasSubstr("Directions in which images change most"));
}

// What an earlier call has drawn and this one does not is no longer there.
TEST_F(Latent, SaysWhatItCannotDraw) {
  train({"--stack", "2"});
  const auto picture = [&](const char* name) { return folder_.path() / "run/samples" / name; };
  for (const char* name : {"latent-classes.png", "latent-neighbours.png", "latent-walls.png"})
    std::ofstream(picture(name)) << "older";
  const Ending drawn = ganymede_here({"latent", "run", "--rows", "2"});
  EXPECT_EQ(drawn.code, 0) << drawn.err;
  EXPECT_THAT(drawn.err, HasSubstr("no nearest training images: samples show several digits at a time"));
  EXPECT_THAT(drawn.out, AllOf(HasSubstr("latent-directions.png"), Not(HasSubstr("latent-classes.png")),
                               Not(HasSubstr("latent-neighbours.png"))));
  EXPECT_FALSE(std::filesystem::exists(picture("latent-classes.png")));
  EXPECT_FALSE(std::filesystem::exists(picture("latent-neighbours.png")));
  EXPECT_EQ(content(picture("latent-walls.png")), "older") << "not its own";
  // Images that were asked for and cannot be looked for are an error, before anything is drawn.
  std::filesystem::remove(picture("latent-directions.png"));
  const Ending refused = ganymede_here({"latent", "run", "--data", "mnist-mini"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--data mnist-mini shows no nearest training images: samples show several"));
  EXPECT_FALSE(std::filesystem::exists(picture("latent-directions.png")));
}

}  // namespace
}  // namespace ganymede::test
