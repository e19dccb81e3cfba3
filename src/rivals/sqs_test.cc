// SPDX-License-Identifier: Apache-2.0
// Rows derived by hand from docs/reference/rivals.md.
#include "rivals/sqs.h"

#include <gtest/gtest.h>

#include "rivals/testing_rivals.h"

namespace sluice::rivals {
namespace {

// A group that has what it wants a minute later.
struct Group {
  SqsTargetTracking options = {};
  Bounds bounds{.min = 0, .max = 20, .concurrency = 1};
  SqsTargetTrackingState state = {};
  std::int64_t instances = 0;
  std::int64_t at_s = 0;
  policy::Proposal last = {};

  // The capacity after so many minutes with that many visible messages.
  std::int64_t minutes(std::int64_t n, std::optional<std::int64_t> visible) {
    for (; n > 0; --n, at_s += 60) {
      last = step(options, bounds, testing::seen_of({.at_s = at_s, .ready = visible, .running = instances}), state);
      instances = last.wanted;
    }
    return instances;
  }
};

TEST(SqsTargetTracking, ScalesOutAfterThreeMinutesAbove) {
  Group g;
  EXPECT_EQ(g.minutes(2, 950), 0);
  EXPECT_EQ(g.minutes(1, 950), 10) << "ceil(950 / 100), after the third";
  EXPECT_EQ(g.last.sentence, "950 messages visible; the high alarm sets 10");
  EXPECT_EQ(g.minutes(1, 1001), 11) << "it stays in ALARM, so the fourth acts too: 1001 is above 100 * 10";
  EXPECT_EQ(g.minutes(1, 1100), 11) << "1100 is not above 100 * 11";
  EXPECT_EQ(g.minutes(2, 5000), 11) << "and the count began again";
  EXPECT_EQ(g.minutes(1, 5000), 20) << "max";
}

TEST(SqsTargetTracking, NothingInBetween) {
  Group g{.instances = 10};
  EXPECT_EQ(g.minutes(60, 1000), 10) << "the target itself is not above it";
  EXPECT_EQ(g.minutes(60, 900), 10) << "90 % is not below 90 %";
}

TEST(SqsTargetTracking, ScalesInAfterFifteenMinutesBelow) {
  Group g{.instances = 10};
  EXPECT_EQ(g.minutes(14, 899), 10);
  EXPECT_EQ(g.minutes(1, 250), 3);
  EXPECT_EQ(g.minutes(1, 0), 0) << "still below, and nothing is visible: to min, though messages may be in work";
}

TEST(SqsTargetTracking, AMinuteWithoutDataBeginsAgain) {
  Group out;
  EXPECT_EQ(out.minutes(2, 950), 0);
  EXPECT_EQ(out.minutes(1, std::nullopt), 0);
  EXPECT_EQ(out.last.word, model::Word::blind);
  EXPECT_EQ(out.minutes(2, 950), 0);
  EXPECT_EQ(out.minutes(1, 950), 10);
  Group in{.instances = 10};
  EXPECT_EQ(in.minutes(14, 0), 10);
  EXPECT_EQ(in.minutes(1, std::nullopt), 10);
  EXPECT_EQ(in.minutes(14, 0), 10);
  EXPECT_EQ(in.minutes(1, 0), 0);
}

TEST(SqsTargetTracking, WhatWarmsUpIsNotScaledIn) {
  Group g{.options = {.low_periods = 2}};
  EXPECT_EQ(g.minutes(3, 950), 10) << "out at 120 s";
  EXPECT_EQ(g.minutes(4, 0), 10) << "low from 240 s on, and 360 s is 240 s after it";
  EXPECT_EQ(g.last.sentence, "0 messages visible; the low alarm waits for instances that warm up");
  EXPECT_EQ(g.minutes(1, 0), 0) << "420 s";
}

TEST(SqsTargetTracking, BetweenMinutesItStands) {
  Group g;
  EXPECT_EQ(g.minutes(3, 950), 10);
  const policy::Proposal between =
      step(g.options, g.bounds, testing::seen_of({.at_s = 150, .ready = 5000, .running = 10}), g.state);
  EXPECT_EQ(between.wanted, 10);
  EXPECT_EQ(between.again_in_ms, 30'000);
}

TEST(SqsTargetTracking, TheBoundsHoldWithoutAlarms) {
  Group g{.bounds = {.min = 4, .max = 6, .concurrency = 1}};
  EXPECT_EQ(g.minutes(1, 0), 4);
  EXPECT_EQ(g.minutes(60, 0), 4);
  Group many{.bounds = {.min = 0, .max = 6, .concurrency = 1}, .instances = 9};
  EXPECT_EQ(many.minutes(1, 0), 6);
}

}  // namespace
}  // namespace sluice::rivals
