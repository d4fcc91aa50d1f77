// The manifest: its form, and that nothing else passes for it.
#include "checkpoint/manifest.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <random>

#include "core/files.hpp"
#include "ganymede/error.hpp"
#include "support/refusal.hpp"

namespace ganymede {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

Manifest example() {
  Manifest manifest;
  manifest.step = 1200;
  manifest.images_seen = 120'000;
  manifest.program = "ganymede 1";
  manifest.arithmetic = "x86-64-v3";
  manifest.data_digest = std::string(32, 'a');
  manifest.options = {{"batch", "100"}, {"name", "\xc3\xa9 \"\\\n"}};
  manifest.files = {{"generator.safetensors", {1234, std::string(32, '1')}},
                    {"discriminator.safetensors", {99, std::string(32, '2')}}};
  return manifest;
}

std::string refusal(const std::string& text) {
  std::string said = testing::refusal(ExitCode::data, [&] { Manifest::parse(text, "manifest.json"); });
  EXPECT_THAT(said, AnyOf("", HasSubstr("manifest.json: ")));
  return said;
}

/// The example with a change, and a digest that covers the change: what a malicious writer would make.
std::string signed_with(const std::function<void(nlohmann::json&)>& change) {
  auto json = nlohmann::json::parse(example().serialize());
  json.erase("digest");
  change(json);
  json["digest"] = digest(json.dump(2));
  return json.dump(2) + '\n';
}

TEST(Manifest, ComesBack) {
  const auto back = Manifest::parse(example().serialize(), "test");
  EXPECT_EQ(back.step, 1200U);
  EXPECT_EQ(back.images_seen, 120'000U);
  EXPECT_EQ(back.program, "ganymede 1");
  EXPECT_EQ(back.arithmetic, "x86-64-v3");
  EXPECT_EQ(back.data_digest, std::string(32, 'a'));
  EXPECT_EQ(back.options, example().options);
  ASSERT_EQ(back.files.size(), 2U);
  EXPECT_EQ(back.files.at("generator.safetensors").bytes, 1234U);
  EXPECT_EQ(back.files.at("generator.safetensors").digest, std::string(32, '1'));
  EXPECT_EQ(back.serialize(), example().serialize());
}

TEST(Manifest, IsJsonThatOthersCanRead) {
  const auto json = nlohmann::json::parse(example().serialize());
  EXPECT_EQ(json["format"], "ganymede-checkpoint");
  EXPECT_EQ(json["version"], 1);
  EXPECT_EQ(json["step"], 1200);
  EXPECT_EQ(json["options"]["batch"], "100");
  EXPECT_EQ(json["files"]["generator.safetensors"]["bytes"], 1234);
  EXPECT_EQ(signed_with([](auto&) {}), example().serialize());
}

TEST(Manifest, RefusesEveryTruncation) {
  const std::string text = example().serialize();
  for (std::size_t size = 0; size < text.size(); ++size) EXPECT_NE(refusal(text.substr(0, size)), "") << size;
  EXPECT_NE(refusal(text + ' '), "");
  EXPECT_NE(refusal(text + std::string(1, '\0')), "");
}

TEST(Manifest, RefusesEveryBitFlip) {
  const std::string text = example().serialize();
  for (std::size_t at = 0; at < text.size(); ++at) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      std::string damaged = text;
      damaged[at] ^= static_cast<char>(1U << bit);
      EXPECT_NE(refusal(damaged), "") << "byte " << at << " bit " << bit;
    }
  }
}

TEST(Manifest, RefusesAnEditedOption) {
  std::string text = example().serialize();
  text.replace(text.find("\"100\""), 5, "\"200\"");
  EXPECT_THAT(refusal(text), AllOf(HasSubstr("digest"), HasSubstr("damaged or was edited")));
}

TEST(Manifest, RefusesAnotherLayoutOfTheSameContent) {
  const auto json = nlohmann::json::parse(example().serialize());
  EXPECT_THAT(refusal(json.dump()), HasSubstr("form"));
}

TEST(Manifest, SaysWhatToDoAboutAnotherVersion) {
  const auto message = refusal(signed_with([](auto& json) { json["version"] = 2; }));
  EXPECT_THAT(message, AllOf(HasSubstr("version"), HasSubstr("expected 1"), HasSubstr("found 2"),
                             HasSubstr("use the version of ganymede that wrote")));
}

