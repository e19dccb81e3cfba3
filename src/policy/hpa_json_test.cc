// SPDX-License-Identifier: Apache-2.0
#include "policy/hpa_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace sluice::policy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::string_view hpa = R"("maxReplicas":50,"metrics":[{"type":"External",
    "target":{"type":"AverageValue","value":"100"}}])";
constexpr std::string_view seen = R"("spec_replicas":3,"status_replicas":3,"metrics":[{"values":["8600m"]}])";

std::string line(std::string_view options, std::string_view what_is_seen = seen, std::string_view rest = "") {
  return R"({"policy":{"hpa":{)" + std::string(options) + R"(}},"seen":{)" + std::string(what_is_seen) +
         R"(},"at_s":15.05)" + std::string(rest) + "}";
}
std::string and_(std::string_view more) {
  return std::string(hpa) + "," + std::string(more);
}
Result<HpaQuestion> read(const std::string& text) {
  boost::system::error_code failed;
  const boost::json::value json = boost::json::parse(text, failed);
  EXPECT_FALSE(failed) << text;
  return hpa_question_from_json(json);
}
std::string answer(const std::string& text) {
  const HpaQuestion question = read(text).value();
  return answer_json(question, sync(question.options, question.state, question.seen));
}

TEST(HpaJson, AnswersALine) {
  EXPECT_EQ(answer(line(and_(R"("semantics":"1.36")"))),
            R"({"replicas":3,"rescale":false,"metrics":[{"replicas":1,"usage":"2867m"}],)"
            R"("conditions":[["AbleToScale","True","ScaleDownStabilized"],["ScalingActive","True","ValidMetricFound"],)"
            R"(["ScalingLimited","False","DesiredWithinRange"]],"error":null,)"
            R"("state":{"recommendations":[{"at_s":15.05,"replicas":3},{"at_s":15.05,"replicas":1}],)"
            R"("up_events":[],"down_events":[]}})");
}

TEST(HpaJson, WhatIsAbsentHasKubernetesDefaults) {
  const HpaQuestion q = read(line(hpa)).value();
  EXPECT_EQ(q.options.min_replicas, 1);
  EXPECT_EQ(q.options.semantics, HpaSemantics::v1_37);
  EXPECT_TRUE(q.options.scale_to_zero) << "by default since 1.37";
  EXPECT_FALSE(read(line(and_(R"("semantics":"1.36")")))->options.scale_to_zero);
  EXPECT_EQ(q.options.downscale_window_us, 300'000'000);
  EXPECT_EQ(q.options.tolerance, HpaTolerance{});
  EXPECT_FALSE(q.options.behavior);
  EXPECT_FALSE(read(line(and_(R"("behavior":null)")))->options.behavior);
  EXPECT_TRUE(read(line(and_(R"("behavior":{})")))->options.behavior);
  EXPECT_EQ(q.state, HpaState{});
  EXPECT_EQ(q.seen.at_us, 15'050'000);
  EXPECT_EQ(q.seen.ready_pods, std::nullopt);
}

