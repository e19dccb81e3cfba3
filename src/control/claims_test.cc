// SPDX-License-Identifier: Apache-2.0
#include "control/claims.h"

#include <gtest/gtest.h>

#include "control/observe.h"

namespace sluice::control {
namespace {

using namespace std::chrono_literals;
using model::ClaimRung;
using model::WorkerState;
using pool::ClaimBy;

constexpr Time t0{1h};

model::Worker worker(int slot, WorkerState state = WorkerState::starting) {
  return {.slot = slot,
          .name = "orders-w" + std::to_string(slot),
          .id = "id" + std::to_string(slot),
          .state = state,
          .since = t0,
          .created_at = t0 + std::chrono::seconds{slot}};
}

model::FleetView view_of(std::vector<model::Worker> workers) {
  return {.workers = std::move(workers), .observed_at = t0};
}

model::Sample listing(std::vector<model::ListedConsumer> all, Time at, std::int64_t consumers = 0) {
  model::Sample out;
  out.ready = model::Reading{5, at};
  out.consumers = model::Reading{consumers, at};
  out.consumer_list = model::ConsumerList{std::move(all), at};
  return out;
}

model::Sample counting(std::int64_t consumers, Time at) {
  model::Sample out;
  out.consumers = model::Reading{consumers, at};
  return out;
}

TEST(Claims, AWorkerIsJoinedByItsWholeName) {
  EXPECT_TRUE(names_worker("orders-w3", "orders-w3"));
  EXPECT_TRUE(names_worker("ctag1.orders-w3", "orders-w3"));
  EXPECT_TRUE(names_worker("orders-w30 orders-w3@host", "orders-w3"));
  for (const char* other : {"", "orders-w30", "my-orders-w3", "orders-w3-b", "orders-w", "Orders-w3", "xorders-w3"}) {
    EXPECT_FALSE(names_worker(other, "orders-w3")) << other;
  }
}

TEST(Claims, TheBrokersListSaysWhoTakesMessagesAndSinceWhen) {
  Claims claims({.by = ClaimBy::broker});
  const auto look = [&](std::vector<model::ListedConsumer> all, Time at) {
    model::FleetView view = view_of({worker(0), worker(1), worker(2)});
    claims.apply(view, listing(std::move(all), at), at);
    EXPECT_EQ(view.claim, ClaimRung::broker);
    return view;
  };
  const auto first = look({{.tag = "orders-w1"}, {.tag = "x", .connection = "orders-w2", .active = false}}, t0 + 5s);
  EXPECT_EQ(first.workers[0].state, WorkerState::starting);
  EXPECT_EQ(first.workers[1].state, WorkerState::busy);
  EXPECT_EQ(first.workers[1].claimed_at, t0 + 5s);
  EXPECT_EQ(first.workers[2].state, WorkerState::ready);
  const auto second = look({{.tag = "orders-w1"}}, t0 + 9s);
  EXPECT_EQ(second.workers[1].claimed_at, t0 + 5s);
  const auto gone = look({}, t0 + 12s);
  EXPECT_EQ(gone.workers[1].state, WorkerState::unknown);
  EXPECT_EQ(gone.workers[1].why, "the broker no longer lists it among the consumers");
  EXPECT_EQ(look({{.tag = "orders-w1"}}, t0 + 15s).workers[1].state, WorkerState::busy);
}

TEST(Claims, WithoutAListTheirNumberDecidesAndWithoutThatWhatWasKnown) {
  Claims claims({.by = ClaimBy::broker});
  model::FleetView counted = view_of({worker(0), worker(1, WorkerState::idle), worker(2), worker(3)});
  claims.apply(counted, counting(3, t0 + 5s), t0 + 5s);
  EXPECT_EQ(counted.claim, ClaimRung::consumers);
  EXPECT_EQ(counted.workers[0].state, WorkerState::busy) << "the oldest of those that say nothing";
  EXPECT_EQ(counted.workers[1].state, WorkerState::idle) << "one of the three consumers, and known";
  EXPECT_EQ(counted.workers[2].state, WorkerState::busy);
  EXPECT_EQ(counted.workers[3].state, WorkerState::starting);

  model::FleetView fewer = view_of({worker(0), worker(2), worker(3)});
  claims.apply(fewer, counting(1, t0 + 7s), t0 + 7s);
  EXPECT_EQ(fewer.workers[0].state, WorkerState::busy);
  EXPECT_EQ(fewer.workers[1].state, WorkerState::unknown) << "it took messages once: it is no slow start";
  EXPECT_EQ(fewer.workers[1].why, "the queue has fewer consumers than there are workers");
  EXPECT_EQ(fewer.workers[2].state, WorkerState::starting);

  model::FleetView old = view_of({worker(2), worker(3)});
  model::Sample stale = listing({{.tag = "orders-w3"}}, t0);
  stale.consumers.reset();
  claims.apply(old, stale, t0 + 31s);
  EXPECT_EQ(old.claim, ClaimRung::broker);
  EXPECT_EQ(old.workers[0].state, WorkerState::busy) << "what was known stays known";
  EXPECT_EQ(old.workers[1].state, WorkerState::starting) << "a list as old as that says nothing";

  model::FleetView blind = view_of({worker(2), worker(3)});
  claims.apply(blind, Error{Code::retry, "away"}, t0 + 40s);
  EXPECT_EQ(blind.workers[0].state, WorkerState::busy);
  EXPECT_EQ(blind.workers[0].claimed_at, t0 + 5s);
}

TEST(Claims, AGivenTimeAfterItsStartAWorkerCounts) {
  Claims claims({.by = ClaimBy::after, .after = 30s});
  model::FleetView view = view_of({worker(0), worker(1), worker(2, WorkerState::unscheduled)});
  claims.apply(view, Error{Code::retry, "away"}, t0 + 30s);
  EXPECT_EQ(view.claim, ClaimRung::after);
  EXPECT_EQ(view.workers[0].state, WorkerState::busy);
  EXPECT_EQ(view.workers[0].claimed_at, t0 + 30s);
  EXPECT_EQ(view.workers[1].state, WorkerState::starting);
  EXPECT_EQ(view.workers[2].state, WorkerState::unscheduled);
}

TEST(Claims, WhereTheFleetKnowsByItselfNothingChanges) {
  for (const ClaimBy by : {ClaimBy::automatic, ClaimBy::reported, ClaimBy::readiness}) {
    Claims claims({.by = by});
    model::FleetView view = view_of({worker(0)});
    claims.apply(view, listing({{.tag = "orders-w0"}}, t0, 1), t0);
    EXPECT_EQ(view.workers[0].state, WorkerState::starting);
    EXPECT_EQ(view.claim, ClaimRung::reported);
  }
}

TEST(Claims, AWorkerThatTheBrokerListsIsNotOverdue) {
  pool::PoolSpec spec;
  spec.policy = pool::ThresholdPolicy{.messages = 1};
  spec.workers.max = 3;
  spec.workers.start_deadline = 10s;
  spec.workers.claim = {.by = ClaimBy::broker};
  Observer observer(spec);
  const auto seen =
      observer.observe(t0 + 1min, view_of({worker(0), worker(1)}), listing({{.tag = "orders-w0"}}, t0 + 1min));
  EXPECT_EQ(seen.count(WorkerState::busy), 1);
  EXPECT_EQ(seen.count(WorkerState::failing), 1);
  EXPECT_EQ(seen.fleet.claim, ClaimRung::broker);
}

}  // namespace
}  // namespace sluice::control
