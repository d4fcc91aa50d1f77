// What weights files say of themselves: as written, as read, and what is wrong with it.
#include "checkpoint/weights_facts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "ganymede/error.hpp"

namespace ganymede {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string refusal(const std::function<void()>& read) {
  try {
    read();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    return error.what();
  }
  return "none";
}

TEST(WeightsFacts, AreReadAsTheyWereWritten) {
  WeightsFacts written(WeightsFacts::Entries{{"latent", "100"}});
  written.set_network("generator");
  written.set_progress(1200, 76800);
  written.set_data_digest("abc");
  written.set_shape({{28, 28, 3}, 10});
  written.set_raw(true);
  written.set_pytorch();
  // The names are what scripts and files of before hold on to.
  EXPECT_EQ(written.entries(), (WeightsFacts::Entries{{"latent", "100"},
                                                      {"network", "generator"},
                                                      {"steps", "1200"},
                                                      {"images-seen", "76800"},
                                                      {"data-digest", "abc"},
                                                      {"image-side", "28"},
                                                      {"image-channels", "3"},
                                                      {"classes", "10"},
                                                      {"weights", "raw"},
                                                      {"format", "pt"}}));
  const WeightsFacts read(written.entries(), "g.safetensors");
  EXPECT_EQ(read.network(), "generator");
  EXPECT_EQ(read.steps(), 1200U);
  EXPECT_EQ(read.images_seen(), 76800U);
  EXPECT_EQ(read.data_digest(), "abc");
  EXPECT_EQ(read.image_side(), 28);
  EXPECT_EQ(read.image_channels(), 3);
  EXPECT_EQ(read.classes(), 10);
  EXPECT_TRUE(read.raw());
  EXPECT_EQ(*read.find("latent"), "100");
  EXPECT_EQ(read.of_training(), (WeightsFacts::Entries{{"latent", "100"},
                                                       {"data-digest", "abc"},
                                                       {"image-side", "28"},
                                                       {"image-channels", "3"},
                                                       {"classes", "10"},
                                                       {"weights", "raw"}}));
}

TEST(WeightsFacts, OfAFileThatSaysNothingAreUnknown) {
  const WeightsFacts facts({}, "g.safetensors");
  EXPECT_EQ(facts.network(), "");
  EXPECT_EQ(facts.steps(), std::nullopt);
  EXPECT_EQ(facts.image_side(), std::nullopt);
  EXPECT_FALSE(facts.raw());
  EXPECT_EQ(facts.find("latent"), nullptr);
  EXPECT_FALSE(facts.difference_from(DataShape::grey(28)));
}

TEST(WeightsFacts, WhatCannotBeIsRefusedByFileAndName) {
  const WeightsFacts facts(
      {{"steps", "12 or so"}, {"image-side", "0"}, {"image-channels", "28x"}, {"classes", "257"}, {"network", "judge"}},
      "place/g.safetensors");
  EXPECT_EQ(refusal([&] { (void)facts.steps(); }), "place/g.safetensors: steps is '12 or so', not a whole number");
  EXPECT_THAT(refusal([&] { (void)facts.image_side(); }),
              AllOf(HasSubstr("place/g.safetensors: image-side is '0'"), HasSubstr("from 1 to 1024")));
  EXPECT_THAT(refusal([&] { (void)facts.image_channels(); }), HasSubstr("image-channels is '28x'"));
  EXPECT_THAT(refusal([&] { (void)facts.classes(); }), HasSubstr("from 0 to 256"));
  // What is not asked for is in nobody's way.
  EXPECT_EQ(facts.network(), "judge");
}

TEST(WeightsFacts, AreHeldAgainstAShape) {
  WeightsFacts facts;
  facts.set_shape({{28, 28, 1}, 10});
  EXPECT_FALSE(facts.difference_from({{28, 28, 1}, 10}));
  const auto other = facts.difference_from({{32, 32, 1}, 10});
  ASSERT_TRUE(other);
  EXPECT_EQ(other->name, "image-side");
  EXPECT_EQ(other->stated, 28);
  EXPECT_EQ(other->needed, 32);
  EXPECT_EQ(facts.difference_from({{28, 28, 1}, 9})->name, "classes");
  EXPECT_EQ(facts.difference_from({{28, 28, 3}, 10})->name, "image-channels");
}

}  // namespace
}  // namespace ganymede
