// SPDX-License-Identifier: Apache-2.0
#include "control/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "control/story.h"
#include "control/what_if.h"
#include "model/json.h"
#include "pool/pool.h"

namespace sluice::control {
namespace {

using model::WorkerState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

pool::PoolSpec threshold_spec() {
  pool::PoolSpec spec;
  spec.queue = pool::LocalQueue{"orders.db"};
  spec.policy = pool::ThresholdPolicy{.messages = 20, .age = std::chrono::seconds{60}};
  spec.workers.max = 5;
  return spec;
}

pool::PoolSpec per_worker_spec() {
  pool::PoolSpec spec = threshold_spec();
  spec.policy = pool::BacklogPerWorkerPolicy{.messages = 20};
  spec.workers.max = 15;
  return spec;
}

model::Observation seen_of(std::int64_t ready, std::int64_t busy) {
  model::Observation seen;
  seen.at_ms = 1'000'000;
  seen.fleet.age_ms = 0;
  seen.queue.ready = model::SeenCount{ready, 4};
  seen.queue.in_flight = model::SeenCount{busy, 4};
  seen.workers[static_cast<std::size_t>(WorkerState::busy)] = busy;
  return seen;
}

Told told(pool::PoolSpec spec, model::Observation seen) {
  const Step step = decide(spec, {}, seen);
  TickLine tick{.tick = "boot-7",
                .at = "2026-01-31T14:02:30.000Z",
                .pool = "shop/orders",
                .spec_hash = "",
                .seen = std::move(seen),
                .decision = step.decision,
                .plan = {}};
  return {.spec = std::move(spec),
          .tick = std::move(tick),
          .before = ControlState{},
          .did = {},
          .earlier = {},
          .steady_to = ""};
}

TEST(Explain, TellsADecisionInTheOrderInWhichItWasMade) {
  Told tick = told(per_worker_spec(), seen_of(371, 12));
  tick.tick.seen.queue.oldest_age = model::SeenAge{48'000, model::AgeKind::exact, 4};
  tick.did =
      ActRecord{.started = {"orders-w12", "orders-w13", "orders-w14"}, .withdrawn = {}, .drained = {}, .errors = {}};
  const std::optional<WallTime> now = parse_wall("2026-01-31T14:02:33.000Z");
  EXPECT_EQ(to_text(explain(tick), now, 100),
            "shop/orders grows from 12 to 15 workers: 371 messages wait and 12 are in work, at 20 a worker that\n"
            "          is 20; workers.max is 15.\n"
            "  tick    boot-7   14:02:30 UTC   3 s ago\n"
            "  seen    ready 371   in flight 12   oldest 48 s exact   12 workers: 12 busy\n"
            "  needed  ceil((371 waiting + 12 in work) / 20) = 20\n"
            "  clamps  20 → 15 max: workers.max is 15\n"
            "  did     asked for orders-w12, orders-w13, orders-w14\n"
            "          looks again when something happens, at least once a second\n"
            "  change  for 20 workers: workers.max 20\n"
            "          a queue that stays empty: workers leave by themselves after 10 s\n");
}

TEST(Explain, ShowsWhatIsUnknownAsAQuestionMarkAndWhy) {
  model::Observation seen = seen_of(0, 5);
  seen.queue = {};
  seen.queue.error = "RabbitMQ answered 401";
  const Explanation blind = explain(told(threshold_spec(), seen));
  EXPECT_EQ(blind.seen.front().value, "?");
  EXPECT_FALSE(blind.seen.front().n);
  EXPECT_THAT(blind.unknown, ElementsAre("queue: RabbitMQ answered 401"));
  EXPECT_THAT(blind.needed, ElementsAre("ready ? > messages 20: unknown", "oldest ? > age 60 s: unknown"));
  const std::string text = to_text(blind, std::nullopt, 100);
  EXPECT_THAT(text, HasSubstr("shop/orders is blind and stays at 5 workers: backlog unknown: RabbitMQ answered 401."));
  std::string json;
  append_json(json, blind, std::nullopt);
  EXPECT_THAT(json, HasSubstr(R"("ready":{"n":null,"age_s":null})"));
}

TEST(Explain, SaysWhyAnAgeBeyondTheLimitWasNotUsed) {
  model::Observation seen = seen_of(3, 2);
  seen.queue.oldest_age = model::SeenAge{90'000, model::AgeKind::bound, 4};
  EXPECT_THAT(explain(told(threshold_spec(), seen)).needed,
              ElementsAre("ready 3 > messages 20: no",
                          "oldest 90 s > age 60 s: not used, it is only a bound, and the queue may have consumers"));
}

TEST(Explain, TakesRatesFromCountsAndTheirAges) {
  Told tick = told(threshold_spec(), seen_of(3, 2));
  tick.tick.seen.queue.published_n = model::SeenCount{200, 0};
  tick.tick.seen.queue.acked_n = model::SeenCount{90, 0};
  tick.earlier = tick.tick;
  tick.earlier->seen.at_ms -= 10'000;
  tick.earlier->seen.queue.published_n = model::SeenCount{160, 0};
  tick.earlier->seen.queue.acked_n = model::SeenCount{91, 0};  // began anew: no rate is better than a negative one
  const Explanation explanation = explain(tick);
  EXPECT_EQ(explanation.in_per_s, 4.0);
  EXPECT_FALSE(explanation.out_per_s);
}

TEST(WhatIf, NamesTheLeastBacklogThatGrowsAndTheAge) {
  const Told steady = told(threshold_spec(), seen_of(3, 2));
  EXPECT_THAT(
      explain(steady).would_change,
      ElementsAre("21 waiting messages (then 3 workers)", "a message that waits longer than 60 s (then 3 workers)",
                  "a queue that stays empty: workers leave by themselves after 10 s"));
}

TEST(WhatIf, NamesTheWorkerThatHoldsGrowth) {
  model::Observation seen = seen_of(40, 2);
  seen.workers[static_cast<std::size_t>(WorkerState::starting)] = 1;
  seen.waiting.push_back({"orders-w2", WorkerState::starting, "", 5000});
  const Told hold = told(threshold_spec(), seen);
  EXPECT_EQ(hold.tick.decision.change, 0);
  EXPECT_THAT(explain(hold).would_change.front(), "orders-w2 at work while the backlog stays (then 4 workers)");
}

TEST(WhatIf, SaysNothingAboutADecisionItCannotRepeat) {
  Told other = told(threshold_spec(), seen_of(40, 2));
  other.tick.decision.workers = 9;
  EXPECT_THAT(explain(other).would_change, IsEmpty());
  other.before.reset();
  EXPECT_THAT(explain(other).would_change, IsEmpty());
}

TEST(Printable, ShowsNoControlAndNoDirectionChangingCharacters) {
  EXPECT_EQ(printable("a\x1b[31mb\nc\x7f"), "a [31mb c ");
  EXPECT_EQ(printable("x\xE2\x80\xAEy\xC2\x9Bz"), "x?y?z");
  EXPECT_EQ(printable("12→15 ≤ é"), "12→15 ≤ é");
  EXPECT_EQ(cut("12→15→20", 5), "12→1…");
  EXPECT_EQ(cut("12→15", 5), "12→15");
  EXPECT_EQ(width("12→15"), 5U);
}

// The lines of one scaler's run: pool, state, then a tick a second.
class Lines {
 public:
  Lines() {
    lines.push_back(R"({"event":"pool","v":1,"at":"2026-01-31T14:00:00.000Z","pool":"shop/orders","spec":)" +
                    pool::to_json(threshold_spec()) + R"(,"spec_hash":"x"})");
    state();
  }
  void state() { lines.emplace_back(R"({"event":"state","tick":"b-0","pool":"shop/orders","state":{"fresh":false}})"); }
  void tick(int n) {
    const model::Observation seen = seen_of(n, 2);
    std::string line = R"({"event":"tick","tick":"b-)" + std::to_string(n) + R"(","at":")" +
                       format_wall(*parse_wall("2026-01-31T14:00:00Z") + std::chrono::seconds{n}) +
                       R"(","at_ms":1000000,"pool":"shop/orders","spec_hash":"x","seen":)";
    model::append_json(line, seen);
    line += ",\"decision\":";
    model::append_json(line, decide(threshold_spec(), {}, seen).decision);
    lines.push_back(line + R"(,"plan":{"start":[],"withdraw":[],"drain":[]}})");
  }
  [[nodiscard]] std::vector<std::string> told(const Ask& ask) const {
    Story story(ask);
    for (const std::string& line : lines) {
      if (!story.feed(line)) {
        break;
      }
    }
    std::vector<std::string> out;
    const Result<std::vector<Told>> told = story.tell(pool::spec_from_json);
    for (const Told& one : *told) {
      out.push_back(one.tick.tick + (one.before ? "" : " ?") + (one.did ? " did" : ""));
    }
    return out;
  }
  std::vector<std::string> lines;
};

TEST(Story, PicksTheLastTickOneByIdAndTheOneInForceAtATime) {
  Lines journal;
  for (int n = 1; n <= 300; ++n) {
    journal.tick(n);
    if (n % 100 == 0) {
      journal.state();
    }
  }
  journal.lines.push_back(R"({"event":"act","tick":"b-300","did":{"started":["orders-w2"]},"errors":[]})");
  EXPECT_THAT(journal.told({}), ElementsAre("b-300 did"));
  EXPECT_THAT(journal.told({.tick = "b-7", .at = {}, .last = 1}), ElementsAre("b-7"));
  EXPECT_THAT(journal.told({.tick = {}, .at = parse_wall("2026-01-31T14:02:30.500Z"), .last = 2}),
              ElementsAre("b-149", "b-150"));
  EXPECT_THAT(journal.told({.tick = {}, .at = {}, .last = 250}).size(), 250U);
  EXPECT_THAT(journal.told({.tick = {}, .at = parse_wall("2026-01-31T13:00:00Z"), .last = 1}), IsEmpty());
}

TEST(Story, KnowsNothingOfTheStateBehindALineThatCannotBeRead) {
  Lines journal;
  journal.tick(1);
  journal.lines.emplace_back(R"({"event":"tick","tick":"b-2","at":"2026-)");
  journal.tick(3);
  journal.state();
  journal.tick(4);
  EXPECT_THAT(journal.told({.tick = {}, .at = {}, .last = 9}), ElementsAre("b-1", "b-3 ?", "b-4"));
}

TEST(Story, CountsFoldedTicksToTheOneBeforeThem) {
  Lines journal;
  journal.tick(1);
  journal.lines.emplace_back(R"({"event":"steady","pool":"shop/orders","from":"2026-01-31T14:00:02.000Z",)"
                             R"("to":"2026-01-31T14:00:13.000Z","ticks":12,"ready":{"min":0,"max":3}})");
  Story story({});
  for (const std::string& line : journal.lines) {
    story.feed(line);
  }
  const Told last = story.tell(pool::spec_from_json)->back();
  EXPECT_EQ(last.steady_ticks, 12);
  EXPECT_THAT(to_text(explain(last), std::nullopt, 100), HasSubstr("12 more looks until 14:00:13 changed nothing"));
}

}  // namespace
}  // namespace sluice::control
