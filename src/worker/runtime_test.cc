// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/test_world.h"

namespace sluice::worker::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Runtime, HandlesEverythingAndLeavesWhenTheQueueHasBeenEmptyForIdleExit) {
  World world;
  world.handler.usual.work = 1s;
  world.run([](World& w) -> Task<void> {
    co_await w.publish(ids(3));
    const Time start = w.clock.now();
    const Result<Summary> end = co_await w.serve();
    EXPECT_EQ(w.clock.now() - start, 13s);
    EXPECT_TRUE(end);
    EXPECT_EQ(end->reason, EndReason::idle);
    EXPECT_EQ(end->counts, (Counts{.done = 3}));
  });
  EXPECT_THAT(world.note.lines, ElementsAre("m0 1 done", "m1 1 done", "m2 1 done"));
  EXPECT_EQ(world.note.ready_n, 1);
  EXPECT_EQ(world.report.state, WorkerState::gone);
  EXPECT_EQ(world.report.reason, "idle");
}

TEST(Runtime, RunsAsManyHandlersAsItsConcurrencyAndTakesNothingAheadOfThem) {
  World world;
  world.options.concurrency = 3;
  world.handler.usual.work = 10s;
  world.run([](World& w) -> Task<void> {
    co_await w.publish(ids(10));
    aio::TaskGroup group(w.loop, w.clock);
    const auto look = [](World& v) -> Task<void> {
      co_await v.clock.sleep_for(5s);
      EXPECT_EQ(v.handler.running, 3);
      EXPECT_EQ(v.at(Place::running), 3U);
      EXPECT_EQ(v.at(Place::held), 0U);
      EXPECT_EQ(v.at(Place::ready), 7U);
      EXPECT_EQ(v.runtime->report().state, WorkerState::busy);
      EXPECT_EQ(v.runtime->report().handling, 3U);
    };
    group.spawn(look(w));
    const Time start = w.clock.now();
    const Result<Summary> end = co_await w.serve();
    EXPECT_EQ(end->counts.done, 10U);
    EXPECT_EQ(w.clock.now() - start, 50s);
    co_await group.join();
  });
}

TEST(Runtime, NeverLeavesWithoutIdleExitUntilItIsTold) {
  World world;
  world.options.idle_exit.reset();
  world.run([](World& w) -> Task<void> {
    aio::TaskGroup group(w.loop, w.clock);
    group.spawn(drain_at(w, w.clock.now() + 24h, 1));
    const Time start = w.clock.now();
    const Result<Summary> end = co_await w.serve();
    EXPECT_EQ(end->reason, EndReason::sigterm);
    EXPECT_EQ(w.clock.now() - start, 24h);
    co_await group.join();
  });
}

TEST(Runtime, TriesAFailedMessageAgainAfterThePoolsDelaysThenGivesItUpWithItsCause) {
  World world;
  world.handler.script["m0"] = {{.outcome = Outcome::failed("no such order")}};
  world.options.idle_exit = 20min;
  world.run([](World& w) -> Task<void> {
    co_await w.publish(ids(1));
    const Result<Summary> end = co_await w.serve();
    EXPECT_EQ(end->counts, (Counts{.failed = 4, .dead_lettered = 1}));
  });
  const std::vector<Seen> runs = world.handler.runs_of("m0");
  ASSERT_EQ(runs.size(), 5U);
  std::vector<Duration> waits;
  for (std::size_t i = 1; i < runs.size(); ++i) {
    waits.push_back(runs[i].at - runs[i - 1].at);
    EXPECT_EQ(runs[i].attempt, i + 1);
    EXPECT_EQ(runs[i].cause, Cause::failed);
  }
  EXPECT_THAT(waits, ElementsAre(1s, 10s, 60s, 600s));
  ASSERT_EQ(world.broker.dead_letters().size(), 1U);
  EXPECT_EQ(world.broker.dead_letters()[0].cause, Cause::failed);
  EXPECT_EQ(world.broker.dead_letters()[0].attempts, 5U);
  EXPECT_EQ(world.broker.dead_letters()[0].why, "no such order");
}

TEST(Runtime, TheLastRetryDelayRepeatsAndAHandlersOwnDelayGoesFirst) {
  World world;
  world.options.retry_delays = {2s};
  world.handler.script["m0"] = {{.outcome = Outcome::retry("busy", 7s)},
                                {.outcome = Outcome::retry("busy")},
                                {.outcome = Outcome::failed("x")},
                                {}};
  world.run([](World& w) -> Task<void> {
    co_await w.publish(ids(1));
    const Result<Summary> end = co_await w.serve();
    EXPECT_EQ(end->counts, (Counts{.done = 1, .retried = 2, .failed = 1}));
  });
  const std::vector<Seen> runs = world.handler.runs_of("m0");
  ASSERT_EQ(runs.size(), 4U);
  EXPECT_EQ(runs[1].at - runs[0].at, 7s);
  EXPECT_EQ(runs[2].at - runs[1].at, 2s);
  EXPECT_EQ(runs[3].at - runs[2].at, 2s);
  EXPECT_EQ(runs[1].cause, Cause::retried);
  EXPECT_THAT(world.note.lines, ElementsAre("m0 1 retry", "m0 2 retry", "m0 3 failed", "m0 4 done"));
}

