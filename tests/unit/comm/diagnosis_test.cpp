// Who is to blame, and how it is said.
#include "comm/diagnosis.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace ganymede::comm {
namespace {

using ::testing::ElementsAre;

const std::vector<std::string> hosts = {"a", "a", "b"};

Reading at_work(double idle) {
  Reading reading;
  reading.answered = reading.known = true;
  reading.step = 17;
  reading.stage = "steps";
  reading.phase = "D forward";
  reading.idle = idle;
  reading.process = 4711;
  return reading;
}

Reading waiting(double idle) {
  Reading reading = at_work(idle);
  reading.phase = "reduction";
  reading.waiting = "the sum of gradients";
  return reading;
}

Reading silent(char state) {
  Reading reading = at_work(0);
  reading.answered = false;
  reading.state = state;
  return reading;
}

TEST(Diagnosis, ARankThatDoesNotAnswerHoldsTheOthersUp) {
  EXPECT_EQ(diagnose({waiting(60), silent('T'), waiting(60)}, hosts).summary,
            "rank 1 on a holds the others up in step 17, D forward: it is stopped (SIGSTOP or a debugger; process "
            "4711); ranks 0 and 2 only wait");
  EXPECT_EQ(diagnose({silent('X'), waiting(60), waiting(60)}, hosts).summary,
            "rank 0 on a holds the others up in step 17, D forward: it is dead (process 4711); ranks 1 and 2 only "
            "wait");
}

// On a host that is cut off nobody can look: what the others wait for tells where it must be.
TEST(Diagnosis, OfARankThatNobodySeesTheOthersTellWhere) {
  const Diagnosis diagnosis = diagnose({waiting(60), waiting(61), Reading()}, hosts);
  EXPECT_EQ(diagnosis.summary,
            "rank 2 on b holds the others up in or before step 17, reduction: it does not answer, as it is stopped, "
            "dead or cut off; ranks 0 and 1 only wait");
  EXPECT_THAT(diagnosis.details,
              ElementsAre("rank 0 on a: step 17, reduction: waiting in the sum of gradients, since 60 s",
                          "rank 1 on a: step 17, reduction: waiting in the sum of gradients, since 61 s",
                          "rank 2 on b: it does not answer, as it is stopped, dead or cut off"));
}

TEST(Diagnosis, WhoIsAtWorkWhileOthersWaitHoldsThemUp) {
  Reading disk = at_work(70);
  disk.stage = "checkpoint";
  disk.phase = {};
  disk.state = 'D';
  EXPECT_EQ(diagnose({disk, waiting(60), waiting(60)}, hosts).summary,
            "rank 0 on a holds the others up in checkpoint after step 17: it waits for a disk or a file system, since "
            "70 s; ranks 1 and 2 only wait");
  // Alone there are no others.
  EXPECT_EQ(diagnose({at_work(60)}, {"a"}).summary, "in step 17, D forward: it is at work there, since 60 s");
}

TEST(Diagnosis, AllMayWaitForEachOther) {
  Reading elsewhere = waiting(60);
  elsewhere.stage = "picture";
  elsewhere.phase = {};
  elsewhere.waiting = "a broadcast";
  EXPECT_EQ(diagnose({waiting(60), elsewhere, waiting(60)}, hosts).summary,
            "all ranks wait for each other: rank 0 on a in step 17, reduction in the sum of gradients, rank 1 on a in "
            "picture after step 17 in a broadcast");
}

TEST(Diagnosis, WhoGetsOnIsWaitedFor) {
  EXPECT_TRUE(gets_on(at_work(3), 60));
  EXPECT_FALSE(gets_on(at_work(60), 60));
  EXPECT_FALSE(gets_on(waiting(3), 60));
  EXPECT_FALSE(gets_on(silent('R'), 60));
  // So is who waits for a reader of its output.
  Reading unread = at_work(60);
  unread.unread = true;
  EXPECT_TRUE(gets_on(unread, 60));
  unread.waiting = "a sum";
  EXPECT_FALSE(gets_on(unread, 60));
}

TEST(Diagnosis, TheStateOfAProcess) {
  EXPECT_EQ(process_state(static_cast<std::uint64_t>(::getpid())), 'R');
  EXPECT_EQ(process_state(999'999'999), 'X');
}

TEST(Heartbeat, MarksAreReadAsTheyWereMade) {
  heartbeat::stage("a stage");
  {
    const heartbeat::Stage inner("checkpoint");
    heartbeat::step(5);
    heartbeat::phase("a name of more than 23 bytes");
    const heartbeat::Waiting outer("a sum");
    const heartbeat::Waiting inner_wait("a broadcast");
    const Reading now = read(heartbeat::pulse());
    EXPECT_EQ(now.stage.text(), "checkpoint");
    EXPECT_EQ(now.phase.text(), "a name of more than 23 ");
    EXPECT_EQ(now.waiting.text(), "a sum");
    EXPECT_EQ(now.step, 5U);
  }
  const std::uint64_t beats = heartbeat::pulse().beats;
  heartbeat::beat();
  const Reading after = read(heartbeat::pulse());
  EXPECT_EQ(after.stage.text(), "a stage");
  EXPECT_TRUE(after.phase.empty());
  EXPECT_TRUE(after.waiting.empty());
  EXPECT_EQ(heartbeat::pulse().beats, beats + 1);
}

TEST(Heartbeat, WaitsAreMeasuredOnce) {
  const std::uint64_t before = heartbeat::pulse().waited;
  const auto began = std::chrono::steady_clock::now();
  {
    const heartbeat::Waiting outer("a sum");
    const heartbeat::Waiting inner("a broadcast");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  const std::chrono::nanoseconds all = std::chrono::steady_clock::now() - began;
  EXPECT_GE(heartbeat::pulse().waited - before, 20'000'000U);
  EXPECT_LE(heartbeat::pulse().waited - before, static_cast<std::uint64_t>(all.count()));
}

}  // namespace
}  // namespace ganymede::comm
