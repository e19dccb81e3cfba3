// SPDX-License-Identifier: Apache-2.0
// The parts of the lag policy by hand-derived numbers; what it promises as a whole is in lag_guarantee_test.cc.
#include "policy/lag.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "policy/lag_bytes.h"
#include "policy/lag_json.h"
#include "policy/lag_learn.h"
#include "policy/testing_lag.h"

namespace sluice::policy {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

LagArrivals steady(std::int64_t a_step, int steps = 420) {
  LagArrivals out;
  for (int i = 0; i < steps; ++i) {
    out.step(a_step);
  }
  return out;
}

TEST(LagRate, OfASteadyStreamIsItsRateOverTheLongestWindow) {
  const LagRate rate = lag_rate(steady(10), 0, 5, 1);
  EXPECT_DOUBLE_EQ(rate.now, 2);
  EXPECT_DOUBLE_EQ(rate.age, 600);
  EXPECT_DOUBLE_EQ(rate.excess(), 0);
  EXPECT_NEAR(rate.error, std::sqrt(2.0 / 600), 1e-12);
}

TEST(LagRate, AJumpIsARegimeOfItsOwnAndBelievedForEightTimesItsAge) {
  LagArrivals arrivals = steady(10);
  for (int i = 0; i < 8; ++i) {
    arrivals.step(100);
  }
  const LagRate rate = lag_rate(arrivals, 0, 5, 1);
  EXPECT_DOUBLE_EQ(rate.now, 20);
  EXPECT_DOUBLE_EQ(rate.age, 40);
  EXPECT_DOUBLE_EQ(rate.before, 2);
  EXPECT_DOUBLE_EQ(rate.believed, 8 * 30);
}

TEST(LagRate, WhatCameWithinTwoStepsIsABatchAndNoRate) {
  LagArrivals arrivals = steady(0);
  arrivals.step(400);
  EXPECT_DOUBLE_EQ(lag_rate(arrivals, 0, 5, 1).believed, 0);
  EXPECT_DOUBLE_EQ(lag_forecast(lag_rate(arrivals, 0, 5, 1), 1).excess_s, 0);
}

TEST(LagForecast, IsTheBaseAndTheExcessWhileItIsBelieved) {
  const LagForecast forecast{.base = 2, .excess = 3, .excess_s = 10};
  EXPECT_DOUBLE_EQ(forecast.within(10), 20 + 30);
  EXPECT_DOUBLE_EQ(forecast.within(40), 80 + 30);
  EXPECT_DOUBLE_EQ(forecast.rate_at(9), 5);
  EXPECT_DOUBLE_EQ(forecast.rate_at(40), 2);
}

TEST(LagDispersion, IsOneForPoissonAndGrowsSlowlyWithOutliers) {
  EXPECT_EQ(lag_dispersion(1000, 0, 0, 0.5), 1000);
  EXPECT_EQ(lag_dispersion(1000, 5, 5, 0.5), 1000) << "no less than one";
  EXPECT_EQ(lag_dispersion(1000, 10, 30, 0.5), (1000 + 6000) / 2) << "400 / 40 = 10, capped at six times";
}

// Erlang C of 2 servers with a load of 1 is 1/3; of 3, 1/11; of 4, 1/49; of 5, 1/271 (Kleinrock 1975, table by hand).
TEST(LagFloor, IsErlangCWithAnExponentialTail) {
  LagService service{.time = 1, .servers = 1, .longest = 0.000001, .late = 0.34};
  EXPECT_EQ(lag_floor(1, service), 2);
  service.late = 0.33;
  EXPECT_EQ(lag_floor(1, service), 3);
  service.late = 0.09;
  EXPECT_EQ(lag_floor(1, service), 4);
  service.late = 0.02;
  EXPECT_EQ(lag_floor(1, service), 5);
  EXPECT_EQ(lag_floor(0, service), 0);
  service.longest = 60;
  EXPECT_EQ(lag_floor(1, service), 2) << "a wait of 60 service times needs no headroom";
}

TEST(LagFloor, OfManyServersFollowsTheSquareRoot) {
  const LagService service{.time = 1, .servers = 1, .longest = 0.001, .late = 0.01};
  const double at_500 = lag_floor(500, service) - 500;
  const double at_8000 = lag_floor(8000, service) - 8000;
  EXPECT_NEAR(at_8000 / at_500, 4, 0.1);
}

// 100 wait, all of them old; service 10 s, start 20 s, limit 30 s, catch-up 10 s: at tau = 30 a new worker has started
// 1 + 10/10 = 2 messages.
TEST(LagCurve, CountsWhatIsDueAgainstWhatCanHaveStarted) {
  const LagService service{.time = 10, .servers = 1, .longest = 37.5, .late = 0.01};
  const LagCurve curve = lag_curve(LagArrivals(), LagForecast(), {.start = 20, .catch_up = 10, .limit = 30, .step = 5});
  ASSERT_EQ(curve.size, 1U);
  EXPECT_EQ(lag_need(curve, {.waiting = 100}, service).workers, 50);
  EXPECT_EQ(lag_need(curve, {.waiting = 100, .working = 10, .workers = 10}, service).workers, 10 + 35)
      << "ten busy ones start 10 * 30 / 10 = 30 by then";
  EXPECT_EQ(lag_need(curve, {.waiting = 100, .workers = 10}, service).workers, 10 + 30) << "idle ones 10 more";
  const std::array<LagReady, 1> pending{{{10, 10}}};
  EXPECT_EQ(lag_need(curve, {.waiting = 100, .pending = pending}, service).workers, 10 + 35)
      << "who comes in 10 s has started 1 + 20 / 10 = 3 by then";
  EXPECT_EQ(lag_need(curve, {.waiting = 3}, service).workers, 2);
  const LagService four{.time = 10, .servers = 4, .longest = 37.5, .late = 0.01};
  EXPECT_EQ(lag_need(curve, {.waiting = 100}, four).workers, 13) << "four messages at once: 50 servers";
}

TEST(LagCurve, OfWholeMessagesCountsThoseThatEndTogether) {
  const LagService service{.time = 40, .servers = 1, .longest = 37.5, .late = 0.01};
  const LagCurve curve = lag_curve(LagArrivals(), LagForecast(), {.start = 20, .catch_up = 10, .limit = 30, .step = 5});
  LagArrivals started;
  started.step(10);
  const LagStarts just_now{.upto = &started, .step = 5};
  const LagQueue queue{.waiting = 10, .working = 10, .workers = 10};
  EXPECT_EQ(lag_need_exact(curve, queue, service, just_now).workers, 20) << "none of them ends within 30 s";
  for (int i = 0; i < 3; ++i) {
    started.step(0);
  }
  EXPECT_EQ(lag_need_exact(curve, queue, service, just_now).workers, 10) << "all of them end within 25 s";
}

TEST(LagPeaks, RemembersTheMostOfAWindowForAtMostAGrainLonger) {
  LagPeaks peaks;
  for (std::int32_t n = 200; n > 0; --n) {
    peaks.pass(96);
    peaks.see(n, 96);
    const std::int32_t most = peaks.most(96, 96);
    EXPECT_GE(most, std::min(200, n + 95));
    EXPECT_LE(most, std::min(200, n + 95 + 5));
  }
}

TEST(LagComing, KeepsEveryoneWhenItIsFull) {
  LagComing coming;
  for (std::int32_t i = 0; i < 100; ++i) {
    coming.add(1 + 7 * i % 101, 1);
  }
  EXPECT_EQ(coming.count(), 100);
  std::int32_t came = 0;
  for (int i = 0; i < 101; ++i) {
    came += coming.pass();
  }
  EXPECT_EQ(came, 100);
}

TEST(LagBytes, ReadsWhatWasWrittenAndRefusesTheRest) {
  LagWriter out;
  for (const std::int64_t n : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{63}, std::int64_t{1} << 60}) {
    out.number(n);
  }
  constexpr std::int64_t most = std::int64_t{1} << 62;
  LagBytes in(out.base64());
  EXPECT_EQ(in.number(-most, most), 0);
  EXPECT_EQ(in.number(-most, most), -1);
  EXPECT_EQ(in.number(-most, most), 63);
  EXPECT_FALSE(in.good());
  EXPECT_EQ(in.number(-most, most), std::int64_t{1} << 60);
  EXPECT_TRUE(in.good());
  EXPECT_EQ(in.number(0, 1), 0);
  EXPECT_FALSE(in.good()) << "nothing is left";
  EXPECT_FALSE(LagBytes("A*").good());
}