TEST(Runtime, APermanentFailureIsADeadLetterAtOnceAndSoIsABodyThatIsTooLarge) {
  World world;
  world.handler.script["m0"] = {{.outcome = Outcome::permanent("not an order")}};
  world.run([](World& w) -> Task<void> {
    co_await w.publish(ids(1));
    w.body = std::string(65, 'x');
    co_await w.publish({"large"});
    w.options.body_max = 64;
    const Result<Summary> end = co_await w.serve();
    EXPECT_EQ(end->counts, (Counts{.dead_lettered = 2}));
  });
  EXPECT_EQ(world.handler.runs.size(), 1U) << "the large one never reached the handler";
  ASSERT_EQ(world.broker.dead_letters().size(), 2U);
  EXPECT_EQ(world.broker.dead_letters()[0].cause, Cause::permanent);
  EXPECT_EQ(world.broker.dead_letters()[1].cause, Cause::too_large);
  EXPECT_EQ(world.broker.dead_letters()[1].why, "the body has 65 bytes, more than 64");
}

TEST(Runtime, AHandlerThatThrowsHasFailed) {
  World world;
  world.handler.script["m0"] = {{.throws = true}, {}};
  world.run([](World& w) -> Task<void> {
    co_await w.publish(ids(1));
    const Result<Summary> end = co_await w.serve();
    EXPECT_EQ(end->counts, (Counts{.done = 1, .failed = 1}));
  });
}

TEST(Runtime, AHandlerThatRunsTooLongIsCancelledAndHasFailed) {
  World world;
  world.options.max_runtime = 30s;
  world.handler.script["m0"] = {{.work = 1h}, {.work = 29s}};
  world.run([](World& w) -> Task<void> {
    co_await w.publish(ids(1));
    const Result<Summary> end = co_await w.serve();
    EXPECT_EQ(end->counts, (Counts{.done = 1, .failed = 1}));
  });
  const std::vector<Seen> runs = world.handler.runs_of("m0");
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[1].at - runs[0].at, 31s);
}

TEST(Runtime, AHandlerThatCannotStartIsTheWorkersFailureAndTheMessageKeepsItsAttempts) {
  World world;
  world.options.concurrency = 2;
  world.handler.script["m0"] = {{.outcome = Outcome::cannot_start("./handle: no such file"), .work = 1s}};
  world.handler.script["m1"] = {{.work = 5s}};
  world.run([](World& w) -> Task<void> {
    co_await w.publish(ids(3));
    const Result<Summary> end = co_await w.serve();
    EXPECT_FALSE(end);
    EXPECT_EQ(end.error().what, "./handle: no such file");
  });
  EXPECT_THAT(world.note.lines, ElementsAre("m0 1 requeued", "m1 1 done")) << "what ran beside it may finish";
  EXPECT_EQ(world.at(Place::ready), 2U);
  EXPECT_EQ(world.broker.trace("m0")->attempts, 0U);
  EXPECT_EQ(world.report.reason, "error: ./handle: no such file");
}

TEST(Runtime, AHandlerThatIsNotThereMeansThatNoMessageIsTaken) {
  World world;
  world.handler.able = Error{Code::invalid, "./handle: not executable"};
  world.run([](World& w) -> Task<void> {
    co_await w.publish(ids(1));
    const Result<Summary> end = co_await w.serve();
    EXPECT_FALSE(end);
    EXPECT_EQ(end.error().what, "./handle: not executable");
  });
  EXPECT_EQ(world.broker.trace("m0")->deliveries, 0U);
  EXPECT_EQ(world.note.ready_n, 0);
}

TEST(Runtime, ADrainLetsHandlersFinishWithinTheGracePeriodAndStartsNoMore) {
  World world;
  world.options.concurrency = 2;
  world.handler.usual.work = 9s;
  world.run([](World& w) -> Task<void> {
    co_await w.publish(ids(4));
    const Time start = w.clock.now();
    aio::TaskGroup group(w.loop, w.clock);
    group.spawn(drain_at(w, start + 1s, 1));
    const Result<Summary> end = co_await w.serve();
    EXPECT_TRUE(end);
    EXPECT_EQ(end->reason, EndReason::sigterm);
    EXPECT_EQ(end->counts, (Counts{.done = 2}));
    EXPECT_EQ(w.clock.now() - start, 9s);
    co_await group.join();
  });
  EXPECT_EQ(world.at(Place::ready), 2U);
}

