// SPDX-License-Identifier: Apache-2.0
// Stabilization, rates and bounds, line by line of docs/reference/hpa.md, section 3.
#include "policy/hpa_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "policy/testing_hpa.h"

namespace sluice::policy {
namespace {

using namespace policy::testing;
using enum HpaSemantics;
using ::testing::ElementsAre;

constexpr std::int64_t s = 1'000'000;

HpaOptions with_rules(HpaRules up, HpaRules down = {}, HpaSemantics semantics = v1_36) {
  HpaOptions out = options_of(semantics);
  out.max_replicas = 1000;
  out.behavior = HpaBehavior{.scale_up = std::move(up), .scale_down = std::move(down)};
  return out;
}
HpaRules limits(std::vector<HpaLimit> list, HpaSelect select = HpaSelect::max) {
  return {.window_s = 0, .select = select, .limits = std::move(list), .tolerance = {}};
}
constexpr HpaLimit pods(std::int32_t value, std::int32_t period_s) {
  return {.percent = false, .value = value, .period_s = period_s};
}
constexpr HpaLimit percent(std::int32_t value, std::int32_t period_s) {
  return {.percent = true, .value = value, .period_s = period_s};
}

// One normalization with nothing in the log.
HpaNormalized once(const HpaOptions& options, std::int32_t current, std::int32_t desired, HpaState state = {}) {
  state.recommendations.emplace();
  return normalize(options, state, current, desired, 1000 * s);
}

// Section 3a, behavior == nil: "limit = int(max(2.0 * current, 4.0))"
TEST(HpaWithoutBehavior, DoublesFromFour) {
  Workload work{.options = options_of()};
  std::vector<std::int32_t> sizes;
  std::vector<std::string> reasons;
  for (std::int64_t at = 0; at < 90; at += 15) {
    sizes.push_back(work.at(at, 1'000'000));
    reasons.push_back(work.condition("ScalingLimited"));
  }
  EXPECT_THAT(sizes, ElementsAre(4, 8, 16, 32, 64, 100));
  EXPECT_THAT(reasons, ElementsAre("True ScaleUpLimit", "True ScaleUpLimit", "True ScaleUpLimit", "True ScaleUpLimit",
                                   "True ScaleUpLimit", "True TooManyReplicas"));
}

// "r = s < min ? min (TooFewReplicas) : s > hi ? hi (reasonHi) : s (DesiredWithinRange)"
TEST(HpaWithoutBehavior, KeepsTheBounds) {
  HpaOptions options = options_of();
  options.min_replicas = 2;
  const HpaNormalized few = once(options, 5, 0);
  EXPECT_EQ(few.replicas, 2);
  EXPECT_EQ(few.limited, "TooFewReplicas");
  EXPECT_TRUE(few.is_limited);
  const HpaNormalized many = once(options, 60, 101);  // 120 is above max
  EXPECT_EQ(many.replicas, 100);
  EXPECT_EQ(many.limited, "TooManyReplicas");
  const HpaNormalized within = once(options, 60, 100);
  EXPECT_EQ(within.replicas, 100);
  EXPECT_EQ(within.limited, "DesiredWithinRange");
  EXPECT_FALSE(within.is_limited);
  EXPECT_EQ(within.able, "ReadyForNewScale");
}

// "if rec.time Before (now - 300 s): old = index (last one wins) else s = max(s, rec.value)" and "log[old] or append"
TEST(HpaWithoutBehavior, GoesDownToTheHighestOfTheWindow) {
  Workload work{.options = options_of(), .replicas = 10};
  EXPECT_EQ(work.at(0, 1000), 10);  // the log: 10 as it was found, and 10
  EXPECT_EQ(work.condition("AbleToScale"), "True ReadyForNewScale");
  EXPECT_EQ(work.at(15, 200), 10);
  EXPECT_EQ(work.condition("AbleToScale"), "True ScaleDownStabilized");
  EXPECT_EQ(work.condition("ScalingLimited"), "False DesiredWithinRange");
  EXPECT_EQ(work.at(300, 200), 10) << "not before the cutoff";
  EXPECT_EQ(work.at(315, 200), 2);
  EXPECT_EQ(*work.state.recommendations,
            (std::vector<HpaRecommendation>{{0, 10}, {315 * s, 2}, {15 * s, 2}, {300 * s, 2}}))
      << "in place of the last old one, unstabilized";
  EXPECT_TRUE(work.state.up_events.empty() && work.state.down_events.empty()) << "no behavior, no events";
}

// The first recommendation is stamped before the first cutoff is computed: with no window it holds nothing.
TEST(HpaWithoutBehavior, AWindowOfNothingHoldsNothing) {
  Workload work{.options = options_of(), .replicas = 10};
  work.options.downscale_window_us = 0;
  EXPECT_EQ(work.at(0, 200), 2);
  EXPECT_EQ(*work.state.recommendations, (std::vector<HpaRecommendation>{{0, 2}}));
}

// Section 3b, "nil vs `behavior: {}` from 1 replica to a huge desired: 4, 8, 16, 32 ... vs 5, 10, 20, 40 ..."
TEST(HpaBehavior, AnEmptyOneHasTheDefaultsOfTheServer) {
  Workload work{.options = options_of()};
  work.options.behavior = HpaBehavior{};
  std::vector<std::int32_t> sizes;
  for (std::int64_t at = 0; at < 90; at += 15) {
    sizes.push_back(work.at(at, 1'000'000));
  }
  EXPECT_THAT(sizes, ElementsAre(5, 10, 20, 40, 80, 100));
  EXPECT_EQ(work.condition("ScalingLimited"), "True TooManyReplicas");
}

// "start = current - sum(upEvents.change, time After now-period)": within the period the last change still counts.
TEST(HpaBehavior, ALimitCountsTheChangesOfItsPeriod) {
  Workload work{.options = options_of()};
  work.options.behavior = HpaBehavior{};
  EXPECT_EQ(work.at(0, 1'000'000), 5);
  EXPECT_EQ(work.at(14, 1'000'000), 5);  // 5 - 4 + 4
  EXPECT_EQ(work.condition("ScalingLimited"), "True ScaleUpLimit");
  EXPECT_EQ(work.at(15, 1'000'000), 10) << "of an age that is the period nothing is remembered";
}

// "Percent: int32(ceil(double(start) * (1 + double(value)/100)))": 100 * 1.1 is 110.00000000000001
TEST(HpaBehavior, PercentUpIsTheCeilingOfADouble) {
  const HpaOptions options = with_rules(limits({percent(10, 15)}));
  EXPECT_EQ(once(options, 100, 500).replicas, 111);
  EXPECT_EQ(once(options, 1, 500).replicas, 2);
  EXPECT_EQ(once(options, 100, 500).limited, "ScaleUpLimit");
  EXPECT_EQ(once(options, 100, 111).limited, "DesiredWithinRange");
}

// "Percent: int32(double(start) * (1 - double(value)/100)) truncated": 500 * 0.93 is 464.99999999999994
TEST(HpaBehavior, PercentDownIsTruncated) {
  const HpaOptions options = with_rules({}, limits({percent(7, 15)}));
  EXPECT_EQ(once(options, 500, 1).replicas, 464);
  EXPECT_EQ(once(options, 500, 1).limited, "ScaleDownLimit");
  EXPECT_EQ(once(options, 500, 464).limited, "DesiredWithinRange");
  EXPECT_EQ(once(options, 1, 0).replicas, 1) << "min, as 0.93 is 0";
  EXPECT_EQ(once(options, 1, 0).limited, "TooFewReplicas");
}

// "result = Max policy: maximum of proposals; Min policy: minimum", "Disabled -> current"
TEST(HpaBehavior, SelectsAmongItsPolicies) {
  const std::vector<HpaLimit> both{pods(4, 15), percent(10, 15)};
  EXPECT_EQ(once(with_rules(limits(both)), 100, 500).replicas, 111);
  EXPECT_EQ(once(with_rules(limits(both, HpaSelect::min)), 100, 500).replicas, 104);
  EXPECT_EQ(once(with_rules(limits(both, HpaSelect::disabled)), 100, 500).replicas, 100);
  EXPECT_EQ(once(with_rules(limits(both, HpaSelect::disabled)), 100, 500).limited, "ScaleUpLimit");
}

// "result = Max policy: minimum of proposals (largest change); Min policy: maximum"
TEST(HpaBehavior, SelectsAmongItsPoliciesGoingDown) {
  const std::vector<HpaLimit> both{pods(4, 15), percent(10, 15)};
  EXPECT_EQ(once(with_rules({}, limits(both)), 100, 1).replicas, 90);
  EXPECT_EQ(once(with_rules({}, limits(both, HpaSelect::min)), 100, 1).replicas, 96);
  EXPECT_EQ(once(with_rules({}, limits(both, HpaSelect::disabled)), 100, 1).replicas, 100);
  EXPECT_EQ(once(with_rules({}, limits(both, HpaSelect::disabled)), 100, 1).limited, "ScaleDownLimit");
}

// "Start can exceed current (recent deletions raise the up limit)"
TEST(HpaBehavior, RecentDeletionsRaiseTheUpLimit) {
  HpaState state;
  state.down_events = {{995 * s, 10}};
  EXPECT_EQ(once(with_rules(limits({pods(2, 60)})), 10, 500, state).replicas, 22);
  state.down_events = {{940 * s, 10}};  // of the age of the period
  EXPECT_EQ(once(with_rules(limits({pods(2, 60)})), 10, 500, state).replicas, 12);
}

// "or be below it (recent additions deepen the down limit, since start subtracts them)"
TEST(HpaBehavior, RecentAdditionsDeepenTheDownLimit) {
  HpaState state;
  state.up_events = {{995 * s, 6}};
  EXPECT_EQ(once(with_rules({}, limits({pods(1, 60)})), 10, 1, state).replicas, 3);
}

// "L = max(upLimit, current)", "L = min(downLimit, current)": a limit never turns the direction.
TEST(HpaBehavior, AUsedUpLimitHolds) {
  HpaState state;
  state.up_events = {{995 * s, 6}};
  EXPECT_EQ(once(with_rules(limits({pods(2, 60)})), 10, 500, state).replicas, 10);
  state = {};
  state.down_events = {{995 * s, 6}};
  EXPECT_EQ(once(with_rules({}, limits({pods(2, 60)})), 10, 1, state).replicas, 10);
}

// "hi = min(max, L)", the reason by which of the two it is
TEST(HpaBehavior, TheBoundsWinWhereTheyAreCloser) {
  HpaOptions options = with_rules(limits({pods(50, 15)}), limits({pods(50, 15)}));
  options.min_replicas = 5;
  options.max_replicas = 30;
  EXPECT_EQ(once(options, 10, 500).replicas, 30);
  EXPECT_EQ(once(options, 10, 500).limited, "TooManyReplicas");
  EXPECT_EQ(once(options, 10, 0).replicas, 5);
  EXPECT_EQ(once(options, 10, 0).limited, "TooFewReplicas");
  EXPECT_EQ(once(options, 10, 10).limited, "DesiredWithinRange");
}

// "if rec.time After (now - upWindow): up = min(up, rec.value)"
TEST(HpaBehavior, GoesUpToTheLowestOfItsWindow) {
  HpaOptions options = options_of();
  options.behavior =
      HpaBehavior{.scale_up = HpaRules{.window_s = 60, .select = {}, .limits = {}, .tolerance = {}}, .scale_down = {}};
  Workload work{.options = options, .replicas = 2};
  EXPECT_EQ(work.at(0, 1000), 2) << "the size it was found with is the first recommendation";
  EXPECT_EQ(work.condition("AbleToScale"), "True ScaleUpStabilized");
  EXPECT_EQ(work.at(30, 500), 2);
  EXPECT_EQ(work.at(60, 1000), 5) << "5 was asked for 30 s ago, and the 2 is 60 s old";
  EXPECT_EQ(work.condition("AbleToScale"), "True SucceededRescale");
  EXPECT_EQ(work.at(90, 1000), 10);
}

// "down = max(down, rec.value)", the window of scaleDown, or the controller's in whole seconds
TEST(HpaBehavior, GoesDownToTheHighestOfItsWindow) {
  HpaOptions options = options_of();
  options.behavior = HpaBehavior{};
  options.downscale_window_us = 30'999'999;
  Workload work{.options = options, .replicas = 10};
  EXPECT_EQ(work.at(0, 1000), 10);
  EXPECT_EQ(work.at(15, 400), 10);
  EXPECT_EQ(work.condition("AbleToScale"), "True ScaleDownStabilized");
  EXPECT_EQ(work.at(30, 200), 4) << "what is 30 s old is out of a window of 30 s";
  EXPECT_EQ(work.at(45, 200), 2);
}

// "Before both cutoffs: old = index (last wins)"
TEST(HpaBehavior, ReplacesTheLastThatIsOlderThanBothWindows) {
  HpaOptions options = options_of();
  options.downscale_window_us = 20 * s;
  options.behavior =
      HpaBehavior{.scale_up = HpaRules{.window_s = 40, .select = {}, .limits = {}, .tolerance = {}}, .scale_down = {}};
  HpaState state;
  state.recommendations = {{0, 3}, {9 * s, 4}, {10 * s, 5}, {30 * s, 6}};
  const HpaNormalized out = normalize(options, state, 5, 5, 50 * s);
  EXPECT_EQ(*state.recommendations, (std::vector<HpaRecommendation>{{0, 3}, {50 * s, 5}, {10 * s, 5}, {30 * s, 6}}));
  EXPECT_EQ(out.replicas, 5);
}

// "storeScaleEvent(prev, new): ... entries Before now - (longest period of that direction's policies) are marked
// outdated; (|new - prev|, now) replaces the last outdated one or is appended"
TEST(HpaBehavior, KeepsTheChangesOfTheLongestPeriod) {
  const HpaOptions options = with_rules(limits({pods(4, 15), pods(9, 30)}));
  HpaState state;
  store_scale_event(options, state, 1, 5, 0);
  store_scale_event(options, state, 5, 9, 10 * s);
  store_scale_event(options, state, 9, 12, 30 * s);
  EXPECT_EQ(state.up_events, (std::vector<HpaScaleEvent>{{0, 4}, {10 * s, 4}, {30 * s, 3}}));
  store_scale_event(options, state, 12, 14, 41 * s);
  EXPECT_EQ(state.up_events, (std::vector<HpaScaleEvent>{{0, 4}, {41 * s, 2}, {30 * s, 3}}));
  store_scale_event(options, state, 14, 8, 42 * s);
  EXPECT_EQ(state.down_events, (std::vector<HpaScaleEvent>{{42 * s, 6}}));
  store_scale_event(options_of(), state, 8, 1, 43 * s);
  EXPECT_EQ(state.down_events.size(), 1U) << "skipped if behavior nil";
}

// Integers of the limits wrap, and a percentage of too much is the least integer until 1.37: growth stops.
TEST(HpaBehavior, ALimitThatOverflowsFreezesGrowth) {
  const std::int32_t most = std::numeric_limits<std::int32_t>::max();
  EXPECT_EQ(once(with_rules(limits({percent(most, 15)})), 1000, 2000).replicas, 1000);
  EXPECT_EQ(once(with_rules(limits({percent(most, 15)}), {}, v1_37), 500, 2000).replicas, 1000);
  EXPECT_EQ(once(with_rules(limits({pods(most, 15)}), {}, v1_37), 500, 2000).replicas, 500);
}

}  // namespace
}  // namespace sluice::policy