TEST(Manifest, RefusesWhatIsWellSignedButWrong) {
  struct Case {
    std::function<void(nlohmann::json&)> change;
    std::vector<std::string> says;
  };
  const nlohmann::json file = {{"bytes", 1}, {"digest", std::string(32, '0')}};
  const std::vector<Case> cases = {
      {[](auto& j) { j["format"] = "zip"; }, {"format", "ganymede-checkpoint", "zip"}},
      {[](auto& j) { j.erase("format"); }, {"format", "none"}},
      {[](auto& j) { j.erase("version"); }, {"version", "none"}},
      {[](auto& j) { j["version"] = "1"; }, {"version", "the string \"1\""}},
      {[](auto& j) { j["version"] = 1.0; }, {"form"}},
      {[](auto& j) { j.erase("step"); }, {"no step"}},
      {[](auto& j) { j["step"] = -1; }, {"step", "-1"}},
      {[](auto& j) { j["step"] = 1.5; }, {"step", "1.5"}},
      {[](auto& j) { j["step"] = "1200"; }, {"step", "the string"}},
      {[](auto& j) { j["images_seen"] = nullptr; }, {"images_seen", "null"}},
      {[](auto& j) { j["more"] = 1; }, {"\"more\""}},
      {[](auto& j) { j["options"] = nlohmann::json::array(); }, {"options", "an object", "an array"}},
      {[](auto& j) { j["options"]["batch"] = 100; }, {"options \"batch\"", "a string", "100"}},
      {[](auto& j) { j["files"] = 1; }, {"files", "an object"}},
      {[&](auto& j) { j["files"]["../x.safetensors"] = file; }, {"files", "without a folder", "../x.safetensors"}},
      {[&](auto& j) { j["files"]["a/x.safetensors"] = file; }, {"without a folder", "a/x.safetensors"}},
      {[&](auto& j) { j["files"]["/etc/x.safetensors"] = file; }, {"without a folder"}},
      {[&](auto& j) { j["files"][".x.safetensors"] = file; }, {"without a folder"}},
      {[&](auto& j) { j["files"]["..safetensors"] = file; }, {"without a folder"}},
      {[&](auto& j) { j["files"][".safetensors"] = file; }, {"without a folder"}},
      {[&](auto& j) { j["files"][""] = file; }, {"without a folder"}},
      {[&](auto& j) { j["files"][".."] = file; }, {"without a folder"}},
      {[&](auto& j) { j["files"]["manifest.json"] = file; }, {"manifest.json"}},
      {[&](auto& j) { j["files"]["x\\y.safetensors"] = file; }, {"without a folder"}},
      {[&](auto& j) { j["files"][std::string("x\0y.safetensors", 15)] = file; }, {"without a folder"}},
      {[&](auto& j) { j["files"][std::string(300, 'x') + ".safetensors"] = file; }, {"without a folder"}},
      {[](auto& j) { j["files"]["generator.safetensors"].erase("bytes"); }, {"generator.safetensors", "no bytes"}},
      {[](auto& j) { j["files"]["generator.safetensors"]["bytes"] = -5; }, {"bytes", "-5"}},
      {[](auto& j) { j["files"]["generator.safetensors"]["digest"] = "x"; }, {"digest", "32 hex digits"}},
      {[](auto& j) { j["files"]["generator.safetensors"]["digest"] = std::string(32, 'g'); }, {"32 hex digits"}},
      {[](auto& j) { j = nlohmann::json::object(); }, {"format"}},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const auto message = refusal(signed_with(cases[i].change));
    for (const auto& part : cases[i].says) EXPECT_THAT(message, HasSubstr(part)) << "case " << i;
  }
  EXPECT_THAT(refusal("[]"), HasSubstr("an object"));
  EXPECT_THAT(refusal("1"), HasSubstr("an object"));
  EXPECT_THAT(refusal(""), HasSubstr("not valid JSON"));
}

TEST(Manifest, RefusesAKeyThatStandsTwice) {
  std::string text = example().serialize();
  text.replace(text.find("\"batch\""), 0, "\"batch\": \"200\", ");
  EXPECT_THAT(refusal(text), AllOf(HasSubstr("\"batch\""), HasSubstr("two")));
}

TEST(Manifest, RefusesToWriteWhatJsonCannotHold) {
  auto manifest = example();
  manifest.options["data"] = "\xff";
  EXPECT_THROW((void)manifest.serialize(), Error);
}

TEST(Manifest, SurvivesRandomDamage) {
  const std::string text = example().serialize();
  std::mt19937 random(5);
  for (int round = 0; round < 5'000; ++round) {
    std::string damaged = text;
    for (std::uint32_t edits = 1 + random() % 8; edits > 0; --edits) {
      const std::size_t at = random() % damaged.size();
      switch (random() % 3) {
        case 0:
          damaged[at] = static_cast<char>(random());
          break;
        case 1:
          damaged.erase(at, 1 + random() % 4);
          break;
        default:
          damaged.insert(at, 1, "{}[]\",:\\0u"[random() % 10]);
          break;
      }
    }
    EXPECT_TRUE(damaged == text || refusal(damaged) != "");
  }
}

}  // namespace
}  // namespace ganymede
