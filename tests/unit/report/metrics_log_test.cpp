// metrics.jsonl: what is written, read back, cut back on resume and refused.
#include "report/metrics_log.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <bit>
#include <cmath>
#include <csignal>
#include <fstream>
#include <limits>
#include <random>

#include "core/files.hpp"
#include "ganymede/error.hpp"
#include "support/refusal.hpp"
#include "support/temporary_folder.hpp"

namespace ganymede {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

MetricsRecord example(std::uint64_t step) {
  return {step, step * 100, 0.125, 1.25, 0.75, 0.5, 0.8, 0.9, 3.5, 2.5, 12.5, 64000, 1.5, -0.5, 4e-4, 1e-4};
}

std::vector<double> numbers(const MetricsRecord& r) {
  return {r.epoch,
          r.discriminator_loss,
          r.generator_loss,
          r.penalty,
          r.real_accuracy,
          r.fake_accuracy,
          r.discriminator_gradient_norm,
          r.generator_gradient_norm,
          r.seconds,
          r.images_per_second,
          r.real_score,
          r.fake_score,
          r.discriminator_learning_rate,
          r.generator_learning_rate};
}

void expect_same(const MetricsRecord& a, const MetricsRecord& b) {
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(a.images_seen, b.images_seen);
  EXPECT_EQ(numbers(a), numbers(b));
}

std::vector<std::uint64_t> steps(const fs::path& file) {
  std::vector<std::uint64_t> result;
  for (const auto& record : read_metrics(file)) result.push_back(record.step);
  return result;
}

std::string line(std::uint64_t step) { return to_json_line(example(step)) + '\n'; }

void overwrite(const fs::path& file, const std::string& bytes) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out << bytes;
  ASSERT_TRUE(out.flush());
}

template <class Action>
std::string refusal(const Action& action) {
  return testing::refusal(ExitCode::data, action);
}

TEST(MetricsLine, HasWhatAnEvaluationMeasuredAlone) {
  MetricsRecord record = example(12);
  record.evaluated_step = 10;
  record.parzen = -3.5;
  const std::string line = to_json_line(record);
  EXPECT_TRUE(line.ends_with(R"(,"eval_step":10,"eval_parzen":-3.5})")) << line;
  EXPECT_EQ(parse_json_line(line).parzen, -3.5);
  EXPECT_TRUE(std::isnan(parse_json_line(line).classifier_fd));
}

TEST(MetricsLine, HasTheDocumentedForm) {
  EXPECT_EQ(
      to_json_line(example(12)),
      R"({"step":12,"images_seen":1200,"epoch":0.125,"d_loss":1.25,"g_loss":0.75,"penalty":0.5,)"
      R"("d_real_accuracy":0.8,"d_fake_accuracy":0.9,"d_real_score":1.5,"d_fake_score":-0.5,)"
      R"("wasserstein_estimate":null,)"
      R"("d_gradient_norm":3.5,"g_gradient_norm":2.5,"d_learning_rate":0.0004,"g_learning_rate":0.0001,)"
      R"("diagnosis_step":null,"sample_diversity":null,"sample_classes":null,"d_real_slope":null,"d_fake_slope":null,)"
      R"("d_update_ratio":null,"g_update_ratio":null,"d_held_out_gap":null,"seconds":12.5,"images_per_second":64000.0})");
}

TEST(MetricsLine, BringsBackEveryDouble) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 2'000; ++round) {
    auto record = example(random());
    record.images_seen = random();
    for (auto* value : {&record.epoch, &record.discriminator_loss, &record.seconds}) {
      do {
        *value = std::bit_cast<double>(random());
      } while (!std::isfinite(*value));
    }
    expect_same(parse_json_line(to_json_line(record)), record);
  }
}

TEST(MetricsLine, WritesNullForWhatIsNotFinite) {
  auto record = example(1);
  record.discriminator_loss = nan;
  record.generator_loss = inf;
  record.penalty = -inf;
  const auto text = to_json_line(record);
  EXPECT_THAT(text, HasSubstr(R"("d_loss":null,"g_loss":null,"penalty":null,)"));
  const auto back = parse_json_line(text);
  EXPECT_TRUE(std::isnan(back.discriminator_loss));
  EXPECT_TRUE(std::isnan(back.generator_loss));
  EXPECT_EQ(back.seconds, record.seconds);
}