TEST(LagMemory, WhatIsNoneIsRefusedWithItsPlace) {
  LagMemory memory;
  memory.step_ms = 5000;
  std::string text;
  append_json(text, memory);
  EXPECT_TRUE(lag_memory_from_json(boost::json::parse(text), "$"));
  for (const auto& [key, bad] : {std::pair<const char*, boost::json::value>{"expert", 30},
                                 {"arrivals", "A"},
                                 {"shadows", "PA"},
                                 {"peaks", 3},
                                 {"counter", "some"},
                                 {"busy_ms", -1},
                                 {"ended_ms", -1},
                                 {"asked", {1}},
                                 {"cold_ms", {-1}},
                                 {"more", 1}}) {
    boost::json::value other = boost::json::parse(text);
    other.as_object()[key] = bad;
    const Result<LagMemory> read = lag_memory_from_json(other, "$");
    ASSERT_FALSE(read) << key;
    EXPECT_THAT(read.error().what, StartsWith(std::string("$.") + key));
  }
}

TEST(Lag, HoldsWhileAnythingItNeedsIsUnknown) {
  const LagOptions options;
  model::Observation seen;
  seen.workers[static_cast<std::size_t>(model::WorkerState::busy)] = 3;
  LagStep step = lag(options, {}, seen);
  EXPECT_EQ(step.proposal.word, model::Word::blind);
  EXPECT_EQ(step.proposal.wanted, 3);
  EXPECT_EQ(step.next, LagMemory()) << "nothing is learned from nothing";
  seen.queue.ready = model::SeenCount{500, 0};
  step = lag(options, {}, seen);
  EXPECT_EQ(step.proposal.word, model::Word::blind);
  EXPECT_EQ(step.proposal.enough, 3);
  EXPECT_EQ(step.proposal.sentence, "how many messages were published or done is unknown");
}

