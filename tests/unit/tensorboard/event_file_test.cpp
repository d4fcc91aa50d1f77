// Names and order of event files, and a run's past.
#include "tensorboard/event_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/files.hpp"
#include "ganymede/error.hpp"
#include "report/image_grid.hpp"
#include "support/temporary_folder.hpp"
#include "unit/tensorboard/records.hpp"

namespace ganymede::tensorboard {
namespace {

using test::events_of;
using test::TemporaryFolder;
using ::testing::ElementsAre;

void touch(const std::filesystem::path& file) { std::ofstream(file) << "x"; }

TEST(EventFile, EachIsTheLastOfItsFolder) {
  const TemporaryFolder folder;
  std::filesystem::path last = exported_event_file(folder.path());
  // The same second again, and a clock that was set back.
  for (const double now : {1.8e9, 1.8e9, 1.7e9}) {
    touch(last);
    const std::filesystem::path next = next_event_file(folder.path(), now);
    EXPECT_GT(next, last);
    EXPECT_FALSE(std::filesystem::exists(next));
    last = next;
  }
}

TEST(EventFile, AFolderHoldsEventsOrNone) {
  const TemporaryFolder folder;
  EXPECT_FALSE(holds_events(folder / "missing"));
  touch(folder / "metrics.jsonl");
  EXPECT_FALSE(holds_events(folder.path()));
  const std::filesystem::path exported = exported_event_file(folder.path());
  touch(exported);
  EXPECT_TRUE(holds_events(folder.path()));
  EXPECT_FALSE(holds_events(folder.path(), exported));
  touch(next_event_file(folder.path(), 1.8e9));
  EXPECT_TRUE(holds_events(folder.path(), exported));
}

TEST(EventFile, ThePastIsThatUpToAStepAtItsTimes) {
  const TemporaryFolder folder;
  const RunFolder run(folder.path());
  run.make();
  touch(run.metrics());
  const std::vector<float> image(16, 0.25F);
  for (const std::uint64_t step : {0, 10, 20, 30}) write_png_grid(run.sample(step), image, 1, {4, 4, 1}, 1, {});
  std::vector<MetricsRecord> records(3);
  for (std::size_t i = 0; i < 3; ++i) {
    records[i].step = 10 * (i + 1);
    records[i].seconds = 100.0 * static_cast<double>(i + 1);
    records[i].evaluated_step = 10;
  }
  const std::vector<Event> events = events_of(past_events(run, {{"r1", "5"}}, records, 20));
  std::vector<std::int64_t> scalars;
  std::vector<std::int64_t> evaluations;
  std::vector<std::int64_t> pictures;
  const double begin = events.front().wall_time();
  EXPECT_EQ(events.front().file_version(), "brain.Event:2");
  for (const Event& event : events) {
    EXPECT_NEAR(event.wall_time() - begin, 10.0 * static_cast<double>(event.step()), 1e-3);
    for (const Summary::Value& value : event.summary().value()) {
      if (value.tag() == "D/loss") scalars.push_back(event.step());
      if (value.tag() == "evaluation/step") evaluations.push_back(event.step());
      if (value.has_image()) pictures.push_back(event.step());
    }
  }
  EXPECT_THAT(scalars, ElementsAre(10, 20));
  EXPECT_THAT(evaluations, ElementsAre(10));
  EXPECT_THAT(pictures, ElementsAre(0, 10, 20));
}

TEST(EventFile, AGridThatIsNoneIsNamed) {
  const TemporaryFolder folder;
  const RunFolder run(folder.path());
  run.make();
  touch(run.sample(5));
  EXPECT_THROW(past_events(run, {}, {}, 5), Error);
  EXPECT_NO_THROW(past_events(run, {}, {}, 4));
}

}  // namespace
}  // namespace ganymede::tensorboard