TEST(MetricsLine, RefusesAnythingElse) {
  const std::string good = to_json_line(example(1));
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return refusal([&] { parse_json_line(text); });
  };
  EXPECT_EQ(refusal([&] { parse_json_line(good); }), "");
  EXPECT_THAT(with("\"step\":1,", ""), HasSubstr("a step"));
  EXPECT_THAT(with("\"step\":1", "\"step\":-1"), AllOf(HasSubstr("step"), HasSubstr("-1")));
  EXPECT_THAT(with("\"step\":1", "\"step\":1.5"), HasSubstr("whole number"));
  EXPECT_THAT(with("\"step\":1", "\"step\":null"), HasSubstr("step"));
  EXPECT_THAT(with("\"step\":1", "\"step\":1,\"step\":2"), HasSubstr("two"));
  EXPECT_THAT(with("1.25", "NaN"), HasSubstr("not valid JSON"));
  EXPECT_THAT(with("1.25", "1e999"), HasSubstr("not valid JSON"));
  for (const auto* text : {"", "{}", "[]", "null", "7", "{", "\xff"}) {
    EXPECT_NE(refusal([&] { parse_json_line(text); }), "") << text;
  }
}

// A line of another version of the program.
TEST(MetricsLine, TakesOtherColumnsThanItsOwn) {
  const std::string more = R"({"step":7,"fid":1.5,"d_loss":0.25,"notes":["a",{"b":null}]})";
  const auto record = parse_json_line(more);
  EXPECT_EQ(record.step, 7U);
  EXPECT_EQ(record.images_seen, 0U);
  EXPECT_EQ(record.discriminator_loss, 0.25);
  EXPECT_TRUE(std::isnan(record.generator_loss));
  EXPECT_TRUE(std::isnan(parse_json_line(R"({"step":7,"d_loss":"0.25"})").discriminator_loss));
}

TEST(MetricsLog, KeepsTheLinesOfAnotherVersion) {
  const test::TemporaryFolder folder;
  const auto file = folder / "metrics.jsonl";
  const std::string other = "{\"step\":10,\"fid\":1.5,\"seconds\":4}\n{\"step\":20}\n";
  overwrite(file, other + "{\"step\":30}\n");
  {
    MetricsLog log(file, 20);
    EXPECT_EQ(log.warning(), "");
    EXPECT_EQ(log.seconds_before(), 4);
    log.append(example(30));
  }
  EXPECT_EQ(read_file(file), other + line(30));
  EXPECT_THAT(steps(file), ElementsAre(10, 20, 30));
}

TEST(MetricsLog, AppendsWholeLines) {
  const test::TemporaryFolder folder;
  const auto file = folder / "metrics.jsonl";
  {
    MetricsLog log(file, 0);
    log.append(example(1));
    EXPECT_EQ(read_file(file), line(1));
    log.append(example(2));
  }
  EXPECT_EQ(read_file(file), line(1) + line(2));
  {
    MetricsLog log(file, 2);
    log.append(example(3));
  }
  EXPECT_EQ(read_file(file), line(1) + line(2) + line(3));
  const auto records = read_metrics(file);
  ASSERT_EQ(records.size(), 3U);
  expect_same(records[2], example(3));
}

TEST(MetricsLog, DropsWhatLiesBeyondTheCheckpoint) {
  const test::TemporaryFolder folder;
  const auto file = folder / "metrics.jsonl";
  overwrite(file, line(10) + line(20) + line(30) + line(40));
  {
    MetricsLog log(file, 20);
    EXPECT_EQ(read_file(file), line(10) + line(20));
    log.append(example(30));
  }
  EXPECT_THAT(steps(file), ElementsAre(10, 20, 30));
  const MetricsLog afresh(file, 0);
  EXPECT_THAT(steps(file), ElementsAre());
}

TEST(MetricsLog, DropsATornLastLineWhereverItIsTorn) {
  const test::TemporaryFolder folder;
  const auto file = folder / "metrics.jsonl";
  for (std::size_t size = 1; size < line(20).size(); size += 9) {
    overwrite(file, line(10) + line(20).substr(0, size));
    EXPECT_THAT(steps(file), ElementsAre(10));
    MetricsLog log(file, 1000);
    log.append(example(30));
    EXPECT_THAT(steps(file), ElementsAre(10, 30)) << size;
  }
  // What a power cut may leave at the end of a file.
  overwrite(file, line(10) + std::string(100, '\0'));
  EXPECT_THAT(steps(file), ElementsAre(10));
}

