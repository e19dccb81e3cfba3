// SPDX-License-Identifier: Apache-2.0
#include "control/lag.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "control/explain.h"
#include "control/journal_ring.h"
#include "pool/pool.h"

namespace sluice::control {
namespace {

using namespace std::chrono_literals;
using model::Observation;
using model::WorkerState;
using testing::HasSubstr;
using testing::StartsWith;

pool::PoolSpec lag_spec() {
  pool::PoolSpec spec;
  spec.queue = pool::LocalQueue{"orders.db"};
  spec.policy = pool::LagPolicy{.max = 60s, .every = {5s}};
  spec.workers.max = 20;
  spec.workers.run = pool::Run{.command = {"sluice", "work", "--simulate", "1s"}};
  spec.workers.process = pool::ProcessFleet{.nodes = {.max = 5, .slots = 4, .boot = 10s}};
  return spec;
}

struct Look {
  std::int64_t at_ms = 1'000'000;
  std::int64_t ready = 0, done = 0;
  std::int64_t busy = 0, idle = 0, unscheduled = 0;
};

Observation seen_of(const Look& look) {
  Observation seen;
  seen.at_ms = look.at_ms;
  seen.fleet.age_ms = 0;
  seen.queue.ready = model::SeenCount{look.ready, 0};
  seen.queue.in_flight = model::SeenCount{look.busy, 0};
  seen.queue.published_n = model::SeenCount{look.ready + look.busy + look.done, 0};
  seen.queue.acked_n = model::SeenCount{look.done, 0};
  seen.workers[static_cast<std::size_t>(WorkerState::busy)] = look.busy;
  seen.workers[static_cast<std::size_t>(WorkerState::idle)] = look.idle;
  seen.workers[static_cast<std::size_t>(WorkerState::unscheduled)] = look.unscheduled;
  return seen;
}

TEST(LagPool, TellsThePolicyWhatTheProcessFleetIs) {
  pool::PoolSpec spec = lag_spec();
  const auto& lag = std::get<pool::LagPolicy>(spec.policy);
  const policy::LagOptions options = lag_options(spec, lag);
  EXPECT_EQ(options.max_ms, 60'000);
  EXPECT_EQ(options.every_ms, 5'000);
  EXPECT_EQ(options.slots, 4);
  EXPECT_EQ(options.cold_ms, 11'000) << "the node's boot and the process's start";
  EXPECT_EQ(options.workers_max, 20);
  spec.workers.process.reset();
  EXPECT_EQ(lag_options(spec, lag).cold_ms, 1'000) << "worker processes here, for all of which there is room";
  EXPECT_EQ(lag_options(spec, lag).places, 20);
  spec.workers.run->image = "registry.example/worker:1";
  EXPECT_EQ(lag_options(spec, lag).cold_ms, 60'000) << "nothing is known of it yet";
  EXPECT_EQ(lag_options(spec, lag).places, 0);
}

TEST(LagPool, GrowsHoldsAndAsksIdleOnesToLeaveInAnyFleet) {
  const pool::PoolSpec spec = lag_spec();
  Step step = decide(spec, {}, seen_of({.ready = 200}));
  EXPECT_THAT(step.decision.reason, StartsWith("grow: 200 messages wait and 0 are in work; backlog: "));
  EXPECT_EQ(step.decision.workers, 17) << step.decision.reason;
  const Step idle = decide(spec, step.next, seen_of({.at_ms = 1'010'000, .done = 200, .idle = 17}));
  EXPECT_EQ(idle.decision.change, 0) << "kept: " << idle.decision.reason;
  ControlState state = idle.next;
  for (std::int64_t at_ms = 1'015'000; at_ms < 1'800'000; at_ms += 5'000) {
    step = decide(spec, state, seen_of({.at_ms = at_ms, .done = 200, .idle = 17}));
    state = step.next;
    if (step.decision.change < 0) {
      break;
    }
  }
  EXPECT_THAT(step.decision.reason, StartsWith("shrink: "));
  EXPECT_THAT(step.decision.reason, HasSubstr("go, node by node, each when it has no work"));
  model::FleetView view;
  view.workers = {{.slot = 0, .state = WorkerState::busy}, {.slot = 1, .state = WorkerState::idle}};
  EXPECT_THAT(plan(spec, {.change = -2}, view).drain, testing::ElementsAre(1)) << "never one that works";
}

TEST(LagPool, EmptiesNodeAfterNode) {
  model::FleetView view;
  const auto add = [&](int slot, WorkerState state, const char* place, int since_s) {
    model::Worker worker{.slot = slot, .state = state, .place = place};
    worker.since = Time(std::chrono::seconds{since_s});
    view.workers.push_back(worker);
  };
  add(0, WorkerState::idle, "a", 1);
  add(1, WorkerState::idle, "a", 2);
  add(2, WorkerState::busy, "a", 3);
  add(3, WorkerState::idle, "b", 8);
  add(4, WorkerState::idle, "b", 9);
  add(5, WorkerState::idle, "c", 0);
  add(6, WorkerState::busy, "c", 0);
  EXPECT_THAT(plan(lag_spec(), {.change = -3}, view, 3).drain, testing::ElementsAre(3, 4, 5));
  EXPECT_THAT(plan(lag_spec(), {.change = -4}, view, 4).drain, testing::ElementsAre(3, 4, 5))
      << "the fourth is beside it and works; those of another node would not empty it";
  EXPECT_THAT(plan(lag_spec(), {.change = -3}, view, 7).drain, testing::ElementsAre(3, 4, 5));
  EXPECT_THAT(plan(lag_spec(), {.change = -5}, view, 7).drain, testing::ElementsAre(3, 4, 5, 0, 1));
  view.workers[3].state = WorkerState::draining;
  EXPECT_THAT(plan(lag_spec(), {.change = -1}, view, 1).drain, testing::ElementsAre(4)) << "the node that was begun";
}

TEST(LagPool, APartLeftOutIsNotUsed) {
  const pool::PoolSpec spec = lag_spec();
  const Step step = decide_without({.choice = false}, spec, {}, seen_of({.ready = 200}));
  EXPECT_TRUE(step.next.lag.get().shadows.empty());
  EXPECT_EQ(decide(spec, {}, seen_of({.ready = 200})).next.lag.get().shadows.size(), 30U);
}

TEST(LagPool, TakesBackWhoNeverGotAPlaceAndNeverExceedsMax) {
  pool::PoolSpec spec = lag_spec();
  spec.workers.max = 3;
  const Step grown = decide(spec, {}, seen_of({.ready = 5000}));
  EXPECT_EQ(grown.decision.workers, 3);
  ControlState state = grown.next;
  Step step;
  for (std::int64_t at_ms = 1'005'000; at_ms < 1'900'000 && step.decision.change >= 0; at_ms += 5'000) {
    step = decide(spec, state, seen_of({.at_ms = at_ms, .done = 5000, .unscheduled = 3}));
    state = step.next;
  }
  EXPECT_THAT(step.decision.reason, HasSubstr("taking back 3 workers that never got a place"));
}

TEST(LagPool, UnknownHoldsAndTheDeclaredFloorCounts) {
  pool::PoolSpec spec = lag_spec();
  Observation seen = seen_of({.busy = 2});
  seen.queue.ready.reset();
  seen.queue.error = "refused";
  Step step = decide(spec, {}, seen);
  EXPECT_EQ(step.decision.reason, "blind: backlog unknown: refused");
  EXPECT_EQ(step.decision.change, 0);
  spec.unknown = pool::UnknownBacklog{.floor = 4, .after = 0s};
  EXPECT_EQ(decide(spec, {}, seen).decision.workers, 4);
  seen = seen_of({.ready = 100, .busy = 2});
  seen.queue.published_n.reset();
  seen.queue.acked_n.reset();
  EXPECT_THAT(decide(lag_spec(), {}, seen).decision.reason, StartsWith("blind: how many messages were published"));
}

TEST(LagPool, PausedLearnsAndDoesNotAct) {
  pool::PoolSpec spec = lag_spec();
  spec.paused = true;
  const Step step = decide(spec, {}, seen_of({.ready = 100}));
  EXPECT_EQ(step.decision.change, 0);
  EXPECT_FALSE(step.next.lag.empty());
}

TEST(LagPool, AQueueThatDoesNotCountIsRefusedWithTheRemedy) {
  pool::PoolSpec spec = lag_spec();
  EXPECT_TRUE(decidable(spec));
  spec.queue = pool::PubsubQueue{.project = "p", .subscription = "s"};
  EXPECT_THAT(decidable(spec).error().what, HasSubstr("policy lag needs to know what waits"));
  pool::RabbitQueue rabbit{.url = "amqp://host", .queue = "orders"};
  spec.queue = rabbit;
  EXPECT_THAT(decidable(spec).error().what, HasSubstr("accepted: queue.rabbitmq.management"));
  rabbit.management = "http://host:15672";
  spec.queue = rabbit;
  EXPECT_TRUE(decidable(spec));
}

TEST(LagPool, StateReadsBackAndLooksThatFindNothingNewLeaveItEqual) {
  const pool::PoolSpec spec = lag_spec();
  ControlState state = decide(spec, {}, seen_of({.ready = 200})).next;
  for (std::int64_t at_ms = 1'005'000; at_ms < 1'200'000; at_ms += 5'000) {
    state = decide(spec, state, seen_of({.at_ms = at_ms, .ready = 100, .done = at_ms / 10'000, .busy = 5})).next;
  }
  std::string text;
  append_json(text, state);
  const Result<ControlState> read = state_from_json(boost::json::parse(text), "$");
  ASSERT_TRUE(read) << read.error().what;
  EXPECT_EQ(*read, state);
  const Look look{.at_ms = 1'196'000, .ready = 100, .done = 119, .busy = 5};
  const ControlState once = decide(spec, state, seen_of(look)).next;
  Look again = look;
  again.at_ms += 1'000;
  EXPECT_EQ(decide(spec, once, seen_of(again)).next, once);
  EXPECT_FALSE(state_from_json(boost::json::parse(R"({"lag":{}})"), "$"));
}

TEST(LagPool, ExplainsWhatWasLearnedAndSaysWhereItCannot) {
  const pool::PoolSpec spec = lag_spec();
  const Observation seen = seen_of({.ready = 200});
  const Step step = decide(spec, {}, seen);
  Told told{.spec = spec,
            .tick = {.tick = "b-1",
                     .at = "",
                     .pool = "default/orders",
                     .spec_hash = "",
                     .seen = seen,
                     .decision = step.decision,
                     .plan = {}},
            .before = ControlState{},
            .did = {},
            .earlier = {},
            .steady_to = ""};
  EXPECT_THAT(explain(told).needed, testing::Contains(HasSubstr("a worker starts in 11 s")));
  told.before.reset();
  EXPECT_THAT(explain(told).needed, testing::ElementsAre("what had been learned by then is not in the journal"));
}

class Nowhere final : public JournalSink {
 public:
  Result<void> write(std::string_view /*line*/) override { return {}; }
  bool at_start_of_file() override { return std::exchange(start, false); }
  bool start = true;
};

// What the policy remembers is large: a ring of a megabyte still has hundreds of its ticks, and explains the last ones.
TEST(LagPool, TheRingOfLinesIsNotFilledWithMemories) {
  Nowhere nowhere;
  SharedSink shared{nowhere};
  JournalRing ring({.pool_lines = 2'000, .pool_bytes = 1U << 20U, .bytes = 1U << 20U});
  PoolSink sink(shared, &ring, "default/orders");
  const pool::PoolSpec spec = lag_spec();
  Journal journal(sink, "default/orders", pool::to_json(spec), "b00t");
  ControlState state;
  std::string last;
  for (std::int64_t i = 0; i < 1500; ++i) {
    const Observation seen = seen_of({.at_ms = 1'000'000 + 5'000 * i, .ready = 100 + i % 7, .done = 3 * i, .busy = 5});
    const Step step = decide(spec, state, seen);
    const Result<std::string> id = journal.tick({WallTime{1767225600s}, seen, state, step.next, step.decision, {}});
    ASSERT_TRUE(id);
    last = *id;
    state = step.next;
  }
  EXPECT_GT(ring.lines(), 300U);
  EXPECT_LE(ring.bytes(), 1U << 20U);
  const std::optional<Story> story = ring.story("default/orders", Ask{.tick = last});
  ASSERT_TRUE(story && story->found());
  const Result<std::vector<Told>> told = story->tell(pool::spec_from_json);
  ASSERT_TRUE(told) << told.error().what;
  ASSERT_EQ(told->size(), 1U);
  ASSERT_TRUE(told->front().before);
  EXPECT_EQ(decide(spec, *told->front().before, told->front().tick.seen).next, state) << "exactly what it remembered";
}

}  // namespace
}  // namespace sluice::control