TEST(HpaJson, ReadsEveryOption) {
  const std::string options = R"("minReplicas":0,"maxReplicas":9,"metrics":[
      {"type":"External","target":{"type":"Value","value":"1.5"}},
      {"type":"Object","target":{"type":"AverageValue","value":7}},
      {"type":"Resource","target":{"type":"Utilization","value":70}}],
    "behavior":{
      "scaleUp":{"stabilizationWindowSeconds":60,"selectPolicy":"Min","tolerance":"0.3",
        "policies":[{"type":"Pods","value":4,"periodSeconds":15},{"type":"Percent","value":10,"periodSeconds":60}]},
      "scaleDown":{"selectPolicy":"Disabled"}},
    "semantics":"1.35","downscaleStabilization_s":10.5,"scaleToZero":true,"tolerance":{"up":0.2,"down":0})";
  const std::string readings = R"("spec_replicas":3,"status_replicas":2,"ready_pods":1,
    "metrics":[{"values":["1","500m"]},{"error":"503"},{"utilization":20,"ready_pods_with_metrics":3}])";
  const HpaQuestion q =
      read(line(options, readings, R"(,"conditions":[["ScaledToZero","True"],["A","False","B"]])")).value();
  EXPECT_EQ(q.options.min_replicas, 0);
  EXPECT_EQ(q.options.max_replicas, 9);
  EXPECT_THAT(q.options.metrics, ElementsAre(HpaMetric{HpaMetricType::external, HpaTargetType::value, 1500},
                                             HpaMetric{HpaMetricType::object, HpaTargetType::average_value, 7000},
                                             HpaMetric{HpaMetricType::resource, HpaTargetType::utilization, 70}));
  const HpaRules up{.window_s = 60,
                    .select = HpaSelect::min,
                    .limits = std::vector<HpaLimit>{{false, 4, 15}, {true, 10, 60}},
                    .tolerance = 300 * 0.001};
  EXPECT_EQ(q.options.behavior->scale_up, up);
  const HpaRules down{.window_s = {}, .select = HpaSelect::disabled, .limits = {}, .tolerance = {}};
  EXPECT_EQ(q.options.behavior->scale_down, down);
  EXPECT_EQ(q.options.semantics, HpaSemantics::v1_35);
  EXPECT_EQ(q.options.downscale_window_us, 10'500'000);
  EXPECT_EQ(q.options.tolerance, (HpaTolerance{.up = 0.2, .down = 0}));
  EXPECT_EQ(q.seen.ready_pods, 1);
  EXPECT_EQ(std::get<HpaValues>(q.seen.metrics[0]).milli, (std::vector<std::int64_t>{1000, 500}));
  EXPECT_EQ(std::get<HpaFailure>(q.seen.metrics[1]).why, "503");
  EXPECT_EQ(std::get<HpaUtilization>(q.seen.metrics[2]).pods, 3);
  EXPECT_THAT(q.seen.conditions,
              ElementsAre(HpaCondition{"ScaledToZero", "True", "ScaledToZero"}, HpaCondition{"A", "False", "B"}));
}

// What was not read is a metric that failed, not one of 0.
TEST(HpaJson, ReadingsThatAreMissingAreFailures) {
  const std::string none = R"("spec_replicas":3,"status_replicas":3)";
  EXPECT_THAT(answer(line(hpa, none)), HasSubstr("first error is: not in seen.metrics"));
  EXPECT_THAT(
      answer(line(R"("maxReplicas":1,"metrics":[{"type":"Object","target":{"type":"Value","value":1}}])", none)),
      StartsWith(R"({"replicas":1,"rescale":true,"metrics":[],)"));
}

