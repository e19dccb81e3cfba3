// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lab/parts.h"
#include "lab/testing_scenario.h"

namespace sluice::lab {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;

std::string problems_of(const std::string& text) {
  const Read read = read_scenario(text, no_files);
  EXPECT_EQ(read.scenario.has_value(), read.problems.empty());
  std::string out;
  for (const pool::Problem& problem : read.problems) {
    out += pool::render(problem, "s.yaml") + "\n";
  }
  return out;
}

const std::string head = "scenario: s\nduration: 1h\nlate: 30s\nworkers: {max: 5}\n";
const std::string policies = "policies: [{policy: {threshold: {messages: 1}}}]\n";

TEST(Scenario, AllMistakesAreToldAtOnceWithTheirPlaces) {
  EXPECT_EQ(problems_of("scenario: s\nduration: 1\npools: [{arrivals: [{steps: {}}], service: {mean: 2s, most: 3s}}]\n"
                        "workers: {max: 5}\npolicies: [{policy: {threshold: {}}}]\n"),
            "s.yaml:1:1: $.late: missing; accepted: late: a duration from 0s to 9600h, such as 250ms, 90s or 1h30m\n"
            "s.yaml:2:11: $.duration: 1; accepted: a duration from 1s to 9600h, such as 250ms, 90s or 1h30m\n"
            "s.yaml:3:22: $.pools[0].arrivals[0].steps: unknown field, did you mean \"step\"?; accepted: a map with "
            "exactly one of constant, step, ramp, diurnal, flash, batch, mmpp or trace\n"
            "s.yaml:3:51: $.pools[0].service.mean: fields that do not go together; accepted: one of: mean (cv with it "
            "or not), least with most, exponential, quantiles with unit\n"
            "s.yaml:5:33: $.policies[0].policy.threshold: neither messages nor age; accepted: at least one of messages "
            "and age\n");
}

TEST(Scenario, WhatOnlyTheWholeCanTellIsToldToo) {
  EXPECT_EQ(problems_of(head +
                        "pools:\n  - {name: a, arrivals: [{trace: {file: t.csv}}], service: {mean: 1s}}\n"
                        "  - {name: a, arrivals: [], service: {quantiles: q.csv, unit: 1s}}\n" +
                        policies),
            "s.yaml:7:25: $.pools[1].arrivals: an empty list; accepted: a list of 1 to 16\n");
  EXPECT_EQ(problems_of(head +
                        "pools:\n  - {name: a, arrivals: [{trace: {file: t.csv}}], service: {mean: 1s}}\n"
                        "  - {name: a, arrivals: [{constant: {rate: 1}}], service: {quantiles: q.csv, unit: 1s}}\n" +
                        policies),
            "s.yaml:6:41: $.pools[0].arrivals[0].trace.file: t.csv is not there; accepted: a CSV file beside the "
            "scenario, or in --traces DIR\n"
            "s.yaml:7:12: $.pools[1].name: a second pool called \"a\"; accepted: a name that no other has\n"
            "s.yaml:7:71: $.pools[1].service.quantiles: q.csv is not there; accepted: a CSV file beside the scenario, "
            "or in --traces DIR\n");
  EXPECT_THAT(problems_of(head + "pools: [{arrivals: [{constant: {rate: 1}}], service: {mean: 1s}}]\n" +
                          "environment: {metrics: {together: true}}\npolicies: [{policy: {lag: {max: 30s}}}]\n"),
              AllOf(HasSubstr("$.policies[0].policy: policy lag needs to know what waits"),
                    EndsWith("; accepted: backlogPerWorker, hpa\n")));
}

TEST(Scenario, PartsOfLagCanBeLeftOut) {
  const std::string load = head + "pools: [{arrivals: [{constant: {rate: 1}}], service: {mean: 1s}}]\n";
  const Read read = read_scenario(load +
                                      "policies:\n  - policy: {lag: {max: 30s}}\n"
                                      "  - {policy: {lag: {max: 30s}}, without: [floor, keep]}\n",
                                  no_files);
  ASSERT_TRUE(read.scenario);
  EXPECT_EQ(name_of(read.scenario->policies[1]), "lag 30s without floor, keep");
  const Result<policy::LagParts> parts = parts_of(read.scenario->policies[1]);
  ASSERT_TRUE(parts);
  EXPECT_FALSE(parts->floor);
  EXPECT_FALSE(parts->keep);
  EXPECT_TRUE(parts->choice);
  EXPECT_EQ(problems_of(load + "policies: [{policy: {lag: {max: 30s}}, without: [walls]}]\n"),
            "s.yaml:6:49: $.policies[0].without: \"walls\"; accepted: " + part_names() + "\n");
  EXPECT_THAT(problems_of(load + "policies: [{policy: {threshold: {messages: 1}}, without: [floor]}]\n"),
              HasSubstr("a policy without such parts"));
}

TEST(Scenario, TheHpaMakesADeploymentOfAPool) {
  const Read read = tiny("arrivals: [{constant: {rate: 1}}], service: {mean: 1s}", "",
                         "hpa: {target: {type: AverageValue, value: \"5\"}}");
  ASSERT_TRUE(read.scenario);
  const Scenario& scenario = *read.scenario;
  const pool::Pool pool = pool_of(scenario, scenario.pools[0], scenario.policies[0]);
  ASSERT_TRUE(pool.spec.workers.deployment);
  EXPECT_EQ(pool.spec.workers.deployment->name, "orders");
  EXPECT_EQ(name_of(scenario.policies[0]), "hpa 5");
}

TEST(Scenario, TracesAreNumbersUnderTheirHeader) {
  const Result<std::vector<Bin>> good = parse_trace("time_s,arrivals\r\n0,3\r\n300,5\r\n");
  ASSERT_TRUE(good);
  ASSERT_EQ(good->size(), 2U);
  EXPECT_EQ((*good)[1].at, std::chrono::minutes{5});
  EXPECT_EQ((*good)[1].arrivals, 5);
  for (const char* const bad :
       {"", "time,arrivals\n0,1\n1,1\n", "time_s,arrivals\n0,1\n", "time_s,arrivals\n0,1\n0,1\n",
        "time_s,arrivals\n0,1\n1,-1\n", "time_s,arrivals\n0,1\n1,1.5\n", "time_s,arrivals\n0,1\n1\n",
        "time_s,arrivals\n0,1\n1,nan\n", "time_s,arrivals\n0,1\n\n"}) {
    EXPECT_FALSE(parse_trace(bad)) << bad;
  }
  EXPECT_TRUE(parse_quantiles("quantile,size\n0,1\n0.5,1\n1,9\n"));
  EXPECT_FALSE(parse_quantiles("quantile,size\n0,2\n1,1\n"));
}

}  // namespace
}  // namespace sluice::lab
