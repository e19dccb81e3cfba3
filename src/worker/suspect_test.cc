// SPDX-License-Identifier: Apache-2.0
// A message that kills its worker ends in the dead letters, and its neighbours do not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/test_world.h"

namespace sluice::worker::testing {
namespace {

class Poison : public ::testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Prefetch, Poison, ::testing::Values(1U, 2U, 10U), ::testing::PrintToStringParamName());

TEST_P(Poison, EndsInTheDeadLettersAfterFiveCrashesAndTheNineOthersAreDone) {
  for (const std::string poison : {"m0", "m4", "m9"}) {
    World world;
    world.options.concurrency = GetParam();
    world.handler.usual.work = 100ms;
    world.handler.script[poison] = {{.crash = true}};
    world.run([](World& w) -> Task<void> {
      co_await w.publish(ids(10));
      const Result<Summary> end = co_await w.serve();
      EXPECT_TRUE(end);
    });
    EXPECT_EQ(world.crashes, 5);
    ASSERT_EQ(world.broker.dead_letters().size(), 1U);
    const queue::MemoryDeadLetter& dead = world.broker.dead_letters()[0];
    EXPECT_EQ(dead.message.id, poison);
    EXPECT_EQ(dead.cause, Cause::crash);
    EXPECT_EQ(dead.attempts, 5U);
    EXPECT_THAT(world.note.lines, ::testing::Contains(poison + " 5 dead_lettered"));
    EXPECT_EQ(world.at(Place::done), 9U);
    for (const std::string& id : ids(10)) {
      EXPECT_EQ(world.handler.succeeded.count(id), id == poison ? 0U : 1U) << id;
    }
    for (const Seen& run : world.handler.runs) {
      const bool first_crash_beside_it = run.attempt <= 2;
      EXPECT_TRUE(run.id == poison || first_crash_beside_it) << run.id << " was punished for its neighbour";
    }
  }
}

TEST_P(Poison, RunsAloneOnceItIsASuspect) {
  World world;
  world.options.concurrency = GetParam();
  world.handler.usual.work = 3s;
  world.handler.script["m0"] = {{.crash = true}, {.work = 5s}};
  world.run([](World& w) -> Task<void> {
    co_await w.publish(ids(30));
    const Result<Summary> end = co_await w.serve();
    EXPECT_TRUE(end);
  });
  EXPECT_EQ(world.crashes, 1);
  EXPECT_EQ(world.at(Place::done), 30U);
  const std::vector<Seen> runs = world.handler.runs_of("m0");
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[1].beside, 0);
  for (const Seen& run : world.handler.runs) {
    const bool during = run.at > runs[1].at && run.at < runs[1].at + 5s;
    EXPECT_FALSE(during) << run.id << " was started beside the suspect";
  }
}

TEST(Suspect, HandedBackByADrainIsStillASuspect) {
  World world;
  world.options.concurrency = 2;
  world.handler.script["m0"] = {{.work = 1s, .crash = true}};
  world.handler.script["m1"] = {{.work = 1h}, {.work = 20s}, {}};
  world.run([](World& w) -> Task<void> {
    co_await w.publish(ids(2));
    const auto crashed = co_await w.process();
    EXPECT_FALSE(crashed);
    // Both are suspects now; one runs alone, the other waits for its turn and is handed back by the drain.
    w.handler.script["m0"] = {{.work = 20s}, {}};
    aio::TaskGroup group(w.loop, w.clock);
    group.spawn(drain_at(w, w.clock.now() + 1s, 2));
    const auto drained = co_await w.process();
    EXPECT_TRUE(drained);
    co_await group.join();
    EXPECT_EQ(w.at(Place::ready), 2U);
    const Result<Summary> end = co_await w.serve();
    EXPECT_TRUE(end);
  });
  EXPECT_EQ(world.at(Place::done), 2U);
  for (const Seen& run : world.handler.runs) {
    EXPECT_TRUE(run.attempt == 1 || run.beside == 0) << run.id;
  }
}

TEST(Suspect, WaitsForWhatRunsAndGoesFirstAfterIt) {
  World world;
  world.options.concurrency = 3;
  world.handler.usual.work = 10s;
  world.run([](World& w) -> Task<void> {
    // Another worker dies with "s" while ours is in the middle of two messages.
    co_await w.publish({"s"});
    const std::unique_ptr<queue::Receiver> other = w.broker.receiver("other");
    const Deadline soon = w.clock.in(1s);
    const Result<void> opened = co_await other->open(soon);
    EXPECT_TRUE(opened);
    const auto got = co_await other->receive(1, soon);
    EXPECT_EQ(got->size(), 1U);
    const Result<void> begun = co_await other->begin(got->front().tag, soon);
    EXPECT_TRUE(begun);
    co_await w.publish(ids(2));
    aio::TaskGroup group(w.loop, w.clock);
    const auto die = [](World& v, queue::Receiver& o) -> Task<void> {
      co_await v.clock.sleep_for(4s);
      v.broker.kill(o);
      co_await v.publish({"x", "y"});
    };
    group.spawn(die(w, *other));
    const Result<Summary> end = co_await w.serve();
    EXPECT_TRUE(end);
    co_await group.join();
  });
  const std::vector<Seen> s = world.handler.runs_of("s");
  const std::vector<Seen> m = world.handler.runs_of("m0");
  ASSERT_EQ(s.size(), 1U);
  EXPECT_EQ(s[0].beside, 0);
  EXPECT_EQ(s[0].at - m[0].at, 10s);
  EXPECT_EQ(world.at(Place::done), 5U);
}

}  // namespace
}  // namespace sluice::worker::testing
