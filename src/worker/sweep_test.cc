// SPDX-License-Identifier: Apache-2.0
// Every exchange with the broker fails once, every instant gets a SIGTERM: nothing is lost, nothing is held at the end,
// and nothing is acknowledged before it was done (World checks that on every acknowledgement).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/test_world.h"

namespace sluice::worker::testing {
namespace {

using queue::Op;

// Fails one exchange: the nth, before it (nothing was done) or after it (done, and nobody heard).
struct FailNth final : queue::Faults {
  int nth = 0;
  bool after_it = false;
  int seen = 0;
  bool hit = false;
  bool counts(Op op) { return op != Op::publish && op != Op::sample && seen++ == nth; }
  Before before(Op op, std::string_view) override {
    const bool now = !after_it && counts(op);
    hit = hit || now;
    return {.delay = {}, .fail = now};
  }
  After after(Op op, std::string_view) override {
    const bool now = after_it && counts(op);
    hit = hit || now;
    return {.delay = {}, .lose = now};
  }
};

void script(World& world) {
  world.handler.usual.work = 50ms;
  world.handler.script["m1"] = {{.outcome = Outcome::failed("first"), .work = 20ms}, {.work = 10ms}};
  world.handler.script["m2"] = {{.outcome = Outcome::permanent("never")}};
  world.handler.script["m3"] = {{.outcome = Outcome::retry("later", 2s), .work = 70ms}, {}};
}

void expect_all_settled(World& world, const std::string& where) {
  SCOPED_TRACE(where);
  EXPECT_TRUE(world.nothing_held());
  EXPECT_EQ(world.at(Place::ready) + world.at(Place::delayed), 0U);
  for (const std::string& id : ids(6)) {
    const queue::Trace* trace = world.broker.trace(id);
    EXPECT_EQ(trace->at(Place::done), id == "m2" ? 0U : 1U) << id;
    EXPECT_EQ(trace->at(Place::dead), id == "m2" ? 1U : 0U) << id;
  }
}

struct Way {
  std::size_t concurrency;
  bool at_once;  // begun and started without a coroutine
};
class Sweep : public ::testing::TestWithParam<Way> {};
INSTANTIATE_TEST_SUITE_P(Concurrency, Sweep,
                         ::testing::Values(Way{1, false}, Way{3, false}, Way{1, true}, Way{3, true}),
                         [](const auto& way) {
                           return std::to_string(way.param.concurrency) + (way.param.at_once ? "AtOnce" : "");
                         });

Task<void> publish_and_serve_until_done(World& w) {
  co_await w.publish(ids(6));
  // A worker whose exchange failed may leave with less done; the next one goes on.
  for (int i = 0; i < 3; ++i) {
    const Result<Summary> end = co_await w.serve();
    EXPECT_TRUE(end || i == 0);
  }
}

TEST_P(Sweep, OneFailureAtAnyStepLosesNothing) {
  for (const bool after_it : {false, true}) {
    for (const std::optional<Duration> lease : {std::optional<Duration>{}, std::optional<Duration>{60ms}}) {
      bool more = true;
      for (int nth = 0; more; ++nth) {
        World world({.lease = lease, .begins_at_once = GetParam().at_once});
        world.options.concurrency = GetParam().concurrency;
        world.options.idle_exit = 5s;
        script(world);
        FailNth faults;
        faults.nth = nth;
        faults.after_it = after_it;
        world.broker.set_faults(&faults);
        world.run(publish_and_serve_until_done);
        more = faults.hit;
        expect_all_settled(world, "step " + std::to_string(nth) + (after_it ? " after" : " before"));
        if (!after_it && !lease) {
          EXPECT_EQ(world.handler.runs.size(), 8U)
              << "an exchange that was not done is repeated, no handler runs twice";
        }
        world.broker.set_faults(nullptr);
      }
    }
  }
}

Task<void> drain_then_serve(World& w, Duration at, int times) {
  co_await w.publish(ids(6));
  aio::TaskGroup group(w.loop, w.clock);
  group.spawn(drain_at(w, w.clock.now() + at, times));
  const Result<Summary> first = co_await w.serve();
  EXPECT_TRUE(first);
  EXPECT_TRUE(w.nothing_held()) << "a worker that exits 0 holds nothing";
  const auto requeued = static_cast<std::size_t>(first->counts.requeued);
  co_await group.join();
  for (int i = 0; i < 2; ++i) {
    const Result<Summary> end = co_await w.serve();
    EXPECT_TRUE(end);
  }
  EXPECT_LE(w.handler.runs.size(), 8U + requeued) << "duplicates only for requeued";
  for (const std::string& id : ids(6)) {
    EXPECT_LE(w.handler.succeeded.count(id), 1U) << id;
  }
}

TEST_P(Sweep, SigtermAtAnyInstantLosesNothingAndDuplicatesOnlyWhatWasRequeued) {
  for (int at = 0; at < 250; at += 5) {
    for (const int times : {1, 2}) {
      for (const Duration grace : {Duration{30s}, Duration{40ms}}) {
        World world({.latency_low = 0ms, .latency_high = 3ms, .begins_at_once = GetParam().at_once});
        world.random = Random(static_cast<std::uint64_t>(at));
        world.options.concurrency = GetParam().concurrency;
        world.options.idle_exit = 5s;
        world.options.grace = grace;
        script(world);
        world.run(drain_then_serve(world, std::chrono::milliseconds{at}, times));
        expect_all_settled(world, "SIGTERM at " + std::to_string(at) + " ms");
      }
    }
  }
}

Task<void> publish_at(World& w, Duration at) {
  co_await w.clock.sleep_for(at);
  co_await w.publish({"late"});
}

Task<void> idle_race(World& w, Duration at) {
  aio::TaskGroup group(w.loop, w.clock);
  group.spawn(publish_at(w, at));
  const Result<Summary> first = co_await w.serve();
  EXPECT_TRUE(first);
  EXPECT_TRUE(w.nothing_held()) << "it left holding the message";
  co_await group.join();
  const bool done = w.at(Place::done) == 1;
  EXPECT_EQ(w.at(Place::ready), done ? 0U : 1U);
  EXPECT_EQ(first->counts.done, done ? 1U : 0U);
  if (!done) {
    const Result<Summary> next = co_await w.serve();
    EXPECT_EQ(next->counts.done, 1U);
  }
}

TEST_P(Sweep, AMessageAtTheIdleDeadlineIsDoneByThisWorkerOrTheNext) {
  int mine = 0;
  int next = 0;
  for (int us = -20'000; us <= 20'000; us += 250) {
    World world({.latency_low = 0ms, .latency_high = 3ms, .begins_at_once = GetParam().at_once});
    world.random = Random(static_cast<std::uint64_t>(us + 20'000));
    world.options.concurrency = GetParam().concurrency;
    world.run(idle_race(world, 10s + std::chrono::microseconds{us}));
    (world.processes == 1 ? mine : next) += 1;
  }
  EXPECT_GT(mine, 0);
  EXPECT_GT(next, 0);
}

}  // namespace
}  // namespace sluice::worker::testing