TEST(MetricsLog, NamesTheLineItRefuses) {
  const test::TemporaryFolder folder;
  const auto file = folder / "metrics.jsonl";
  const std::string damaged = line(10) + line(20) + "{\"step\":}\n" + line(40);
  overwrite(file, damaged);
  const auto expected = AllOf(HasSubstr(file.string() + ", line 3"), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal([&] { read_metrics(file); }), expected);
  std::string damage;
  EXPECT_EQ(read_metrics(file, damage).size(), 2U);
  EXPECT_THAT(damage, expected);
  EXPECT_EQ(read_file(file), damaged);
  overwrite(file, line(10) + "\n" + line(20));
  EXPECT_THAT(refusal([&] { read_metrics(file); }), HasSubstr("line 2"));
}

TEST(MetricsLog, GoesOnBeforeALineThatIsNoRecord) {
  const test::TemporaryFolder folder;
  const auto file = folder / "metrics.jsonl";
  const std::string damaged = line(10) + line(20) + "{\"step\":}\n" + line(40);
  for (const std::uint64_t from : {10U, 40U}) {
    overwrite(file, damaged);
    {
      MetricsLog log(file, from);
      EXPECT_THAT(log.warning(), AllOf(HasSubstr(file.string() + ", line 3"), HasSubstr(file.string() + ".damaged")));
      EXPECT_EQ(log.seconds_before(), example(from == 10 ? 10 : 20).seconds);
      log.append(example(50));
    }
    EXPECT_EQ(read_file(file), line(10) + (from == 10 ? "" : line(20)) + line(50));
    EXPECT_EQ(read_file(file.string() + ".damaged"), damaged);
  }
  const MetricsLog whole(file, 50);
  EXPECT_EQ(whole.warning(), "");
}

// A file with holes: more than there is memory for.
TEST(MetricsLog, GoesOnWithoutALogThatIsTooLarge) {
  const test::TemporaryFolder folder;
  const auto file = folder / "metrics.jsonl";
  overwrite(file, line(10));
  constexpr std::uintmax_t size = std::uintmax_t{1} << 40U;
  fs::resize_file(file, size);
  const auto expected = HasSubstr(file.string() + ": size: expected at most 1073741824 bytes");
  EXPECT_THAT(refusal([&] { read_metrics(file); }), expected);
  std::string damage;
  EXPECT_TRUE(read_metrics(file, damage).empty());
  EXPECT_THAT(damage, expected);
  {
    MetricsLog log(file, 40);
    EXPECT_THAT(log.warning(), AllOf(expected, HasSubstr("is now " + file.string() + ".damaged")));
    log.append(example(50));
  }
  EXPECT_EQ(read_file(file), line(50));
  EXPECT_EQ(fs::file_size(file.string() + ".damaged"), size);
}

TEST(MetricsLog, SaysWhyItCannotOpen) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(refusal([&] { MetricsLog(folder / "none" / "metrics.jsonl", 0); }), HasSubstr("none/metrics.jsonl"));
  EXPECT_THAT(refusal([&] { read_metrics(folder / "none"); }), HasSubstr("none"));
}

TEST(MetricsLog, AFullDiskLeavesWholeLines) {
  const test::TemporaryFolder folder;
  const auto file = folder / "metrics.jsonl";
  MetricsLog log(file, 0);
  log.append(example(10));
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit saved{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &saved), 0);
  for (const std::size_t room : {std::size_t{0}, std::size_t{5}}) {
    const rlimit tight{line(10).size() + room, saved.rlim_max};
    setrlimit(RLIMIT_FSIZE, &tight);
    const auto message = refusal([&] { log.append(example(20)); });
    setrlimit(RLIMIT_FSIZE, &saved);
    EXPECT_THAT(message, AllOf(HasSubstr(file.string()), HasSubstr("cannot be written")));
    EXPECT_EQ(read_file(file), line(10));
  }
  std::signal(SIGXFSZ, before);
  log.append(example(30));
  EXPECT_EQ(read_file(file), line(10) + line(30));
}

}  // namespace
}  // namespace ganymede
