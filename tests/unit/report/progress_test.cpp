// The progress line at every width, on a pseudo-terminal and on a file.
#include "report/progress.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <optional>
#include <vector>

namespace ganymede {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

MetricsRecord example() { return {1200, 120'000, 2.004, 1.2344, 0.8123, 0.0567, 0.781, 0.806, 3.5, 2.5, 12.5, 12'345}; }

TEST(ProgressLine, ShowsEverythingWhereThereIsRoom) {
  EXPECT_EQ(
      progress_line(example(), 12'000, 20, 83, 200),
      "epoch 2.0/20  step 1200/12000  D 1.234  G 0.812  penalty 0.057  D real 78% fake 81%  12.3k img/s  ETA 1:23");
}

TEST(ProgressLine, ShowsTheEstimateOfTheDistanceWhereThereIsOne) {
  MetricsRecord record = example();
  record.wasserstein_estimate = 0.03125;
  EXPECT_EQ(progress_line(record, 12'000, 20, 83, 200),
            "epoch 2.0/20  step 1200/12000  D 1.234  G 0.812  penalty 0.057  distance 0.031  12.3k img/s  ETA 1:23");
}

TEST(ProgressLine, HasAllThatMattersInEightyColumns) {
  EXPECT_EQ(progress_line(example(), 12'000, 20, 83, 79),
            "epoch 2.0/20 step 1200 D 1.234 G 0.812 D real 78% fake 81% 12.3k img/s ETA 1:23");
  auto late = example();
  late.step = 599'000;
  late.epoch = 998.3;
  EXPECT_EQ(progress_line(late, 600'000, 1000, 4000, 79),
            "epoch 998.3 step 599000 D 1.23 G 0.81 D real 78% fake 81% 12.3k img/s ETA 1h06m");
}

TEST(ProgressLine, FitsEveryWidth) {
  std::vector<MetricsRecord> records = {MetricsRecord{}, example(), example(), example()};
  records[2].discriminator_loss = -std::numeric_limits<double>::infinity();
  records[2].generator_loss = std::nan("");
  records[2].penalty = 1.5e300;
  records[2].real_accuracy = std::nan("");
  records[2].images_per_second = 1e308;
  records[3].step = 123'456'789'012;
  records[3].epoch = 123'456.7;
  for (const auto& record : records) {
    std::size_t wider = 200;
    for (int width = 200; width >= 40; --width) {
      for (const double left : {0.0, 83.0, 1e5, 1e300, -1.0, std::nan("")}) {
        const auto line = progress_line(record, record.step * 10, 2e6, left, width);
        EXPECT_LE(line.size(), static_cast<std::size_t>(width));
        EXPECT_THAT(line, StartsWith("epoch "));
        EXPECT_THAT(line, HasSubstr("step " + std::to_string(record.step)));
        EXPECT_THAT(line, ::testing::Not(EndsWith(" ")));
      }
      const auto size = progress_line(record, record.step * 10, 2e6, 83, width).size();
      EXPECT_LE(size, wider) << "narrower, but more";
      wider = size;
    }
  }
  EXPECT_EQ(progress_line(example(), 1, 1, 1, 0), "");
  EXPECT_LE(progress_line(example(), 1, 1, 1, 13).size(), 13U);
}

TEST(ProgressLine, DropsTheLeastImportantFirst) {
  // The width from which on each part is there: the later, the less important.
  const auto from = [](const char* part) {
    int width = 200;
    while (width > 0 && progress_line(example(), 12'000, 20, 83, width - 1).find(part) != std::string::npos) --width;
    return width;
  };
  EXPECT_GT(from("penalty"), from("1200/12000"));
  EXPECT_GT(from("1200/12000"), from("2.0/20"));
  EXPECT_GT(from("2.0/20"), from("img/s"));
  EXPECT_GT(from("img/s"), from("G 0.81"));
  EXPECT_GT(from("G 0.81"), from("D real 78% fake 81%"));
  EXPECT_GT(from("D real 78% fake 81%"), from("ETA 1:23"));
  EXPECT_GT(from("ETA 1:23"), from("step 1200"));
}

TEST(ProgressLine, WritesNumbersForPeople) {
  const auto with = [](double speed, double left) {
    auto record = example();
    record.images_per_second = speed;
    return progress_line(record, 12'000, 20, left, 200);
  };
  EXPECT_THAT(with(7.25, 9), EndsWith("  7.2 img/s  ETA 0:09"));
  EXPECT_THAT(with(999, 59.6), EndsWith("  999 img/s  ETA 1:00"));
  EXPECT_THAT(with(64'000, 3600), EndsWith("  64.0k img/s  ETA 1h00m"));
  EXPECT_THAT(with(1.5e6, 100'000), EndsWith("  1.5M img/s  ETA 1d03h"));
  EXPECT_THAT(with(999.7, -1), EndsWith("  1.0k img/s"));
  EXPECT_THAT(with(999'960, -1), EndsWith("  1.0M img/s"));
  auto record = example();
  record.epoch = 0.05;
  record.penalty = 0;
  EXPECT_THAT(progress_line(record, 500, 5.0 / 6, 1, 200), StartsWith("epoch 0.05/0.83  step 1200/500"));
  EXPECT_THAT(progress_line(record, 500, 5.0 / 6, 1, 200), ::testing::Not(HasSubstr("penalty")));
  EXPECT_THAT(progress_line(record, 500, 3, 1, 200), StartsWith("epoch 0.05/3  step"));
}

TEST(Progress, PrintsAPlainLineForEveryTenthElsewhere) {
  std::FILE* const file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  Output output(fileno(file), fileno(file));
  Progress progress(output, 1000, 20);
  auto record = example();
  for (std::uint64_t step = 1; step <= 1000; ++step) {
    record.step = step;
    progress.show(record, 1, step == 1000);
  }
  progress.finish();
  output.finish([] { return false; });
  std::rewind(file);
  std::vector<std::string> lines;
  char buffer[512];
  while (std::fgets(buffer, sizeof buffer, file) != nullptr) lines.emplace_back(buffer);
  std::fclose(file);
  ASSERT_EQ(lines.size(), 11U);
  EXPECT_THAT(lines.front(), HasSubstr("step 1/1000"));
  EXPECT_THAT(lines[1], HasSubstr("step 100/1000"));
  EXPECT_THAT(lines.back(), HasSubstr("step 1000/1000"));
  for (const auto& line : lines) {
    EXPECT_EQ(line.find_first_of("\r\x1b"), std::string::npos);
    EXPECT_THAT(line, EndsWith("\n"));
  }
}

TEST(Output, APipeThatIsReadLateGetsAllOfIt) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::string expected;
  std::string found;
  {
    Output output(ends[1], ends[1]);
    for (int line = 0; line < 4000; ++line) {
      const std::string text = "line " + std::to_string(line) + ", one of more than a pipe holds\n";
      expected += text;
      line % 2 == 0 ? output.print(text) : output.complain(text);
    }
    EXPECT_TRUE(output.is_behind());
    while (found.size() < expected.size()) {
      char buffer[4096];
      const auto count = read(ends[0], buffer, sizeof buffer);
      ASSERT_GT(count, 0);
      found.append(buffer, static_cast<std::size_t>(count));
    }
    output.finish([] { return false; });
    EXPECT_FALSE(output.is_behind());
  }
  EXPECT_EQ(found, expected);
  close(ends[0]);
  close(ends[1]);
}

class ProgressTerminal : public ::testing::Test {
 protected:
  void SetUp() override {
    winsize size{};
    size.ws_row = 24;
    size.ws_col = 60;
    ASSERT_EQ(openpty(&outside_, &inside_, nullptr, nullptr, &size), 0);
    output_.emplace(inside_, inside_);
    setenv("TERM", "xterm", 1);
  }
  void TearDown() override {
    output_.reset();
    close(inside_);
    close(outside_);
  }
  /// What arrives up to `end`, or within five seconds: the kernel hands it on in its own time.
  std::string output(const std::string& end) {
    std::string text;
    pollfd ready{outside_, POLLIN, 0};
    while (!text.ends_with(end) && poll(&ready, 1, 5000) == 1) {
      char buffer[4096];
      const auto count = read(outside_, buffer, sizeof buffer);
      if (count <= 0) break;
      text.append(buffer, static_cast<std::size_t>(count));
    }
    return text;
  }
  int outside_ = -1;
  int inside_ = -1;
  std::optional<Output> output_;
};

TEST_F(ProgressTerminal, UpdatesOneLine) {
  Progress progress(*output_, 12'000, 20);
  for (int i = 0; i < 1000; ++i)
    progress.show(example(), 83, false);  // within a tenth of a second: drawn once or twice
  progress.show(example(), 0, true);
  progress.finish();
  progress.finish();
  const std::string erase = "\x1b[K";
  const auto text = output("\r\n");
  ASSERT_THAT(text, StartsWith("\repoch "));
  EXPECT_THAT(text, EndsWith("ETA 0:00" + erase + "\r\n"));
  int drawn = 0;
  for (std::size_t at = 0; (at = text.find("\repoch", at)) != std::string::npos; ++at, ++drawn) {
    EXPECT_LE(text.find(erase, at) - at - 1, 59U);
  }
  EXPECT_GE(drawn, 2);
  EXPECT_LE(drawn, 10);
}

TEST_F(ProgressTerminal, FollowsTheWidth) {
  Progress progress(*output_, 12'000, 20);
  winsize size{};
  size.ws_col = 150;
  ASSERT_EQ(ioctl(outside_, TIOCSWINSZ, &size), 0);
  progress.show(example(), 83, true);
  EXPECT_EQ(output("\x1b[K"), '\r' + progress_line(example(), 12'000, 20, 83, 149) + "\x1b[K");
  size.ws_col = 0;  // unknown
  ASSERT_EQ(ioctl(outside_, TIOCSWINSZ, &size), 0);
  progress.show(example(), 83, true);
  EXPECT_EQ(output("\x1b[K"), '\r' + progress_line(example(), 12'000, 20, 83, 79) + "\x1b[K");
}

// As mpirun's, behind which may be a file.
TEST_F(ProgressTerminal, IsPlainOnOneWithoutColumns) {
  const winsize none{};
  ASSERT_EQ(ioctl(outside_, TIOCSWINSZ, &none), 0);
  Progress progress(*output_, 12'000, 20);
  progress.show(example(), 83, true);
  EXPECT_EQ(output("\r\n"), progress_line(example(), 12'000, 20, 83, 200) + "\r\n");
}

TEST_F(ProgressTerminal, IsPlainOnADumbOne) {
  setenv("TERM", "dumb", 1);
  Progress progress(*output_, 12'000, 20);
  progress.show(example(), 83, true);
  const auto text = output("\n");
  EXPECT_THAT(text, EndsWith("ETA 1:23\r\n"));
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace ganymede
