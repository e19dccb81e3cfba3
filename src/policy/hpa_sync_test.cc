// SPDX-License-Identifier: Apache-2.0
// Several metrics and one sync as a whole, line by line of docs/reference/hpa.md, sections 2 and 4.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy/hpa.h"
#include "policy/testing_hpa.h"

namespace sluice::policy {
namespace {

using namespace policy::testing;
using enum HpaSemantics;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::int64_t s = 1'000'000;

HpaOptions two_metrics(HpaSemantics semantics) {
  HpaOptions out = options_of(semantics);
  out.metrics.push_back(metric(HpaTargetType::average_value, 10'000, HpaMetricType::object));
  return out;
}
HpaSeen two_readings(std::int32_t replicas, HpaReading first, HpaReading second) {
  HpaSeen out = seen_of(replicas, 0);
  out.metrics = {std::move(first), std::move(second)};
  return out;
}
HpaValues units(std::int64_t n) {
  return {{n * 1000}};
}

// "ok -> if replicas == 0 or proposal > replicas: take it"
TEST(HpaMetrics, TheHighestProposalWins) {
  for (const HpaSemantics release : every_release) {
    EXPECT_EQ(sync(two_metrics(release), {}, two_readings(3, units(300), units(40))).replicas, 4);
    const HpaStep step = sync(two_metrics(release), {}, two_readings(3, units(600), units(40)));
    EXPECT_EQ(step.replicas, 6);
    EXPECT_THAT(step.metrics, ElementsAre(HpaProposal{6, 200'000}, HpaProposal{4, 13'334}));
    EXPECT_EQ(step.error, std::nullopt);
  }
}

// "a failing metric blocks scale-down"
TEST(HpaMetrics, AFailedOneBlocksGoingDown) {
  for (const HpaSemantics release : every_release) {
    Workload work{.options = two_metrics(release), .replicas = 5};
    work.options.downscale_window_us = 0;
    EXPECT_EQ(work.follow(sync(work.options, {}, two_readings(5, HpaFailure{"503"}, units(20)))), 5);
    EXPECT_FALSE(work.last.rescale);
    EXPECT_EQ(work.last.error, "invalid metrics (1 invalid out of 2), first error is: 503");
    EXPECT_EQ(work.condition("ScalingActive"), "False FailedGetExternalMetric");
    EXPECT_EQ(work.condition("AbleToScale"), "True SucceededGetScale");
    EXPECT_EQ(work.condition("ScalingLimited"), "none");
    EXPECT_THAT(work.last.metrics, ElementsAre(HpaProposal{}, HpaProposal{2, 4000}));
    EXPECT_EQ(*work.state.recommendations, (std::vector<HpaRecommendation>{{0, 5}})) << "nothing is stored with -1";
  }
}

// "never blocks scale-up by another metric", nor staying: "invalid > 0 and replicas < spec.replicas"
TEST(HpaMetrics, AFailedOneDoesNotBlockGoingUpOrStaying) {
  for (const HpaSemantics release : every_release) {
    Workload work{.options = two_metrics(release), .replicas = 5};
    EXPECT_EQ(work.follow(sync(work.options, {}, two_readings(5, units(800), HpaFailure{"no such pod"}))), 8);
    EXPECT_EQ(work.last.error, "invalid metrics (1 invalid out of 2), first error is: no such pod");
    EXPECT_EQ(work.condition("ScalingActive"), "True ValidMetricFound");
    work.replicas = 5;
    EXPECT_EQ(work.follow(sync(work.options, {}, two_readings(5, units(500), HpaFailure{"no such pod"}))), 5);
    EXPECT_EQ(work.condition("ScalingActive"), "True ValidMetricFound");
  }
}

// "invalid == all", "keep first condition/error"
TEST(HpaMetrics, AllFailedKeepTheFirstReason) {
  for (const HpaSemantics release : every_release) {
    Workload work{.options = two_metrics(release), .replicas = 5};
    work.options.metrics.front() = metric(HpaTargetType::value, 1000, HpaMetricType::object);
    work.follow(sync(work.options, {}, two_readings(5, HpaFailure{"a"}, HpaFailure{"b"})));
    EXPECT_EQ(work.last.error, "invalid metrics (2 invalid out of 2), first error is: a");
    EXPECT_EQ(work.condition("ScalingActive"), "False FailedGetObjectMetric");
  }
  HpaOptions options = options_of();
  options.metrics = {metric(HpaTargetType::utilization, 70, HpaMetricType::resource)};
  HpaSeen seen = seen_of(3, 0);
  seen.metrics = {HpaUtilization{50, 0}};
  EXPECT_THAT(sync(options, {}, seen).conditions,
              ElementsAre(HpaCondition{"AbleToScale", "True", "SucceededGetScale"},
                          HpaCondition{"ScalingActive", "False", "FailedGetResourceMetric"}));
}

// "if log[key] absent: log[key] = [(current, now)]"
TEST(HpaSync, RemembersTheSizeItFoundFirst) {
  const HpaStep first = sync(options_of(), {}, seen_of(3, 300, 7));
  EXPECT_EQ(*first.next.recommendations, (std::vector<HpaRecommendation>{{7 * s, 3}, {7 * s, 3}}));
  HpaState emptied;
  emptied.recommendations.emplace();
  EXPECT_EQ(sync(options_of(), emptied, seen_of(3, 300, 7)).next.recommendations->size(), 1U);
}

// "elif current > max: desired = max; compute = false  # no policy limits, no stabilization, no log entry", and
// "min/max jump ... does store a scale event when behavior is set"
TEST(HpaSync, OutsideTheBoundsItReturnsAtOnce) {
  for (const HpaSemantics release : every_release) {
    HpaOptions options = options_of(release);
    options.min_replicas = 5;
    options.max_replicas = 10;
    options.behavior = HpaBehavior{};
    options.behavior->scale_down =
        HpaRules{.window_s = 300, .select = HpaSelect::disabled, .limits = {}, .tolerance = {}};
    const HpaStep down = sync(options, {}, seen_of(20, 5000));
    EXPECT_EQ(down.replicas, 10);
    EXPECT_TRUE(down.rescale);
    EXPECT_THAT(down.metrics, IsEmpty());
    EXPECT_EQ(*down.next.recommendations, (std::vector<HpaRecommendation>{{0, 20}}));
    EXPECT_EQ(down.next.down_events, (std::vector<HpaScaleEvent>{{0, 10}}));
    const HpaStep up = sync(options, {}, seen_of(2, 0));
    EXPECT_EQ(up.replicas, 5);
    EXPECT_EQ(up.next.up_events, (std::vector<HpaScaleEvent>{{0, 3}}));
    options.behavior.reset();
    EXPECT_THAT(sync(options, {}, seen_of(2, 0)).next.up_events, IsEmpty());
  }
}

// "with spec 10, status 5 (pods still being created) and load exactly for 5 the HPA scales down to 5"
TEST(HpaSync, GoesDownToThePodsThatThereAre) {
  HpaOptions options = options_of();
  options.downscale_window_us = 0;
  HpaSeen seen = seen_of(10, 500);
  seen.status_replicas = 5;
  EXPECT_EQ(sync(options, {}, seen).replicas, 5);
}

// "desired = max(m, 0)"
TEST(HpaSync, ANegativeProposalIsNone) {
  HpaOptions options = options_of(v1_28);
  options.downscale_window_us = 0;
  EXPECT_EQ(sync(options, {}, seen_of(4, -900)).replicas, 1);
}

// "1.28: no saturation ... (amd64 gives INT32_MIN -> clamped to min)"
TEST(HpaSync, AnOverflowShrinksIn128AndGrowsSince) {
  for (const HpaSemantics release : every_release) {
    HpaOptions options = options_of(release);
    options.downscale_window_us = 0;
    options.metrics = {metric(HpaTargetType::average_value, 100)};
    EXPECT_EQ(sync(options, {}, seen_of(50, 300'000'000)).replicas, release == v1_28 ? 1 : 100);
  }
}

// The conditions after one sync, in the order in which they first appear, and what a sync does not touch stays.
TEST(HpaSync, TheListOfConditionsIsKept) {
  HpaSeen seen = seen_of(3, 300);
  seen.conditions = {{"ScalingLimited", "True", "TooManyReplicas"}, {"Foreign", "True", "Because"}};
  EXPECT_THAT(
      sync(options_of(), {}, seen).conditions,
      ElementsAre(HpaCondition{"ScalingLimited", "False", "DesiredWithinRange"},
                  HpaCondition{"Foreign", "True", "Because"}, HpaCondition{"AbleToScale", "True", "ReadyForNewScale"},
                  HpaCondition{"ScalingActive", "True", "ValidMetricFound"}));
  EXPECT_THAT(sync(options_of(v1_35), {}, seen_of(3, 700)).conditions,
              ElementsAre(HpaCondition{"AbleToScale", "True", "SucceededRescale"},
                          HpaCondition{"ScalingActive", "True", "ValidMetricFound"},
                          HpaCondition{"ScalingLimited", "True", "ScaleUpLimit"}));
}

HpaOptions to_zero(HpaSemantics semantics) {
  HpaOptions out = options_of(semantics);
  out.min_replicas = 0;
  out.scale_to_zero = true;
  out.downscale_window_us = 0;
  return out;
}
HpaSeen asleep(std::int64_t value, bool put_there) {
  HpaSeen out = seen_of(0, value);
  if (put_there) {
    out.conditions = {{"ScaledToZero", "True", "ScaledToZero"}};
  }
  return out;
}

// "<=1.35: if min != 0: disabled", and without a condition to remember anything
TEST(HpaZero, Until135AnHpaWithMinZeroWakesWhateverIsAtZero) {
  for (const HpaSemantics release : {v1_28, v1_35}) {
    Workload work{.options = to_zero(release), .replicas = 0};
    EXPECT_EQ(work.at(0, 250), 3);
    EXPECT_EQ(work.at(15, 0), 0);
    EXPECT_EQ(work.condition("ScaledToZero"), "none");
    EXPECT_EQ(work.at(30, 99'999), 4) << "the limit from zero";
    work = {.options = to_zero(release), .replicas = 0};
    work.options.min_replicas = 1;
    EXPECT_EQ(work.at(0, 250), 0);
    EXPECT_EQ(work.condition("ScalingActive"), "False ScalingDisabled");
    EXPECT_EQ(work.condition("AbleToScale"), "True SucceededGetScale");
    EXPECT_THAT(work.last.metrics, IsEmpty());
  }
}

// ">=1.36 gate on: ScaledToZero True/ScaledToZero if current > 0 && desired == 0 && min == 0 ..., else
// False/NotScaledToZero"
TEST(HpaZero, Since136ItRemembersWhatItPutToSleepAndWakesIt) {
  for (const HpaSemantics release : {v1_36, v1_37}) {
    Workload work{.options = to_zero(release), .replicas = 3};
    EXPECT_EQ(work.at(0, 0), 0);
    EXPECT_EQ(work.condition("ScaledToZero"), "True ScaledToZero");
    EXPECT_EQ(work.at(15, 0), 0);
    EXPECT_EQ(work.condition("ScaledToZero"), "True ScaledToZero");
    EXPECT_EQ(work.condition("ScalingActive"), "True ValidMetricFound");
    EXPECT_EQ(work.at(30, 250), 3);
    EXPECT_EQ(work.condition("ScaledToZero"), "False NotScaledToZero");
  }
}

// "a workload already at 0 with min 0 and no ScaledToZero condition ... is never woken by the HPA"
TEST(HpaZero, Since136WhatSomebodyElsePutToSleepStaysAsleep) {
  for (const HpaSemantics release : {v1_36, v1_37}) {
    const HpaStep step = sync(to_zero(release), {}, asleep(250, false));
    EXPECT_EQ(step.replicas, 0);
    EXPECT_FALSE(step.rescale);
    EXPECT_EQ(step.conditions.back(), (HpaCondition{"ScalingActive", "False", "ScalingDisabled"}));
    HpaSeen not_now = asleep(250, false);
    not_now.conditions = {{"ScaledToZero", "False", "NotScaledToZero"}};
    EXPECT_EQ(sync(to_zero(release), {}, not_now).replicas, 0);
  }
}

// "enabled iff (min != 0 && z) || ..." and "if current == 0 && min != 0 && z && desired < min: desired = min"
TEST(HpaZero, Since136ARaisedMinimumWakesWhatItPutToSleep) {
  for (const HpaSemantics release : {v1_36, v1_37}) {
    HpaOptions options = to_zero(release);
    options.min_replicas = 6;
    EXPECT_EQ(sync(options, {}, asleep(0, true)).replicas, 6) << "beyond the 4 of the rate, too";
    EXPECT_EQ(sync(options, {}, asleep(0, false)).replicas, 0);
    options.metrics = {metric(HpaTargetType::utilization, 70, HpaMetricType::resource)};
    HpaSeen seen = asleep(0, true);
    seen.metrics = {HpaUtilization{0, 1}};
    EXPECT_EQ(sync(options, {}, seen).replicas, 6) << "min != 0 needs no external metric";
  }
}

// "z = gate && condition", "(gate off: remove condition ScaledToZero)"
TEST(HpaZero, WithoutTheGateNothingWakesAndTheConditionGoes) {
  HpaOptions options = options_of(v1_36);
  const HpaStep step = sync(options, {}, asleep(250, true));
  EXPECT_EQ(step.replicas, 0);
  EXPECT_THAT(step.conditions, ElementsAre(HpaCondition{"AbleToScale", "True", "SucceededGetScale"},
                                           HpaCondition{"ScalingActive", "False", "ScalingDisabled"}));
  HpaSeen awake = seen_of(2, 900);
  awake.conditions = {{"ScaledToZero", "True", "ScaledToZero"}};
  EXPECT_EQ(sync(options, {}, awake).conditions.front().type, "AbleToScale") << "removed by a rescale";
  options.semantics = v1_35;  // knows nothing of it
  EXPECT_EQ(sync(options, {}, asleep(250, true)).conditions.front().type, "ScaledToZero");
}

}  // namespace
}  // namespace sluice::policy
