// SPDX-License-Identifier: Apache-2.0
#include "control/hpa.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "control/decide.h"

namespace sluice::control {
namespace {

using namespace std::chrono_literals;
using model::Observation;
using model::WorkerState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

pool::PoolSpec hpa_spec(std::optional<pool::HpaBehavior> behavior = std::nullopt) {
  pool::PoolSpec spec;
  spec.queue = pool::LocalQueue{"orders.db"};
  spec.policy = pool::HpaPolicy{.target = {pool::HpaTargetType::average_value, "100"}, .behavior = std::move(behavior)};
  spec.workers.deployment = pool::DeploymentFleet{"orders"};
  spec.workers.min = 1;
  spec.workers.max = 100;
  return spec;
}

struct Seen {
  std::int64_t waiting = 0;
  std::int64_t in_flight = 0;
  std::int64_t busy = 0, idle = 0, starting = 0, draining = 0;
};

Observation seen_of(const Seen& of, std::int64_t at_s) {
  Observation seen;
  seen.at_ms = at_s * 1000;
  seen.fleet.age_ms = 0;
  seen.queue.ready = model::SeenCount{of.waiting, 0};
  seen.queue.in_flight = model::SeenCount{of.in_flight, 0};
  const auto set = [&](WorkerState state, std::int64_t n) { seen.workers[static_cast<std::size_t>(state)] = n; };
  set(WorkerState::busy, of.busy);
  set(WorkerState::idle, of.idle);
  set(WorkerState::starting, of.starting);
  set(WorkerState::draining, of.draining);
  return seen;
}

// A pool whose Deployment does at once what was decided.
struct Pool {
  pool::PoolSpec spec;
  std::int64_t workers = 0;
  ControlState state = {};
  model::Decision last = {};