testing::LagSetting usual() {
  testing::LagSetting out;
  out.options.max_ms = 150'000;
  out.options.every_ms = 5'000;
  return out;
}

TEST(Lag, ChangesOnlyOncePerStepWhileNothingIsNew) {
  testing::LagLine line(usual(), {1});
  line.tick();
  model::Observation seen = line.seen();
  LagMemory memory = line.memory;
  for (int i = 0; i < 4; ++i) {
    seen.at_ms += 1000;
    *seen.starts.last_ms_ago += 1000;
    LagStep step = lag(usual().options, memory, seen);
    EXPECT_TRUE(i == 0 || step.next == memory) << "a look that finds nothing new changes nothing";
    memory = std::move(step.next);
  }
}

TEST(Lag, SaysThatAWaitIsOutOfReachAndWhatWouldDo) {
  testing::LagSetting setting = usual();
  setting.options.max_ms = 30'000;
  std::vector<double> arrivals;
  for (int i = 0; i < 3600; ++i) {
    arrivals.push_back(100 + i / 120.0);
  }
  testing::LagLine line(setting, arrivals);
  while (line.now() < 130) {
    line.tick();
  }
  EXPECT_THAT(line.last.sentence, HasSubstr("cannot be met for a burst, as a worker takes 60 s to start"));
}

