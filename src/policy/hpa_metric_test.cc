// SPDX-License-Identifier: Apache-2.0
// What one metric asks for, line by line of docs/reference/hpa.md, section 1.
#include "policy/hpa_metric.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "policy/hpa_numbers.h"
#include "policy/testing_hpa.h"

namespace sluice::policy {
namespace {

using namespace policy::testing;
using enum HpaSemantics;

constexpr std::int32_t int32_max = std::numeric_limits<std::int32_t>::max();
constexpr std::int32_t int32_min = std::numeric_limits<std::int32_t>::min();
constexpr std::int64_t int64_max = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t int64_min = std::numeric_limits<std::int64_t>::min();

HpaProposal proposal(const HpaOptions& options, const HpaSeen& seen) {
  return propose(options, seen, options.metrics.front(), seen.metrics.front()).value();
}
std::int32_t replicas(const HpaOptions& options, const HpaSeen& seen) {
  return *proposal(options, seen).replicas;
}
std::string failure(const HpaOptions& options, const HpaSeen& seen) {
  return propose(options, seen, options.metrics.front(), seen.metrics.front()).error().what;
}
HpaOptions value_options(HpaSemantics semantics, std::int64_t target_milli) {
  HpaOptions out = options_of(semantics);
  out.metrics = {metric(HpaTargetType::value, target_milli)};
  return out;
}
HpaSeen with_values(HpaSeen seen, std::vector<std::int64_t> milli) {
  seen.metrics = {HpaValues{std::move(milli)}};
  return seen;
}

// "n = ceil(usage / target)"
TEST(HpaAverageValue, IsTheTotalOverTheTarget) {
  for (const HpaSemantics release : every_release) {
    EXPECT_EQ(replicas(options_of(release), seen_of(1, 1000)), 10);
    EXPECT_EQ(replicas(options_of(release), seen_of(1, 50)), 1);
    EXPECT_EQ(replicas(options_of(release), seen_of(3, 301)), 3);  // 1.003 is within
    EXPECT_EQ(replicas(options_of(release), seen_of(3, 401)), 5);
    EXPECT_EQ(replicas(options_of(release), seen_of(3, 0)), 0);
  }
}

// "within(r, t)": 1100 over 100 * 10 is the double 1.1, which is 1.0 + 0.1, but 1.0 - 1.1 is -0.10000000000000009.
TEST(HpaAverageValue, ARatioOfExactlyOneAndATenthStaysSince133AndGrowsBefore) {
  EXPECT_EQ(replicas(options_of(v1_28), seen_of(10, 1100)), 11);
  EXPECT_EQ(replicas(options_of(v1_35), seen_of(10, 1100)), 10);
  EXPECT_EQ(replicas(options_of(v1_36), seen_of(10, 1100)), 10);
  EXPECT_EQ(replicas(options_of(v1_37), seen_of(10, 1100)), 10);
  for (const HpaSemantics release : every_release) {  // 1.0 - 0.9 is 0.09999999999999998, and 1.0 - 0.1 is 0.9
    EXPECT_EQ(replicas(options_of(release), seen_of(10, 900)), 10);
    EXPECT_EQ(replicas(options_of(release), seen_of(10, 899)), 9);
    EXPECT_EQ(replicas(options_of(release), seen_of(10, 1101)), 12);
  }
}

// "n = scale.status.replicas": within the tolerance it is what there is, not what was asked for.
TEST(HpaAverageValue, GoesByStatusReplicas) {
  HpaSeen creating = seen_of(10, 500);
  creating.status_replicas = 5;
  HpaSeen surging = seen_of(10, 1200);
  surging.status_replicas = 12;
  for (const HpaSemantics release : every_release) {
    EXPECT_EQ(replicas(options_of(release), creating), 5);
    EXPECT_EQ(replicas(options_of(release), surging), 12);
  }
}

// "n = 0: Inf or NaN"
TEST(HpaAverageValue, NoReplicasIsInfinityOrNotANumber) {
  for (const HpaSemantics release : every_release) {
    EXPECT_EQ(replicas(options_of(release), seen_of(0, 250)), 3);
    EXPECT_EQ(replicas(options_of(release), seen_of(0, 0)), 0);
  }
}

// "reported averageValue = ceil(usage / status.replicas)", "new: 0 if status = 0, saturates"
TEST(HpaAverageValue, ReportsTheRoundedUpAverage) {
  const HpaSeen three = with_values(seen_of(3, 0), {8600});
  for (const HpaSemantics release : every_release) {
    EXPECT_EQ(proposal(options_of(release), three).usage, 2867);
    EXPECT_EQ(proposal(options_of(release), seen_of(0, 250)).usage, release == v1_37 ? 0 : int64_min);
    EXPECT_EQ(proposal(options_of(release), seen_of(0, 0)).usage, release == v1_37 ? 0 : int64_min);
  }
  const HpaSeen endless = with_values(seen_of(3, 0), {int64_max});
  EXPECT_EQ(proposal(options_of(v1_35), endless).usage, int64_max);
  EXPECT_EQ(proposal(options_of(v1_28), endless).usage, 3'074'457'345'618'258'432);  // 2^63 / 3 as a double
}

// "usage = sum of item.MilliValue() (new: saturates at INT64_MAX)"
TEST(HpaAverageValue, SumsItsItems) {
  for (const HpaSemantics release : every_release) {
    EXPECT_EQ(replicas(options_of(release), with_values(seen_of(1, 0), {250'000, 100'000, 1})), 4);
  }
  const HpaSeen endless = with_values(seen_of(1, 0), {int64_max, 1});
  EXPECT_EQ(replicas(options_of(v1_28), endless), int32_min);  // wraps, and -9.2e13 is no int32
  EXPECT_EQ(replicas(options_of(v1_35), endless), int32_max);
}

// The sum saturates when it is below 0, for whatever reason.
TEST(HpaAverageValue, ANegativeSumIsTheLargestSince135) {
  const HpaSeen negative = with_values(seen_of(1, 0), {-500'000});
  EXPECT_EQ(replicas(options_of(v1_28), negative), -5);
  EXPECT_EQ(replicas(options_of(v1_35), negative), int32_max);
}

// "new: > INT32_MAX -> INT32_MAX": 214748365 over 0.1 is more than an int32.
TEST(HpaAverageValue, AProposalSaturatesOrIsTheLeastIntegerOnAmd64) {
  for (const HpaMetricType type : {HpaMetricType::external, HpaMetricType::object}) {
    for (const HpaSemantics release : every_release) {
      HpaOptions options = options_of(release);
      options.metrics = {metric(HpaTargetType::average_value, 100, type)};
      const bool saturates = release == v1_37 || (release != v1_28 && type == HpaMetricType::external);
      EXPECT_EQ(replicas(options, seen_of(1, 214'748'365)), saturates ? int32_max : int32_min);
      EXPECT_EQ(replicas(options, seen_of(1, 214'748'364)), 2'147'483'640);
    }
  }
}

// "Object metrics use the same two formulas."
TEST(HpaObject, IsComputedAsExternal) {
  for (const HpaSemantics release : every_release) {
    HpaOptions options = options_of(release);
    options.metrics = {metric(HpaTargetType::average_value, 100'000, HpaMetricType::object)};
    EXPECT_EQ(replicas(options, seen_of(1, 1000)), 10);
    options.metrics = {metric(HpaTargetType::value, 10'000, HpaMetricType::object)};
    EXPECT_EQ(replicas(options, seen_of(4, 30)), 12);
    EXPECT_EQ(proposal(options, seen_of(4, 30)).usage, 30'000);
  }
}

// "r = usage / target; if spec.replicas != 0: if within(r): return spec.replicas; ...; return ceil(r * ready)"
TEST(HpaValue, IsTheRatioTimesReadyPods) {
  for (const HpaSemantics release : every_release) {
    const HpaOptions options = value_options(release, 10'000);
    EXPECT_EQ(replicas(options, seen_of(4, 30)), 12);
    HpaSeen unready = seen_of(4, 30);
    unready.ready_pods = 3;
    EXPECT_EQ(replicas(options, unready), 9);
    unready.ready_pods = 0;
    EXPECT_EQ(replicas(options, unready), 0);
    EXPECT_EQ(proposal(options, seen_of(4, 30)).usage, 30'000);
    HpaSeen within = with_values(seen_of(7, 0), {10'900});
    within.status_replicas = 0;
    within.ready_pods.reset();
    EXPECT_EQ(replicas(options, within), 7) << "nobody is counted";
  }
}

// "ratio 1.1 exactly", for Value
TEST(HpaValue, ARatioOfExactlyOneAndATenthStaysSince133AndGrowsBefore) {
  EXPECT_EQ(replicas(value_options(v1_28, 10'000), seen_of(10, 11)), 11);
  EXPECT_EQ(replicas(value_options(v1_35, 10'000), seen_of(10, 11)), 10);
}

// "else return ceil(r)   # no tolerance at zero"
TEST(HpaValue, HasNoToleranceAtZero) {
  for (const HpaSemantics release : every_release) {
    EXPECT_EQ(replicas(value_options(release, 10'000), with_values(seen_of(0, 0), {10'500})), 2);
    EXPECT_EQ(replicas(value_options(release, 10'000), with_values(seen_of(0, 0), {0})), 0);
  }
  const HpaSeen endless = with_values(seen_of(0, 0), {int64_max});
  EXPECT_EQ(replicas(value_options(v1_36, 1000), endless), int32_min);
  EXPECT_EQ(replicas(value_options(v1_37, 1000), endless), int32_max);
}

// "no pods at all: error"; how many are ready may also be unknown, which is not 0
TEST(HpaValue, FailsWithoutPods) {
  HpaSeen none = seen_of(4, 30);
  none.status_replicas = 0;
  none.ready_pods = 0;
  EXPECT_EQ(failure(value_options(v1_36, 10'000), none),
            "unable to calculate ready pods: no pods returned by selector while calculating replica count");
  none.ready_pods.reset();
  EXPECT_EQ(failure(value_options(v1_36, 10'000), none), "unable to calculate ready pods: not known");
}

TEST(HpaValue, OverflowsBefore135AndSaturatesSince) {
  const HpaSeen many = seen_of(3, 1'000'000'000);  // 3e9 replicas
  EXPECT_EQ(replicas(value_options(v1_28, 1000), many), int32_min);
  EXPECT_EQ(replicas(value_options(v1_35, 1000), many), int32_max);
  const HpaSeen sum = with_values(seen_of(1, 0), {int64_max, int64_max});
  EXPECT_EQ(proposal(value_options(v1_28, 1000), sum).usage, -2);
  EXPECT_EQ(proposal(value_options(v1_35, 1000), sum).usage, int64_max);
  const HpaSeen less = with_values(seen_of(1, 0), {5000, -3000});
  EXPECT_EQ(proposal(value_options(v1_35, 1000), less).usage, 2000);
}

// "r = integer percent / target (Resource) over ready pods ...: within -> current, else ceil(r * readyCount)"
TEST(HpaResource, IsTheUtilizationOverItsTarget) {
  for (const HpaSemantics release : every_release) {
    HpaOptions options = options_of(release);
    options.metrics = {metric(HpaTargetType::utilization, 70, HpaMetricType::resource)};
    HpaSeen seen = seen_of(3, 0);
    const auto of = [&](std::int32_t percent, std::int32_t pods) {
      seen.metrics = {HpaUtilization{percent, pods}};
      return replicas(options, seen);
    };
    EXPECT_EQ(of(20, 3), 1);  // ceil(0.857): a busy queue and idle processors
    EXPECT_EQ(of(70, 2), 3) << "within: spec.replicas, not the pods that were counted";
    EXPECT_EQ(of(90, 3), 4);  // ceil(3.857)
    EXPECT_EQ(of(0, 3), 0);
    seen.metrics = {HpaUtilization{90, 0}};
    EXPECT_EQ(failure(options, seen), "did not receive metrics for targeted pods (pods might be unready)");
  }
}

TEST(HpaMetric, AFailureIsAFailureAndSoAreNoItems) {
  HpaSeen seen = seen_of(3, 0);
  seen.metrics = {HpaFailure{"503"}};
  EXPECT_EQ(failure(options_of(), seen), "503");
  EXPECT_EQ(failure(options_of(), with_values(seen, {})), "no metrics returned from external metrics API");
}

// "Per-HPA tolerance = ... behavior.scaleUp.tolerance / scaleDown.tolerance (each falls back to the flag)"
TEST(HpaTolerance, IsThatOfTheDirection) {
  HpaOptions options = options_of(v1_35);
  options.behavior = HpaBehavior{.scale_up = HpaRules{.tolerance = 0.5}, .scale_down = std::nullopt};
  EXPECT_EQ(replicas(options, seen_of(10, 1500)), 10);
  EXPECT_EQ(replicas(options, seen_of(10, 1501)), 16);
  EXPECT_EQ(replicas(options, seen_of(10, 850)), 9);
  options.behavior->scale_down = HpaRules{.tolerance = 0.25};
  EXPECT_EQ(replicas(options, seen_of(10, 760)), 10);
  EXPECT_EQ(replicas(options, seen_of(10, 740)), 8);
  options.semantics = v1_28;  // has no such field
  EXPECT_EQ(replicas(options, seen_of(10, 1500)), 15);
  options.behavior.reset();
  options.semantics = v1_36;
  options.tolerance = {.up = 0, .down = 0.3};
  EXPECT_EQ(replicas(options, seen_of(10, 1001)), 11);
  EXPECT_EQ(replicas(options, seen_of(10, 710)), 10);
}

TEST(HpaNumbers, ConvertAsOnAmd64) {
  EXPECT_EQ(go_int32(2147483647.9), int32_max);
  EXPECT_EQ(go_int32(2147483648.0), int32_min);
  EXPECT_EQ(go_int32(-2147483648.9), int32_min);
  EXPECT_EQ(go_int32(-1.9), -1);
  EXPECT_EQ(go_int32(std::numeric_limits<double>::quiet_NaN()), int32_min);
  EXPECT_EQ(go_int32(-std::numeric_limits<double>::infinity()), int32_min);
  EXPECT_EQ(go_int64(9223372036854775808.0), int64_min);
  EXPECT_EQ(go_int64(-9223372036854775808.0), int64_min);
  EXPECT_EQ(go_int64(1e18), 1'000'000'000'000'000'000);
  EXPECT_EQ(capped_int32(2147483648.0), int32_max);
  EXPECT_EQ(capped_int32(std::numeric_limits<double>::infinity()), int32_max);
  EXPECT_EQ(capped_int32(std::numeric_limits<double>::quiet_NaN()), int32_min);
  EXPECT_EQ(wrapped_int32(std::int64_t{int32_max} + 1), int32_min);
  EXPECT_EQ(wrapping_sum(int64_max, 1), int64_min);
}

}  // namespace
}  // namespace sluice::policy
