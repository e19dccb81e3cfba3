// SPDX-License-Identifier: Apache-2.0
#include "lab/clairvoyant.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "lab/testing_scenario.h"

namespace sluice::lab {
namespace {

// A message of 100 s after 100 s. A place on a node costs 60 + 2 s until it can work and 120 s after it has.
const std::string one_message = "arrivals: [{batch: {size: 1, first: 100s}}], service: {mean: 100s}";
const std::string one_slot = "nodes: {slots: 1, boot: {mean: 60s}, removed: 2m}, pods: {start: {mean: 2s}}";
constexpr double place_s = 60 + 2 + 120;
constexpr Us second = 1'000'000;

double bound_of(const Read& read, const Kept& kept) {
  return clairvoyant_node_s(*read.scenario, read.files, 1, {kept}).value_or(-1);
}

void expect_close(double bound, double exact) {
  EXPECT_LE(bound, exact * (1 + 1e-9));
  EXPECT_GE(bound, exact * (1 - 1e-3));
}

TEST(Clairvoyant, OneMessageNeedsAPlaceForAsLongAsItTakes) {
  const Read read = tiny(one_message, one_slot);
  expect_close(bound_of(read, {.within = 0}), 100 + place_s);
}

TEST(Clairvoyant, AsAFluidAMessageThatMayWaitNeedsLessOfAPlaceForLonger) {
  const Read read = tiny(one_message, one_slot);
  expect_close(bound_of(read, {.within = 100 * second}), 100 + place_s / 2);
}

TEST(Clairvoyant, WhatMayBeLateAndWhatIsNotDueBeforeTheEndCostsNothing) {
  const Read read = tiny(one_message, one_slot);
  EXPECT_NEAR(bound_of(read, {.within = 0, .later = 1}), 0, 0.1);
  EXPECT_NEAR(bound_of(read, {.within = 1200 * second}), 0, 0.1);
}

TEST(Clairvoyant, AWorkerMayWorkOnSeveralAndANodeHoldSeveral) {
  const Read read = tiny(one_message, "nodes: {slots: 4, boot: {mean: 60s}}, pods: {start: {mean: 2s}}");
  expect_close(bound_of(read, {.within = 0, .concurrency = 2}), (100 + place_s) / 2 / 4);
}

TEST(Clairvoyant, NodesThatAreAlwaysThereArePaidForAlways) {
  const Read read = tiny(one_message, "nodes: {slots: 1, min: 2, boot: {mean: 60s}}");
  expect_close(bound_of(read, {.within = 0}), 2 * 1200);
}

// Between two messages an hour apart a place is given back, between two that are 100 s apart it is kept: the cheaper
// of what comes between and of a boot with the idle time at the end.
TEST(Clairvoyant, APlaceIsKeptWhereThatIsCheaperThanAnother) {
  const auto twice = [](const std::string& apart) {
    return tiny(
        "arrivals: [{batch: {size: 1, first: 100s}}, {batch: {size: 1, first: " + apart + "}}], service: {mean: 50s}",
        one_slot, "backlogPerWorker: {messages: 1, every: 5s}", "2h");
  };
  expect_close(bound_of(twice("1h"), {.within = 0}), 2 * (50 + place_s));
  expect_close(bound_of(twice("200s"), {.within = 0}), 150 + place_s);
}

// What is up at the end has not been idle for the last time.
TEST(Clairvoyant, TheEndOfTheRunIsNotPaidBeyond) {
  const Read read = tiny("arrivals: [{batch: {size: 1, first: 100s}}], service: {mean: 1h}", one_slot);
  expect_close(bound_of(read, {.within = 0}), 1100 + 62);
}

TEST(Clairvoyant, IsNotDefinedWhereMessagesGoWithoutWork) {
  const Read read = tiny(one_message + ", expiry: 30s");
  EXPECT_FALSE(clairvoyant_node_s(*read.scenario, read.files, 1, {{}}));
}

TEST(Clairvoyant, NoPolicyIsCheaper) {
  const std::vector<std::string> worlds = {
      "nodes: {slots: 4, boot: {mean: 60s}}, pods: {start: {mean: 5s}}",
      "nodes: {slots: 8, boot: {least: 30s, most: 90s}, min: 1}, pods: {start: {mean: 5s}, batch: 3}",
      "nodes: {slots: 2, boot: {mean: 40s}, spot: 10m}, pods: {crash: 10m, redelivery: 10s, start: {mean: 3s}}"};
  const std::vector<std::string> loads = {
      "arrivals: [{constant: {rate: 2}}], service: {mean: 3s, cv: 1}",
      "arrivals: [{step: {base: 0.5, peak: 10, first: 5m, for: 4m}}], service: {exponential: 5s}",
      "arrivals: [{batch: {size: 200, first: 5m, every: 20m}}], service: {mean: 8s, cv: 2}"};
  double nearest = 0;
  for (const std::string& policy :
       {"threshold: {messages: 5, every: 10s}", "backlogPerWorker: {messages: 3, every: 5s}",
        "hpa: {target: {type: AverageValue, value: \"20\"}}"}) {
    for (const std::string& world : worlds) {
      for (const std::string& load : loads) {
        const Read read = tiny(load, world, policy, "30m");
        ASSERT_TRUE(read.scenario && read.problems.empty());
        const auto one = run({.scenario = *read.scenario, .files = read.files, .policy = 0, .seed = 1, .bound = true});
        ASSERT_TRUE(one.clairvoyant_node_s);
        EXPECT_GE(static_cast<double>(one.node_us) / 1e6, *one.clairvoyant_node_s)
            << policy << "; " << world << "; " << load;
        nearest = std::max(nearest, *one.clairvoyant_node_s / (static_cast<double>(one.node_us) / 1e6));
      }
    }
  }
  EXPECT_GT(nearest, 0.5) << "of what the best policy paid";
}

}  // namespace
}  // namespace sluice::lab