TEST(Lag, KeepsWorkersForAWhileAndLetsThemGo) {
  std::vector<double> arrivals(300, 10.0);
  testing::LagLine line(usual(), arrivals);
  bool kept = false;
  while (line.now() < 1500) {
    line.tick();
    kept = kept || line.last.sentence.find("kept: ") != std::string::npos;
  }
  EXPECT_TRUE(kept);
  EXPECT_GT(line.most, 1);
  EXPECT_EQ(line.workers(), 0) << line.last.sentence;
  EXPECT_EQ(line.late, 0) << "the longest wait was " << line.longest;
}

TEST(Lag, AsksForFewWorkersUntilItKnowsHowLongAMessageTakes) {
  testing::LagSetting setting = usual();
  setting.options.max_ms = 100'000;
  testing::LagLine line(setting, std::vector<double>(5000, 1.0));
  EXPECT_LE(line.tick(), 32);
  EXPECT_THAT(line.last.sentence, HasSubstr("is not known yet"));
}

TEST(Lag, MessagesThatBeganTogetherAreNotTakenForLongOnes) {
  testing::LagSetting setting = usual();
  setting.service_s = 60;
  std::vector<double> arrivals;
  for (int i = 0; i < 2000; ++i) {
    arrivals.push_back(10 + 2 * i);
  }
  testing::LagLine line(setting, arrivals);
  double longest = 0;
  double used_for_one = 0;
  while (line.now() < 3000) {
    line.tick();
    longest = std::max(longest, lag_estimates(setting.options, line.memory).service.time);
    if (line.memory.done_milli >= 1000) {
      used_for_one = std::max(used_for_one,
                              static_cast<double>(line.memory.busy_ms) / static_cast<double>(line.memory.done_milli));
    }
  }
  EXPECT_GT(used_for_one, 150) << "what Little's law makes of it";
  EXPECT_LE(longest, 100);
  EXPECT_NEAR(lag_estimates(setting.options, line.memory).service.time, 60, 1);
}

TEST(Lag, LongOnesAreSeenToBeLongBeforeOneIsDone) {
  testing::LagSetting setting = usual();
  setting.service_s = 1200;
  testing::LagLine line(setting, std::vector<double>(20, 10.0));
  while (line.now() < 300) {
    line.tick();
  }
  EXPECT_GT(lag_estimates(setting.options, line.memory).service.time, 200);
}

TEST(Lag, WhereEveryWorkerFoundAPlaceNoneIsExpectedToWaitForANode) {
  const LagOptions options;
  LagMemory memory;
  memory.step_ms = 5'000;
  memory.warm_ms = {4'000, 4'000, 4'000, 4'000};
  EXPECT_EQ(lag_estimates(options, memory).cold, 60) << "that may be one node that had room";
  memory.warm_ms.push_back(4'000);
  EXPECT_EQ(lag_estimates(options, memory).cold, 4);
  memory.cold_ms = {70'000};
  EXPECT_EQ(lag_estimates(options, memory).cold, 70) << "but one did";
}

TEST(Lag, UsesPlacesThatAreAlwaysThere) {
  LagOptions options;
  options.max_ms = 10'000;
  model::Observation seen;
  seen.queue.ready = model::SeenCount{60, 0};
  seen.queue.in_flight = model::SeenCount{0, 0};
  seen.queue.published_n = model::SeenCount{60, 0};
  seen.queue.acked_n = model::SeenCount{0, 0};
  seen.fleet.age_ms = 0;
  const std::int64_t without = lag(options, {}, seen).proposal.wanted;
  options.places = 50;
  EXPECT_GT(lag(options, {}, seen).proposal.wanted, 2 * without);
}

TEST(Lag, LearnsHowLongAStartTakes) {
  testing::LagSetting setting = usual();
  setting.start_s = 33;
  Random random(7);
  testing::LagLine line(setting, testing::any_arrivals(random, 3000));
  while (!line.done()) {
    line.tick();
  }
  ASSERT_FALSE(line.memory.cold_ms.empty());
  for (const std::int64_t ms : line.memory.cold_ms) {
    EXPECT_NEAR(static_cast<double>(ms), 33'000, 5'100);
  }
}

}  // namespace
}  // namespace sluice::policy