  std::int64_t at(std::int64_t at_s, std::int64_t waiting) {
    const Step step = decide(spec, state, seen_of({.waiting = waiting, .idle = workers}, at_s));
    state = step.next;
    last = step.decision;
    workers = last.workers;
    return workers;
  }
};

TEST(HpaPolicy, GrowsInTheStepsOfTheHpa) {
  Pool pool{.spec = hpa_spec(), .workers = 1};
  std::vector<std::int64_t> sizes;
  for (std::int64_t at = 0; at < 90; at += 15) {
    sizes.push_back(pool.at(at, 1'000'000));
  }
  EXPECT_THAT(sizes, ElementsAre(4, 8, 16, 32, 64, 100));
  EXPECT_EQ(pool.last.reason,
            "grow: 1000000 messages wait and 0 are in work; the HPA asks for 10000 and sets 100 (TooManyReplicas)");
  EXPECT_THAT(pool.last.clamps, ElementsAre());

  Pool behaving{.spec = hpa_spec(pool::HpaBehavior{}), .workers = 1};
  sizes.clear();
  for (std::int64_t at = 0; at < 60; at += 15) {
    sizes.push_back(behaving.at(at, 1'000'000));
  }
  EXPECT_THAT(sizes, ElementsAre(5, 10, 20, 40)) << "behavior: {} is not no behavior";
}

TEST(HpaPolicy, IsAskedOnceAnInterval) {
  Pool pool{.spec = hpa_spec(), .workers = 1};
  EXPECT_EQ(pool.at(0, 5000), 4);
  EXPECT_EQ(pool.at(5, 5000), 4);
  EXPECT_EQ(pool.last.reason,
            "steady: 5000 messages wait and 0 are in work; the HPA has set 4, and looks again in 10 s");
  EXPECT_EQ(decide(pool.spec, pool.state, seen_of({.waiting = 5000, .idle = 4}, 6)).again_in_ms, 9000);
  EXPECT_EQ(pool.at(15, 5000), 8);
}

TEST(HpaPolicy, CountsWhatWaitsAndWhatIsInWork) {
  const Step step = decide(hpa_spec(), {}, seen_of({.waiting = 300, .in_flight = 100, .busy = 2}, 0));
  EXPECT_EQ(step.decision.workers, 4);
  EXPECT_EQ(step.decision.reason, "grow: 300 messages wait and 100 are in work; the HPA asks for 4");
}

// Pub/Sub counts what waits and what is in work as one number, which is what the HPA's metric is anyway.
TEST(HpaPolicy, GoesByTheOneNumberOfAQueueThatHasNoOther) {
  pool::PoolSpec spec = hpa_spec();
  spec.queue = pool::PubsubQueue{.project = "p", .subscription = "orders"};
  ASSERT_TRUE(decidable(spec));
  Observation seen = seen_of({.idle = 1}, 0);
  seen.queue.ready.reset();
  seen.queue.in_flight.reset();
  seen.queue.total = model::SeenCount{400, 60'000};
  const Step step = decide(spec, {}, seen);
  EXPECT_EQ(step.decision.workers, 4);
  EXPECT_EQ(step.decision.reason, "grow: 400 messages wait or are in work; the HPA asks for 4");
  EXPECT_EQ(hpa_arithmetic(spec, std::get<pool::HpaPolicy>(spec.policy), seen),
            "400 waiting or in work against 100 a worker");
}

TEST(HpaPolicy, ReplacesAWorkerThatIsGoneBeforeItLooksAgain) {
  Pool pool{.spec = hpa_spec(), .workers = 4};
  EXPECT_EQ(pool.at(0, 400), 4);
  pool.workers = 3;
  EXPECT_EQ(pool.at(5, 400), 4);
  EXPECT_THAT(pool.last.reason, StartsWith("grow: "));
}

TEST(HpaPolicy, HoldsWhileTheBacklogIsUnknownAndForgetsNothing) {
  Pool pool{.spec = hpa_spec(), .workers = 1};
  pool.at(0, 5000);
  Observation blind = seen_of({.idle = 4}, 15);
  blind.queue.ready.reset();
  blind.queue.error = "refused";
  const Step step = decide(pool.spec, pool.state, blind);
  EXPECT_EQ(step.decision.reason, "blind: backlog unknown: refused");
  EXPECT_EQ(step.decision.change, 0);
  EXPECT_EQ(step.next.hpa, pool.state.hpa);
}

TEST(HpaPolicy, AfterTheWindowAsksWorkersWithoutWorkToLeave) {
  pool::PoolSpec spec = hpa_spec();
  spec.workers.idle_exit = 10s;
  ControlState state;
  const auto decided = [&](const Seen& of, std::int64_t at_s) {
    const Step step = decide(spec, state, seen_of(of, at_s));
    state = step.next;
    return step.decision;
  };
  EXPECT_EQ(decided({.waiting = 900, .in_flight = 100, .busy = 10}, 0).workers, 10);
  const model::Decision held = decided({.in_flight = 100, .busy = 5, .idle = 5}, 15);
  EXPECT_EQ(held.reason,
            "steady: 0 messages wait and 100 are in work; the HPA asks for 1 and sets 10 (ScaleDownStabilized)");
  EXPECT_EQ(decided({.in_flight = 100, .busy = 5, .idle = 5}, 300).workers, 10);
  EXPECT_EQ(decided({.in_flight = 100, .busy = 5, .idle = 5}, 316).change, 0) << "spare, but not for 10 s";
  const model::Decision fewer = decided({.in_flight = 100, .busy = 5, .idle = 5}, 327);
  EXPECT_EQ(fewer.change, -5) << "those that work stay";
  EXPECT_THAT(fewer.reason, HasSubstr("asking 5 workers without work to leave"));
  // The five that work are more than the HPA wants: it sees the size that it set.
  EXPECT_EQ(decided({.in_flight = 100, .busy = 5}, 342).reason,
            "steady: 0 messages wait and 100 are in work; the HPA asks for 1");
  EXPECT_EQ(state.hpa->wanted, 1);
}

TEST(HpaPolicy, GoesToZeroAndWakesWhoeverPutItThere) {
  Pool pool{.spec = hpa_spec(), .workers = 0};
  pool.spec.workers.min = 0;
  EXPECT_EQ(pool.at(0, 0), 0);
  EXPECT_EQ(pool.at(15, 250), 3);
  pool.state = {};
  pool.workers = 0;
  pool.spec.workers.min = 2;
  EXPECT_EQ(pool.at(30, 0), 2) << "min of a pool that was at zero";
}

TEST(HpaPolicy, BeginsAnewAfterAPauseOrAHold) {
  Pool pool{.spec = hpa_spec(), .workers = 1};
  pool.at(0, 5000);
  ASSERT_TRUE(pool.state.hpa);
  pool.spec.paused = true;
  EXPECT_EQ(pool.at(15, 5000), 4);
  EXPECT_THAT(pool.last.reason, StartsWith("paused: "));
  EXPECT_FALSE(pool.state.hpa);
  pool.spec.paused = false;
  EXPECT_EQ(pool.at(30, 5000), 8);
  Observation seen = seen_of({.waiting = 5000, .idle = 8}, 45);
  seen.fleet.hold = "a rollout";
  EXPECT_FALSE(decide(pool.spec, pool.state, seen).next.hpa);
}

TEST(HpaPolicy, HasTheOptionsOfThePool) {
  pool::HpaBehavior behavior;
  behavior.scale_up =
      pool::HpaScalingRules{.stabilization_window_seconds = 0,
                            .select_policy = pool::HpaSelect::min,
                            .policies = {{pool::HpaPolicyType::pods, 3, 60}, {pool::HpaPolicyType::percent, 10, 60}},
                            .tolerance = pool::Decimal{500'000}};
  behavior.scale_down = pool::HpaScalingRules{
      .stabilization_window_seconds = 0, .select_policy = pool::HpaSelect::disabled, .policies = {}, .tolerance = {}};
  const auto sized = [&](std::int64_t workers, std::int64_t waiting) {
    return decide(hpa_spec(behavior), {}, seen_of({.waiting = waiting, .idle = workers}, 0)).next.hpa->wanted;
  };
  EXPECT_EQ(sized(10, 1500), 10) << "half more is tolerated";
  EXPECT_EQ(sized(10, 1600), 11) << "the lesser of 3 pods and 10 percent";
  EXPECT_EQ(sized(50, 9000), 53);
  EXPECT_EQ(sized(50, 100), 50) << "going down is off";

  pool::PoolSpec spec = hpa_spec();
  std::get<pool::HpaPolicy>(spec.policy).target = {pool::HpaTargetType::value, "1k"};
  std::get<pool::HpaPolicy>(spec.policy).tolerance = pool::Decimal{0};
  EXPECT_EQ(decide(spec, {}, seen_of({.waiting = 1001, .idle = 2}, 0)).next.hpa->wanted, 3);
  spec.workers.max = 1;
  EXPECT_EQ(decide(spec, {}, seen_of({.waiting = 1001, .idle = 2}, 0)).next.hpa->wanted, 1);
}

TEST(HpaPolicy, IsExplainedByWhatItIsComputedFrom) {
  const pool::PoolSpec spec = hpa_spec();
  const auto& hpa = std::get<pool::HpaPolicy>(spec.policy);
  EXPECT_EQ(hpa_arithmetic(spec, hpa, seen_of({.waiting = 300, .in_flight = 100}, 0)),
            "(300 waiting + 100 in work) against 100 a worker");
  const pool::HpaPolicy in_all{.target = {pool::HpaTargetType::value, "1k"}};
  EXPECT_EQ(hpa_arithmetic(spec, in_all, seen_of({.waiting = 3}, 0)), "(3 waiting + 0 in work) against 1k in all");
}

TEST(HpaPolicy, ItsMemoryIsPartOfTheState) {
  Pool pool{.spec = hpa_spec(pool::HpaBehavior{}), .workers = 1};
  pool.at(1, 5000);
  pool.at(16, 5000);
  std::string text;
  append_json(text, pool.state);
  EXPECT_EQ(text, R"({"fresh":false,"hold_until_ms":null,"blind_since_ms":null,"broken":null,)"
                  R"("hpa":{"wanted":10,"synced_ms":16000,"controller":{"recommendations":[{"at_s":1,"replicas":1},)"
                  R"({"at_s":1,"replicas":50},{"at_s":16,"replicas":50}],"up_events":[{"at_s":1,"change":4},)"
                  R"({"at_s":16,"change":5}],"down_events":[]}}})");
  EXPECT_EQ(state_from_json(boost::json::parse(text), "$.state"), pool.state);
  pool.state.spare_since_ms = 7;
  text.clear();
  append_json(text, pool.state);
  EXPECT_EQ(state_from_json(boost::json::parse(text), "$.state"), pool.state);
  const auto bad = state_from_json(boost::json::parse(R"({"hpa":{"controller":{"up_events":7}}})"), "$.state");
  EXPECT_EQ(bad.error().what, "$.state.hpa.controller.up_events: 7; accepted: a list of {\"at_s\",\"change\"}");
  EXPECT_FALSE(state_from_json(boost::json::parse(R"({"hpa":{"wanted":3000000000}})"), "$.state"));
}

}  // namespace
}  // namespace sluice::control