TEST(Runtime, WhatDoesNotFinishWithinTheGracePeriodIsRequeuedBeforeItEnds) {
  World world;
  world.options.concurrency = 2;
  world.handler.script["m1"] = {{.work = 1h}};
  world.handler.usual.work = 20s;
  world.run([](World& w) -> Task<void> {
    co_await w.publish(ids(2));
    const Time start = w.clock.now();
    aio::TaskGroup group(w.loop, w.clock);
    group.spawn(drain_at(w, start + 1s, 1));
    const Result<Summary> end = co_await w.serve();
    EXPECT_TRUE(end);
    EXPECT_EQ(end->counts, (Counts{.done = 1, .requeued = 1}));
    EXPECT_EQ(w.clock.now() - start, 26s) << "5 of the 30 s are kept for settling";
    co_await group.join();
  });
  EXPECT_EQ(world.broker.trace("m1")->attempts, 0U);
  EXPECT_TRUE(world.nothing_held());
}

TEST(Runtime, ARestTakesNoMoreFinishesForAsLongAsItTakesAndEndsWhenItIsTold) {
  World world;
  world.options.idle_exit.reset();
  world.options.grace = 10s;
  world.handler.usual.work = 10min;
  world.run([](World& w) -> Task<void> {
    co_await w.publish(ids(2));
    aio::TaskGroup group(w.loop, w.clock);
    const auto look = [](World& v) -> Task<void> {
      co_await v.clock.sleep_for(1s);
      v.runtime->request_rest();
      co_await v.clock.sleep_for(9min);
      EXPECT_EQ(v.runtime->report().state, WorkerState::draining);
      EXPECT_EQ(v.runtime->report().handling, 1U);
      EXPECT_FALSE(v.runtime->rests());
      co_await v.clock.sleep_for(1h);
      EXPECT_EQ(v.runtime->report().state, WorkerState::gone);
      EXPECT_TRUE(v.runtime->rests());
      v.runtime->request_drain();
    };
    group.spawn(look(w));
    const Time start = w.clock.now();
    const Result<Summary> end = co_await w.serve();
    EXPECT_TRUE(end);
    EXPECT_EQ(end->counts.done, 1U);
    EXPECT_EQ(w.clock.now() - start, 1h + 9min + 1s);
    co_await group.join();
  });
  EXPECT_EQ(world.at(Place::ready), 1U);
  EXPECT_TRUE(world.nothing_held());
}

TEST(Runtime, ARestThatIsTakenAwayBeforeItsTimeHasTheGracePeriod) {
  World world;
  world.options.idle_exit.reset();
  world.options.grace = 10s;
  world.handler.usual.work = 10min;
  world.run([](World& w) -> Task<void> {
    co_await w.publish(ids(1));
    aio::TaskGroup group(w.loop, w.clock);
    const auto look = [](World& v) -> Task<void> {
      co_await v.clock.sleep_for(1s);
      v.runtime->request_rest();
      co_await v.clock.sleep_for(1min);
      v.runtime->request_drain();
    };
    group.spawn(look(w));
    const Time start = w.clock.now();
    const Result<Summary> end = co_await w.serve();
    EXPECT_TRUE(end);
    EXPECT_EQ(end->counts.requeued, 1U);
    EXPECT_LE(w.clock.now() - start, 1min + 11s);
    co_await group.join();
  });
  EXPECT_TRUE(world.nothing_held());
}

TEST(Runtime, ASecondRequestRequeuesAtOnce) {
  World world;
  world.handler.usual.work = 1h;
  world.run([](World& w) -> Task<void> {
    co_await w.publish(ids(1));
    const Time start = w.clock.now();
    aio::TaskGroup group(w.loop, w.clock);
    group.spawn(drain_at(w, start + 1s, 1));
    group.spawn(drain_at(w, start + 2s, 2));
    const Result<Summary> end = co_await w.serve();
    EXPECT_TRUE(end);
    EXPECT_EQ(end->counts, (Counts{.requeued = 1}));
    EXPECT_EQ(w.clock.now() - start, 2s);
    co_await group.join();
  });
  EXPECT_EQ(world.broker.trace("m0")->cause, Cause::requeued);
}