TEST(HpaJson, TheStateReadsBackEqualToTheMicrosecond) {
  HpaState state;
  for (const bool with_log : {false, true}) {
    if (with_log) {
      state.recommendations = {{15'050'000, 3}, {-1, 0}, {1'700'000'000'123'456, 2'147'483'647}};
      state.up_events = {{0, 4}, {1'500'000, 7}};
      state.down_events = {{999'999, 1}};
    }
    std::string text;
    append_json(text, state);
    const Result<HpaState> back = hpa_state_from_json(boost::json::parse(text), "$.state");
    ASSERT_TRUE(back) << back.error().what;
    EXPECT_EQ(*back, state) << text;
  }
  EXPECT_EQ(hpa_state_from_json(nullptr, "$.state"), HpaState{});
}

struct Bad {
  std::string line;
  std::string what;
};

TEST(HpaJson, EachMistakeIsNamedWithItsPlaceAndWhatIsAccepted) {
  const std::string rules = R"("behavior":{"scaleUp":{)";
  const std::string no_metric = R"("maxReplicas":9,"metrics":[)";
  const auto target = [&](std::string_view of) {
    return line(no_metric + R"({"type":"External","target":{)" + std::string(of) + "}}]");
  };
  const auto reading = [&](std::string_view of) {
    return line(hpa, R"("spec_replicas":3,"status_replicas":3,"metrics":[{)" + std::string(of) + "}]");
  };
  const Bad bad[] = {
      {"[]", "$: an array; accepted: an object"},
      {R"({"policy":{"hpa":7},"seen":{},"at_s":0})", "$.policy.hpa: 7; accepted: an object"},
      {R"({"policy":{"hpa":null},"seen":{},"at_s":0})", "$.policy.hpa: nothing"},
      {R"({"policy":{"hpa":{}}})", "$.seen: nothing"},
      {line(""), "$.policy.hpa.maxReplicas: nothing; accepted: a whole number, 1 or more"},
      {line(R"("maxReplicas":0)"), "$.policy.hpa.maxReplicas: 0; accepted: a whole number from 1 to 2147483647"},
      {line(R"("maxReplicas":2147483648)"), "$.policy.hpa.maxReplicas: 2147483648"},
      {line(R"("maxReplicas":1.5)"), "$.policy.hpa.maxReplicas: 1.5"},
      {line(R"("maxReplicas":9)"), "$.policy.hpa.metrics: nothing"},
      {line(R"("maxReplicas":9,"metrics":[])"), "$.policy.hpa.metrics: an empty list"},
      {line(R"("maxReplicas":9,"metrics":{})"), "$.policy.hpa.metrics: an object"},
      {line(no_metric + R"({"type":"Pods"}])"),
       R"($.policy.hpa.metrics[0].type: "Pods"; accepted: External, Object, Resource)"},
      {line(no_metric + R"({"type":"External"}])"), "$.policy.hpa.metrics[0].target: nothing"},
      {line(no_metric + "7]"), "$.policy.hpa.metrics[0]: 7; accepted: an object"},
      {target(R"("type":"Utilization","value":70)"),
       "$.policy.hpa.metrics[0].target.type: \"Utilization\"; accepted: AverageValue, Value"},
      {target(R"("type":"Value")"), "$.policy.hpa.metrics[0].target.value: nothing"},
      {target(R"("type":"Value","value":"-1")"),
       "$.policy.hpa.metrics[0].target.value: \"-1\"; accepted: a Kubernetes quantity greater"},
      {target(R"("type":"Value","value":"1 kg")"), "$.policy.hpa.metrics[0].target.value: \"1 kg\""},
      {target(R"("type":"Value","value":true)"), "$.policy.hpa.metrics[0].target.value: true"},
      {target(R"("type":"Value","averageValue":1)"), "$.policy.hpa.metrics[0].target.value: nothing"},
      {line(no_metric + R"({"type":"Resource","target":{"type":"Utilization","value":0.5}}])"),
       "$.policy.hpa.metrics[0].target.value: 0.5; accepted: a whole number of percent"},
      {line(and_(R"("minReplicas":0,"semantics":"1.36")")),
       "$.policy.hpa.minReplicas: 0; accepted: 1 or more, 0 with scaleToZero"},
      {line(
           R"("minReplicas":0,"scaleToZero":true,"maxReplicas":9,"metrics":[{"type":"Resource","target":{"type":"Utilization","value":70}}])"),
       "$.policy.hpa.minReplicas: 0; accepted: 1 or more without an External or Object metric"},
      {line(and_(R"("minReplicas":51)")), "$.policy.hpa.maxReplicas: 50; accepted: at least minReplicas, which is 51"},
      {line(and_(R"("semantics":"1.34")")), "$.policy.hpa.semantics: \"1.34\"; accepted: 1.28, 1.35, 1.36, 1.37"},
      {line(and_(R"("downscaleStabilization_s":-1)")), "$.policy.hpa.downscaleStabilization_s: -1"},
      {line(and_(R"("scaleToZero":"yes")")), "$.policy.hpa.scaleToZero: \"yes\"; accepted: true or false"},
      {line(and_(R"("tolerance":-0.1)")), "$.policy.hpa.tolerance: -0.1; accepted: a number, 0 or more"},
      {line(and_(R"("tolerance":"0.1")")), "$.policy.hpa.tolerance: \"0.1\""},
      {line(and_(R"("tolerance":{"left":1})")), "$.policy.hpa.tolerance.left: unknown field"},
      {line(and_(R"("semantics":"1.28","tolerance":{"up":0.2})")), "$.policy.hpa.tolerance: two different numbers"},
      {line(and_(R"("minReplica":1)")), "$.policy.hpa.minReplica: unknown field; accepted: did you mean minReplicas?"},
      {line(and_(R"("behavior":[])")), "$.policy.hpa.behavior: an array; accepted: an object"},
      {line(and_(R"("behavior":{"scaleup":{}})")), "$.policy.hpa.behavior.scaleup: unknown field"},
      {line(and_(rules + R"("stabilizationWindowSeconds":3601}})")),
       "$.policy.hpa.behavior.scaleUp.stabilizationWindowSeconds: 3601; accepted: a whole number from 0 to 3600"},
      {line(and_(rules + R"("selectPolicy":"max"}})")),
       "$.policy.hpa.behavior.scaleUp.selectPolicy: \"max\"; accepted: Max, Min, Disabled"},
      {line(and_(rules + R"("policies":[]}})")), "$.policy.hpa.behavior.scaleUp.policies: an empty list"},
      {line(and_(rules + R"("policies":[{"type":"Pods","value":0,"periodSeconds":15}]}})")),
       "$.policy.hpa.behavior.scaleUp.policies[0].value: 0"},
      {line(and_(rules + R"("policies":[{"type":"Pods","value":1,"periodSeconds":1801}]}})")),
       "$.policy.hpa.behavior.scaleUp.policies[0].periodSeconds: 1801; accepted: a whole number from 1 to 1800"},
      {line(and_(rules + R"("policies":[{"type":"Pods","value":1}]}})")),
       "$.policy.hpa.behavior.scaleUp.policies[0].periodSeconds: nothing"},
      {line(and_(rules + R"("tolerance":"-1"}})")),
       "$.policy.hpa.behavior.scaleUp.tolerance: \"-1\"; accepted: a Kubernetes quantity of 0 or more"},
      {line(and_(rules + R"("tolerance":0.1}},"semantics":"1.28")")),
       "$.policy.hpa.behavior.scaleUp.tolerance: 0.1; accepted: no tolerance of a direction with semantics 1.28"},
      {line(hpa, R"("status_replicas":3)"), "$.seen.spec_replicas: nothing"},
      {line(hpa, R"("spec_replicas":3)"), "$.seen.status_replicas: nothing"},
      {line(hpa, R"("spec_replicas":-1,"status_replicas":3)"), "$.seen.spec_replicas: -1"},
      {line(hpa, R"("spec_replicas":3,"status_replicas":3,"metrics":[])"),
       "$.seen.metrics: a list of 0; accepted: a list of 1, one for each"},
      {line(hpa, R"("spec_replicas":3,"status_replicas":3,"metric":[])"),
       "$.seen.metric: unknown field; accepted: did you mean metrics?"},
      {reading(""), "$.seen.metrics[0].values: nothing; accepted: {\"values\":[\"8600m\"]} or"},
      {reading(R"("values":"1")"), "$.seen.metrics[0].values: \"1\""},
      {reading(R"("values":["1",null])"), "$.seen.metrics[0].values[1]: null"},
      {reading(R"("error":7)"), "$.seen.metrics[0].error: 7; accepted: a string"},
      {reading(R"("error":"x","values":[])"), "$.seen.metrics[0].values: unknown field"},
      {reading(R"("utilization":20,"ready_pods_with_metrics":3)"), "$.seen.metrics[0].values: nothing"},
      {line(R"("maxReplicas":9,"metrics":[{"type":"Object","target":{"type":"Value","value":1}}])",
            R"("spec_replicas":3,"metrics":[{"values":["1","2"]}])"),
       "$.seen.metrics[0].values: 2 values; accepted: one value of an Object"},
      {line(R"("maxReplicas":9,"metrics":[{"type":"Resource","target":{"type":"Utilization","value":1}}])",
            R"("spec_replicas":3,"metrics":[{"values":["1"]}])"),
       "$.seen.metrics[0].utilization: nothing"},
      {line(hpa, seen, R"(,"conditions":{})"), "$.conditions: an object"},
      {line(hpa, seen, R"(,"conditions":[["A"]])"),
       "$.conditions[0]: an array; accepted: a list of [\"type\",\"status\"]"},
      {line(hpa, seen, R"(,"conditions":[["A",true]])"), "$.conditions[0]: an array"},
      {line(hpa, seen, R"(,"state":[])"), "$.state: an array; accepted: an object"},
      {line(hpa, seen, R"(,"state":{"recommendations":[{"at_s":0}]})"), "$.state.recommendations[0].replicas: nothing"},
      {line(hpa, seen, R"(,"state":{"up_events":[{"at_s":"0","change":1}]})"), "$.state.up_events[0].at_s: \"0\""},
      {line(hpa, seen, R"(,"state":{"down_event":[]})"), "$.state.down_event: unknown field"},
      {line(hpa, seen, R"(,"workers":{})"), "$.workers: unknown field"},
      {R"({"policy":{"hpa":{"maxReplicas":50,"metrics":[{"type":"Object","target":{"type":"Value","value":1}}]}},"seen":{"spec_replicas":1}})",
       "$.at_s: nothing"},
      {R"({"policy":{"hpa":{"maxReplicas":50,"metrics":[{"type":"Object","target":{"type":"Value","value":1}}]},"lag":{}},"seen":{"spec_replicas":1},"at_s":1})",
       "$.policy.lag: unknown field"},
  };
  for (const Bad& one : bad) {
    const Result<HpaQuestion> out = read(one.line);
    ASSERT_FALSE(out) << one.line;
    EXPECT_EQ(out.error().code, Code::invalid);
    EXPECT_THAT(out.error().what, StartsWith(one.what)) << one.line;
  }
}

}  // namespace
}  // namespace sluice::policy
