// SPDX-License-Identifier: Apache-2.0
#include "control/rivals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "control/decide.h"

namespace sluice::control {
namespace {

using namespace std::chrono_literals;
using model::WorkerState;

pool::PoolSpec spec_of(pool::Policy policy) {
  pool::PoolSpec out;
  out.queue = pool::LocalQueue{};
  out.policy = std::move(policy);
  out.workers.max = 20;
  return out;
}

model::Observation seen_of(std::int64_t at_ms, std::int64_t ready, std::int64_t busy) {
  model::Observation out;
  out.at_ms = at_ms;
  out.queue.ready = model::SeenCount{ready, 0};
  out.queue.in_flight = model::SeenCount{busy, 0};
  out.queue.acked_n = model::SeenCount{at_ms / 1000, 0};
  out.fleet.age_ms = 0;
  out.workers[static_cast<std::size_t>(WorkerState::busy)] = busy;
  return out;
}

TEST(RivalPool, TheirVictimsAreThoseOfAReplicaSet) {
  model::FleetView view;
  const auto add = [&](int slot, WorkerState state, const char* place, int created_s) {
    model::Worker worker{.slot = slot, .state = state, .place = place};
    worker.created_at = Time(std::chrono::seconds{created_s});
    view.workers.push_back(worker);
  };
  add(0, WorkerState::busy, "a", 1);
  add(1, WorkerState::idle, "a", 2);
  add(2, WorkerState::busy, "a", 3);
  add(3, WorkerState::idle, "b", 9);
  add(4, WorkerState::unscheduled, "", 10);
  add(5, WorkerState::starting, "b", 10);
  add(6, WorkerState::draining, "b", 0);
  const pool::PoolSpec spec = spec_of(pool::KnativeKpaPolicy{});
  const auto planned = [&](std::int64_t fewer) { return plan(spec, {.change = -fewer}, view); };
  EXPECT_THAT(planned(1).withdraw, testing::ElementsAre(4));
  EXPECT_THAT(planned(2).drain, testing::IsEmpty()) << "the one that starts is the second, and asked once it runs";
  EXPECT_THAT(planned(3).drain, testing::ElementsAre(2)) << "on the fullest node the youngest, at work or not";
  EXPECT_THAT(planned(9).drain, testing::ElementsAre(2, 1, 0, 3));
}

TEST(RivalPool, KnowsNoClampButMax) {
  const pool::PoolSpec spec = spec_of(pool::KedaScaledJobPolicy{.target = {1'000'000}, .max_replicas = 100});
  model::Observation seen = seen_of(1000, 50, 0);
  seen.fleet.capacity = model::Room::full;
  seen.starts.failed_in_a_row = 5;
  const Step step = decide(spec, {}, seen);
  EXPECT_EQ(step.decision.workers, 20);
  ASSERT_EQ(step.decision.clamps.size(), 1U);
  EXPECT_EQ(step.decision.clamps[0], (model::Clamp{"max", 50, 20}));
}

TEST(RivalPool, WhatOneRemembersIsWrittenAndRead) {
  const std::vector<pool::Policy> all = {pool::KedaScaledObjectPolicy{.target = {.value = "5"}},
                                         pool::KedaScaledJobPolicy{},
                                         pool::SqsTargetTrackingPolicy{},
                                         pool::KnativeKpaPolicy{},
                                         pool::FlinkLikePolicy{.window = 2min},
                                         pool::DataflowLikePolicy{}};
  for (const pool::Policy& policy : all) {
    SCOPED_TRACE(pool::policy_word(policy));
    ControlState state;
    for (std::int64_t at_ms = 1000; at_ms < 2'000'000; at_ms += 2000) {
      state = decide(spec_of(policy), state, seen_of(at_ms, at_ms % 500'000 / 10'000, at_ms % 3000 == 0 ? 1 : 2)).next;
    }
    std::string text;
    append_json(text, state);
    const Result<ControlState> again = state_from_json(boost::json::parse(text), "$.state");
    ASSERT_TRUE(again) << again.error().what;
    EXPECT_EQ(*again, state);
  }
  const auto bad = [](const char* text) { return state_from_json(boost::json::parse(text), "$").error().what; };
  EXPECT_EQ(bad(R"({"rival":{}})"), "$.rival: 0 states; accepted: that of one rival");
  EXPECT_THAT(bad(R"({"rival":{"knativeKpa":{"activity":3}}})"), testing::HasSubstr("$.rival.knativeKpa.activity: 3"));
  EXPECT_THAT(bad(R"({"rival":{"flinkLike":{"samples":[{"at":1}]}}})"), testing::HasSubstr("samples[0].at"));
}

TEST(RivalPool, OneThatNeedsWhatWaitsAloneIsRefusedWhereThatIsNotKnown) {
  const auto can = [](pool::Policy policy) {
    pool::PoolSpec spec = spec_of(std::move(policy));
    spec.queue = pool::PubsubQueue{};
    return decidable(spec).has_value();
  };
  EXPECT_TRUE(can(pool::KnativeKpaPolicy{}));
  EXPECT_TRUE(can(pool::KedaScaledJobPolicy{}));
  EXPECT_FALSE(can(pool::KedaScaledJobPolicy{.counts = pool::RivalCounts::ready}));
  EXPECT_FALSE(can(pool::KedaScaledObjectPolicy{.counts = pool::RivalCounts::ready}));
  EXPECT_FALSE(can(pool::SqsTargetTrackingPolicy{}));
  EXPECT_FALSE(can(pool::FlinkLikePolicy{}));
  EXPECT_FALSE(can(pool::DataflowLikePolicy{}));
}

}  // namespace
}  // namespace sluice::control
