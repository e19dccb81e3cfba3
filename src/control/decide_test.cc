// SPDX-License-Identifier: Apache-2.0
#include "control/decide.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::control {
namespace {

using namespace std::chrono_literals;
using model::Observation;
using model::WorkerState;

pool::PoolSpec threshold_spec() {
  pool::PoolSpec spec;
  spec.queue = pool::LocalQueue{"orders.db"};
  spec.policy = pool::ThresholdPolicy{.messages = 20};
  spec.workers.max = 5;
  return spec;
}

pool::PoolSpec per_worker_spec(std::int64_t messages) {
  pool::PoolSpec spec = threshold_spec();
  spec.policy = pool::BacklogPerWorkerPolicy{.messages = messages};
  spec.workers.max = 20;
  return spec;
}

struct World {
  std::optional<std::int64_t> ready = 0, in_flight = 0;
  std::int64_t unscheduled = 0, starting = 0, busy = 0, idle = 0, draining = 0, failing = 0;
};

Observation seen_of(const World& world, std::int64_t at_ms = 1'000'000) {
  Observation seen;
  seen.at_ms = at_ms;
  seen.fleet.age_ms = 0;
  if (world.ready) {
    seen.queue.ready = model::SeenCount{*world.ready, 0};
  } else {
    seen.queue.error = "connection refused";
  }
  if (world.in_flight) {
    seen.queue.in_flight = model::SeenCount{*world.in_flight, 0};
  }
  const auto set = [&](WorkerState state, std::int64_t n) { seen.workers[static_cast<std::size_t>(state)] = n; };
  set(WorkerState::unscheduled, world.unscheduled);
  set(WorkerState::starting, world.starting);
  set(WorkerState::busy, world.busy);
  set(WorkerState::idle, world.idle);
  set(WorkerState::draining, world.draining);
  set(WorkerState::failing, world.failing);
  if (world.unscheduled > 0) {
    seen.waiting.push_back({"orders-w4", WorkerState::unscheduled, "node 2 boots", 4000});
  }
  return seen;
}

std::string reason(const pool::PoolSpec& spec, const Observation& seen) {
  return decide(spec, {}, seen).decision.reason;
}

TEST(Decide, AnUnreadFleetHoldsWhateverWaits) {
  Observation seen = seen_of({.ready = 500});
  seen.fleet.error = "list: 503";
  EXPECT_EQ(reason(threshold_spec(), seen), "blind: workers unknown: list: 503");
  seen.fleet.error.reset();
  seen.fleet.age_ms.reset();
  EXPECT_EQ(decide(threshold_spec(), {}, seen).decision.change, 0);
}

TEST(Decide, UnknownIsNotZeroAndTheDeclaredFloorComesAfterItsTime) {
  pool::PoolSpec spec = threshold_spec();
  spec.unknown = pool::UnknownBacklog{.floor = 2, .after = 1min};
  const Step first = decide(spec, {}, seen_of({.ready = std::nullopt, .busy = 1}, 1'000'000));
  EXPECT_EQ(first.decision.reason, "blind: backlog unknown: connection refused");
  EXPECT_EQ(first.decision.workers, 1);
  EXPECT_EQ(first.again_in_ms, 60'000);
  const Step later = decide(spec, first.next, seen_of({.ready = std::nullopt, .busy = 1}, 1'060'000));
  EXPECT_EQ(later.decision.reason, "blind: backlog unknown: connection refused (for 60 s); unknown.floor is 2");
  EXPECT_EQ(later.decision.workers, 2);
  const Step seen_again = decide(spec, later.next, seen_of({.ready = 0, .busy = 1}, 1'070'000));
  EXPECT_FALSE(seen_again.next.blind_since_ms);
}

TEST(Decide, MinAndMaxClampWithTheirReasons) {
  pool::PoolSpec spec = per_worker_spec(1);
  spec.workers.min = 3;
  EXPECT_EQ(decide(spec, {}, seen_of({})).decision.workers, 3);
  EXPECT_EQ(reason(spec, seen_of({})), "grow: 0 messages wait and 0 are in work; workers.min is 3");
  spec.workers.max = 6;
  const Step step = decide(spec, {}, seen_of({.ready = 500, .in_flight = 4, .busy = 4}));
  EXPECT_EQ(step.decision.workers, 6);
  EXPECT_EQ(step.decision.clamps, (std::vector<model::Clamp>{{"max", 504, 6}}));
}

TEST(Decide, AQueueThatServesOneConsumerGetsOneWorker) {
  Observation seen = seen_of({.ready = 500});
  seen.queue.workers_max = 1;
  const Step first = decide(per_worker_spec(1), {}, seen);
  EXPECT_EQ(first.decision.workers, 1);
  EXPECT_EQ(first.decision.clamps.front(), (model::Clamp{"queue", 500, 1}));
  EXPECT_THAT(first.decision.reason, testing::HasSubstr("serves 1 worker at a time, a single active consumer"));
  seen = seen_of({.ready = 500, .busy = 3});
  seen.queue.workers_max = 1;
  const Step later = decide(per_worker_spec(1), {}, seen);
  EXPECT_EQ(later.decision.workers, 3) << "nobody is sent away";
  EXPECT_EQ(later.decision.change, 0);
}

TEST(Decide, AWorkerThatDrainsOrCannotStartStillHoldsItsSlot) {
  pool::PoolSpec spec = per_worker_spec(1);
  spec.workers.max = 5;
  const Step step = decide(spec, {}, seen_of({.ready = 500, .in_flight = 2, .busy = 2, .draining = 1, .failing = 1}));
  EXPECT_EQ(step.decision.change, 1);
}

TEST(Decide, LoweringMaxEndsNobody) {
  pool::PoolSpec spec = threshold_spec();
  spec.workers.max = 2;
  const Step step = decide(spec, {}, seen_of({.ready = 100, .in_flight = 5, .busy = 5}));
  EXPECT_EQ(step.decision.workers, 5);
  EXPECT_EQ(step.decision.change, 0);
  EXPECT_EQ(step.decision.reason, "hold: 100 messages wait, more than 20; workers.max is 2");
}

TEST(Decide, SurgeBoundsWorkersWithoutAPlace) {
  const Step step = decide(per_worker_spec(1), {}, seen_of({.ready = 18}));
  EXPECT_EQ(step.decision.workers, 8);
  EXPECT_EQ(step.decision.clamps.back().by, "surge");
  pool::PoolSpec spec = per_worker_spec(1);
  spec.workers.surge = 2;
  EXPECT_EQ(decide(spec, {}, seen_of({.ready = 18, .unscheduled = 2})).decision.change, 0);
}

TEST(Decide, FullSaysWhyAndAddsNobody) {
  Observation seen = seen_of({.ready = 37, .in_flight = 4, .busy = 4});
  seen.fleet.capacity = model::Room::full;
  seen.fleet.why = "1 of 1 nodes full (4 slots)";
  const Step step = decide(threshold_spec(), {}, seen);
  EXPECT_EQ(step.decision.reason, "full: 37 messages wait, more than 20; 1 of 1 nodes full (4 slots)");
  EXPECT_EQ(step.decision.change, 0);
  seen.queue.ready->n = 3;
  EXPECT_EQ(reason(threshold_spec(), seen), "steady: 3 messages wait") << "full matters only to who wants more";
}

TEST(Decide, NoPlaceForTooLongIsFull) {
  Observation seen = seen_of({.ready = 18, .unscheduled = 1});
  seen.waiting[0].for_ms = to_ms(Duration{5min}) + 1;
  EXPECT_EQ(reason(per_worker_spec(1), seen),
            "full: 18 messages wait and 0 are in work, one worker each is 18; orders-w4 has had no place for 5 min");
}

// A threshold asks for nobody while the last one waits, and that wait is what shows that it is full.
TEST(Decide, AThresholdWhoseWorkerGetsNoPlaceIsFullToo) {
  Observation seen = seen_of({.ready = 37, .unscheduled = 1});
  EXPECT_THAT(reason(threshold_spec(), seen), testing::StartsWith("hold: orders-w4 has waited for a place"));
  seen.waiting[0].for_ms = to_ms(Duration{5min}) + 1;
  EXPECT_EQ(reason(threshold_spec(), seen), "full: orders-w4 has waited for a place for 5 min (node 2 boots)");
  seen.waiting[0].for_ms = 1000;
  seen.fleet.capacity = model::Room::full;
  seen.fleet.why = "exceeded quota: none";
  EXPECT_EQ(reason(threshold_spec(), seen),
            "full: orders-w4 has waited for a place for 1 s (node 2 boots); exceeded quota: none");
  seen.queue.ready->n = 3;
  EXPECT_EQ(reason(threshold_spec(), seen), "steady: 3 messages wait");
}

TEST(Decide, AWorkerOfWhichNothingIsKnownMakesNobodySpare) {
  Observation seen = seen_of({.ready = 10, .unscheduled = 6, .starting = 4});
  EXPECT_EQ(decide(per_worker_spec(1), {}, seen).decision.change, 0);
  seen.workers[static_cast<std::size_t>(WorkerState::unknown)] = 13;
  EXPECT_EQ(decide(per_worker_spec(1), {}, seen).decision.change, 0);
  seen.queue.ready->n = 3;
  EXPECT_EQ(decide(per_worker_spec(1), {}, seen).decision.change, -6);
}

TEST(Decide, ABrokenPoolProbesWithOneWorkerEverSlower) {
  pool::PoolSpec spec = per_worker_spec(1);
  Observation seen = seen_of({.ready = 50}, 1'000'000);
  seen.starts.failed_in_a_row = 3;
  seen.starts.why = "./handle: no such file";
  const Step first = decide(spec, {}, seen);
  EXPECT_EQ(first.decision.change, 0);
  EXPECT_EQ(
      first.decision.reason,
      "broken: 3 workers in a row failed to start: ./handle: no such file; 50 messages wait and 0 are in work, one "
      "worker each is 50; workers.max is 20; next try in 10 s");
  EXPECT_EQ(first.again_in_ms, 10'000);
  std::int64_t now = 1'000'000;
  ControlState state = first.next;
  std::int64_t last_gap = 0;
  for (int i = 0; i < 10; ++i) {
    now = state.broken->next_probe_ms;
    seen.at_ms = now;
    const Step probe = decide(spec, state, seen);
    EXPECT_EQ(probe.decision.change, 1) << i;
    state = probe.next;
    const std::int64_t gap = state.broken->next_probe_ms - now;
    EXPECT_GE(gap, std::min<std::int64_t>(last_gap, to_ms(Duration{10min})));
    EXPECT_LE(gap, to_ms(Duration{12min}));
    last_gap = gap;
  }
  seen.starts.failed_in_a_row = 0;
  EXPECT_FALSE(decide(spec, state, seen).next.broken) << "a start that worked ends it";
}

TEST(Decide, MostOfTheLastTenFailingIsBrokenToo) {
  Observation seen = seen_of({.ready = 50});
  seen.starts.ended = 10;
  seen.starts.failed = 5;
  EXPECT_FALSE(decide(per_worker_spec(1), {}, seen).next.broken);
  seen.starts.failed = 6;
  EXPECT_TRUE(decide(per_worker_spec(1), {}, seen).next.broken);
}

TEST(Decide, ANewScalerLooksOnceBeforeItAddsToTheWorkersItFinds) {
  const pool::PoolSpec spec = threshold_spec();
  const Step first = decide(spec, ControlState{.fresh = true}, seen_of({.ready = 100, .busy = 1}, 1'000'000));
  EXPECT_EQ(first.decision.change, 0);
  EXPECT_EQ(first.decision.clamps.back().by, "leader");
  const Step second = decide(spec, first.next, seen_of({.ready = 100, .busy = 1}, 1'010'000));
  EXPECT_EQ(second.decision.change, 1);
  const Step alone = decide(spec, ControlState{.fresh = true}, seen_of({.ready = 100}, 1'000'000));
  EXPECT_EQ(alone.decision.change, 1) << "nobody there: nothing to be careful about";
}

TEST(Decide, TakesBackWorkersWithoutAPlaceWhenTheBacklogIsGone) {
  const Step step = decide(threshold_spec(), {}, seen_of({.ready = 0, .in_flight = 1, .unscheduled = 1, .busy = 1}));
  EXPECT_EQ(step.decision.reason, "shrink: 0 messages wait; taking back 1 worker that never got a place");
  EXPECT_EQ(step.decision.change, -1);
  EXPECT_EQ(decide(threshold_spec(), {}, seen_of({.ready = 3, .unscheduled = 1, .busy = 1})).decision.change, 0);
}

// A Deployment's workers never leave by themselves.
pool::PoolSpec deployment_spec() {
  pool::PoolSpec spec = per_worker_spec(1);
  spec.workers.deployment = pool::DeploymentFleet{"orders"};
  return spec;
}

TEST(Decide, ADeploymentsIdleWorkersAreAskedToLeaveWhenTheyWereNotNeededForAWhile) {
  const pool::PoolSpec spec = deployment_spec();
  const World world{.ready = 0, .in_flight = 2, .busy = 2, .idle = 3};
  const Step first = decide(spec, {}, seen_of(world, 1'000'000));
  EXPECT_EQ(first.decision.change, 0);
  EXPECT_EQ(first.next.spare_since_ms, 1'000'000);
  EXPECT_EQ(first.again_in_ms, 10'000);
  const Step later = decide(spec, first.next, seen_of(world, 1'010'000));
  EXPECT_EQ(later.decision.change, -3);
  EXPECT_THAT(later.decision.reason, testing::StartsWith("shrink: "));
  EXPECT_THAT(later.decision.reason, testing::HasSubstr("asking 3 workers without work to leave"));
  const World more{.ready = 3, .in_flight = 2, .busy = 2, .idle = 3};
  EXPECT_EQ(decide(spec, first.next, seen_of(more, 1'010'000)).next.spare_since_ms, std::nullopt);
  pool::PoolSpec jobs = spec;
  jobs.workers.deployment.reset();
  EXPECT_EQ(decide(jobs, first.next, seen_of(world, 1'010'000)).decision.change, 0);
}

// Nothing waits, and five long messages are in work: a broker that shows only what waits must not shrink it.
TEST(Decide, ADeploymentIsNeverMadeSmallerThanWhatWorks) {
  pool::PoolSpec spec = deployment_spec();
  ControlState ripe;
  ripe.spare_since_ms = 0;
  for (const bool threshold : {false, true}) {
    if (threshold) {
      spec.policy = pool::ThresholdPolicy{.messages = 20};
    }
    EXPECT_EQ(decide(spec, ripe, seen_of({.ready = 0, .in_flight = {}, .busy = 5})).decision.change, 0);
    EXPECT_EQ(decide(spec, ripe, seen_of({.ready = 0, .in_flight = {}, .busy = 5, .idle = 1})).decision.change, -1);
    EXPECT_EQ(decide(spec, ripe, seen_of({.ready = {}, .in_flight = {}, .idle = 5})).decision.change, 0) << "unknown";
    spec.workers.min = 4;
    EXPECT_EQ(decide(spec, ripe, seen_of({.ready = 0, .idle = 6})).decision.change, -2);
    spec.workers.min = 0;
  }
}

TEST(Decide, ADeploymentsWorkersThatDoNotListenStayAndItSaysSo) {
  Observation seen = seen_of({.ready = 0, .idle = 3});
  seen.fleet.deaf = 3;
  ControlState ripe;
  ripe.spare_since_ms = 0;
  const model::Decision decision = decide(deployment_spec(), ripe, seen).decision;
  EXPECT_EQ(decision.change, 0);
  EXPECT_THAT(decision.reason, testing::HasSubstr("3 workers not needed, and 3 do not take POST /drain: they stay"));
}

TEST(Decide, AFleetThatMayNotBeChangedHolds) {
  Observation seen = seen_of({.ready = 100, .unscheduled = 1, .idle = 3});
  seen.fleet.hold = "conflict with the HorizontalPodAutoscaler orders";
  const model::Decision decision = decide(deployment_spec(), {}, seen).decision;
  EXPECT_EQ(decision.change, 0);
  EXPECT_THAT(decision.reason,
              testing::StartsWith("hold: conflict with the HorizontalPodAutoscaler orders; 100 messages"));
}

TEST(Decide, PausedObservesOnly) {
  pool::PoolSpec spec = threshold_spec();
  spec.paused = true;
  const Step step = decide(spec, {}, seen_of({.ready = 100}));
  EXPECT_EQ(step.decision.reason, "paused: observing, not acting; 100 messages wait, more than 20");
  EXPECT_EQ(step.decision.change, 0);
}

model::FleetView view_of(std::vector<model::Worker> workers, std::vector<int> free) {
  return model::FleetView{.workers = std::move(workers), .free_slots = std::move(free)};
}

TEST(Plan, FillsSlotsBelowMinFirstThenTheViewsOrder) {
  pool::PoolSpec spec = threshold_spec();
  spec.workers.min = 2;
  const model::FleetView view = view_of({}, {4, 1, 3, 0, 2});
  EXPECT_EQ(plan(spec, {.change = 3}, view).start, (std::vector<int>{1, 0, 4}));
  EXPECT_EQ(plan(spec, {.change = 9}, view).start.size(), 5U);
}

TEST(Plan, OfADeploymentThoseWithoutWorkForLongestAreAskedFirst) {
  model::FleetView view;
  const auto add = [&](int slot, WorkerState state, int since_s) {
    model::Worker worker{.slot = slot, .state = state};
    worker.since = Time(std::chrono::seconds{since_s});
    view.workers.push_back(worker);
  };
  add(0, WorkerState::idle, 30);
  add(1, WorkerState::busy, 1);
  add(2, WorkerState::idle, 10);
  add(3, WorkerState::idle, 20);
  add(4, WorkerState::idle, 5);
  view.workers.back().deaf = true;
  const model::Plan asked = plan(deployment_spec(), {.workers = 3, .change = -2}, view);
  EXPECT_THAT(asked.drain, testing::ElementsAre(2, 3));
  EXPECT_THAT(asked.withdraw, testing::IsEmpty());
  pool::PoolSpec jobs = deployment_spec();
  jobs.workers.deployment.reset();
  EXPECT_TRUE(plan(jobs, {.workers = 3, .change = -2}, view).empty());
}

TEST(Plan, WithdrawsTheYoungestWithoutAPlaceAndDrainsWhatStaysAboveMin) {
  const pool::PoolSpec spec = threshold_spec();
  const Time t0{1h};
  const model::FleetView view = view_of(
      {{.slot = 0, .name = "o-w0", .id = "a", .state = WorkerState::unscheduled, .created_at = t0},
       {.slot = 1, .name = "o-w1", .id = "b", .state = WorkerState::unscheduled, .created_at = t0 + 1s},
       {.slot = 2, .name = "o-w2", .id = "c", .state = WorkerState::idle, .created_at = t0, .stays_when_idle = true},
       {.slot = 3,
        .name = "o-w3",
        .id = "d",
        .state = WorkerState::busy,
        .created_at = t0,
        .handling = 1,
        .stays_when_idle = true}},
      {});
  const model::Plan out = plan(spec, {.change = -1}, view);
  EXPECT_EQ(out.withdraw, std::vector<int>{1});
  EXPECT_EQ(out.drain, std::vector<int>{2}) << "the busy one is left in peace";
}

}  // namespace
}  // namespace sluice::control