TEST(Runtime, ALeaseIsKeptThroughALongHandlerAndThroughTheWholeDrain) {
  World world({.lease = 10s});
  world.options.grace = 2min;
  world.handler.usual.work = 90s;
  world.run([](World& w) -> Task<void> {
    co_await w.publish(ids(1));
    aio::TaskGroup group(w.loop, w.clock);
    group.spawn(drain_at(w, w.clock.now() + 45s, 1));
    const Result<Summary> end = co_await w.serve();
    EXPECT_TRUE(end);
    EXPECT_EQ(end->counts, (Counts{.done = 1}));
    co_await group.join();
  });
  EXPECT_EQ(world.handler.runs.size(), 1U);
  EXPECT_EQ(world.broker.trace("m0")->deliveries, 1U);
}

struct NoExtend final : queue::Faults {
  Before before(queue::Op op, std::string_view) override { return {.delay = {}, .fail = op == queue::Op::extend}; }
};

TEST(Runtime, ALostLeaseCancelsTheHandlerBeforeSomebodyElseGetsTheMessageAndIsNeverAcknowledged) {
  World world({.lease = 10s});
  NoExtend faults;
  world.broker.set_faults(&faults);
  world.handler.script["m0"] = {{.work = 9500ms}, {.work = 1s}};
  world.run([](World& w) -> Task<void> {
    co_await w.publish(ids(1));
    const Result<Summary> end = co_await w.serve();
    EXPECT_TRUE(end);
    EXPECT_EQ(end->lost, 1U);
    EXPECT_EQ(end->counts, (Counts{.done = 1}));
  });
  const std::vector<Seen> runs = world.handler.runs_of("m0");
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[1].at - runs[0].at, 10s);
  EXPECT_EQ(runs[1].cause, Cause::lost_lease);
  EXPECT_EQ(world.handler.succeeded.count("m0"), 1U) << "the first run was cancelled at 9 s";
  world.broker.set_faults(nullptr);
}

struct DeafReceive final : queue::Faults {
  DeafReceive(aio::Clock& c, Time t) : clock(c), until(t) {}
  After after(queue::Op op, std::string_view) override {
    return {.delay = {}, .lose = op == queue::Op::receive && clock.now() < until};
  }
  aio::Clock& clock;
  Time until;
};

TEST(Runtime, AQueueThatCannotBeReadIsNotAnEmptyOne) {
  World world;
  DeafReceive faults(world.clock, world.clock.now() + 65s);
  world.broker.set_faults(&faults);
  world.run([](World& w) -> Task<void> {
    const Time start = w.clock.now();
    const Result<Summary> end = co_await w.serve();
    EXPECT_TRUE(end);
    EXPECT_GE(w.clock.now() - start, 70s) << "10 s of a queue that is known to be empty";
    EXPECT_LE(w.clock.now() - start, 100s);
  });
  world.broker.set_faults(nullptr);
}

TEST(Runtime, AnAckWhoseAnswerIsLostIsNeitherDoneTwiceNorCountedAsDone) {
  World world;
  struct LoseFirstAck final : queue::Faults {
    bool lost = false;
    After after(queue::Op op, std::string_view) override {
      return {.delay = {}, .lose = op == queue::Op::ack && !std::exchange(lost, true)};
    }
  } faults;
  world.broker.set_faults(&faults);
  world.run([](World& w) -> Task<void> {
    co_await w.publish(ids(2));
    const Result<Summary> end = co_await w.serve();
    EXPECT_TRUE(end);
    EXPECT_EQ(end->unknown, 1U);
    EXPECT_EQ(end->counts, (Counts{.done = 1}));
  });
  EXPECT_EQ(world.handler.runs.size(), 2U);
  EXPECT_EQ(world.at(Place::done), 2U);
  EXPECT_THAT(world.note.troubles, ElementsAre(HasSubstr("m0 may come back")));
  world.broker.set_faults(nullptr);
}

TEST(Runtime, IsReadyThenBusyThenIdleThenDrainingThenGone) {
  World world;
  world.handler.usual.work = 2s;
  std::vector<std::string> states;
  static std::vector<std::string>* out;  // the bodies capture nothing
  out = &states;
  world.run([](World& w) -> Task<void> {
    aio::TaskGroup group(w.loop, w.clock);
    const auto look = [](World& v) -> Task<void> {
      const auto note = [&v] { out->push_back(std::string(word(v.runtime->report().state))); };
      co_await v.clock.sleep_for(1s);
      note();
      co_await v.publish(ids(1));
      co_await v.clock.sleep_for(1s);
      note();
      co_await v.clock.sleep_for(2s);
      note();
      co_await v.publish({"n"});
      co_await v.clock.sleep_for(1s);
      v.runtime->request_drain();
      note();
    };
    group.spawn(look(w));
    const Result<Summary> end = co_await w.serve();
    EXPECT_TRUE(end);
    out->push_back(std::string(word(w.report.state)));
    co_await group.join();
  });
  EXPECT_THAT(states, ElementsAre("ready", "busy", "idle", "draining", "gone"));
}

}  // namespace
}  // namespace sluice::worker::testing
