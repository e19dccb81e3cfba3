// SPDX-License-Identifier: Apache-2.0
// A broker that is away, a queue that is gone, a connection that ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/test_world.h"

namespace sluice::worker::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Fails every such call until then.
struct Away final : queue::Faults {
  Away(World& w, queue::Op o, Duration d) : world(w), op(o), until(w.clock.now() + d) { w.broker.set_faults(this); }
  ~Away() override { world.broker.set_faults(nullptr); }
  Before before(queue::Op o, std::string_view) override {
    const bool fail = o == op && world.clock.now() < until;
    asked += fail ? 1 : 0;
    return {.delay = {}, .fail = fail};
  }
  World& world;
  queue::Op op;
  Time until;
  std::int64_t asked = 0;
};

TEST(Runtime, ABrokerThatIsAwayIsAskedForAsLongAsItTakesAndToldOnce) {
  for (const queue::Op op : {queue::Op::open, queue::Op::receive}) {
    World world;
    const Away faults(world, op, 1h);
    world.run([](World& w) -> Task<void> {
      const Time start = w.clock.now();
      co_await w.publish(ids(1));
      const Result<Summary> end = co_await w.serve();
      EXPECT_TRUE(end);
      EXPECT_EQ(end->counts, (Counts{.done = 1}));
      EXPECT_LE(w.clock.now() - start, 1h + 12s) << "found again within a second, then idle for 10 s";
    });
    EXPECT_EQ(world.note.troubles.size(), 1U);
    ASSERT_EQ(world.note.recoveries.size(), 1U);
    EXPECT_LE(abs(world.note.recoveries[0] - 1h), 2s);
    EXPECT_LE(faults.asked, 3600 * 3);
  }
}

TEST(Runtime, AWorkerWhoseBrokerIsAwayAtItsStartLeavesWhenItIsTold) {
  World world;
  const Away faults(world, queue::Op::open, 1h);
  world.run([](World& w) -> Task<void> {
    const Time start = w.clock.now();
    aio::TaskGroup group(w.loop, w.clock);
    group.spawn(drain_at(w, start + 2min, 1));
    const Result<Summary> end = co_await w.serve();
    EXPECT_TRUE(end);
    EXPECT_EQ(end->reason, EndReason::sigterm);
    EXPECT_LE(w.clock.now() - start, 2min + 1s);
    co_await group.join();
  });
}

TEST(Runtime, AQueueThatIsGoneIsAskedForRarelyAndGivenUpAfterATime) {
  World world;
  world.options.idle_exit.reset();
  world.run([](World& w) -> Task<void> {
    const Time start = w.clock.now();
    aio::TaskGroup group(w.loop, w.clock);
    const auto remove = [](World& v) -> Task<void> {
      co_await v.clock.sleep_for(10s);
      v.broker.kill("w1");  // from now on its calls answer gone
    };
    group.spawn(remove(w));
    const Result<Summary> end = co_await w.serve();
    EXPECT_FALSE(end);
    EXPECT_GE(w.clock.now() - start, 5min);
    EXPECT_LE(w.clock.now() - start, 6min);
    co_await group.join();
  });
  EXPECT_LE(world.note.troubles.size(), 3U);
}

class Lost : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Started, Lost, ::testing::Bool(),
                         [](const auto& at_once) { return at_once.param ? "AtOnce" : "ByATask"; });

TEST_P(Lost, TheEndOfAConnectionStopsItsHandlersAndNothingOfThemIsSettled) {
  World world({.begins_at_once = GetParam()});
  world.options.idle_exit = 2min;
  world.handler.script["m0"] = {{.work = 1h}, {.work = 1s}};
  world.run([](World& w) -> Task<void> {
    co_await w.publish(ids(1));
    std::unique_ptr<queue::Receiver> receiver = w.broker.receiver("w");
    Runtime life(w.loop, w.clock, w.random, *receiver, w.handler, w.options, w.note);
    aio::TaskGroup group(w.loop, w.clock);
    const auto cut = [](World& v, queue::Receiver& r) -> Task<void> {
      co_await v.clock.sleep_for(10s);
      v.broker.cut(r);
    };
    group.spawn(cut(w, *receiver));
    const Result<Summary> end = co_await life.run();
    EXPECT_TRUE(end);
    EXPECT_EQ(end->lost, 1U);
    EXPECT_EQ(end->counts, (Counts{.done = 1}));
    co_await group.join();
  });
  const std::vector<Seen> runs = world.handler.runs_of("m0");
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[1].cause, Cause::crash);
  EXPECT_LE(runs[1].at - runs[0].at, 30s) << "the first run was stopped, not waited for";
  EXPECT_THAT(world.note.troubles, ElementsAre(AllOf(HasSubstr("m0 was taken"), HasSubstr("was cut"))));
}

}  // namespace
}  // namespace sluice::worker::testing
