// SPDX-License-Identifier: Apache-2.0
#include "lab/run.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lab/testing_scenario.h"

namespace sluice::lab {
namespace {

using ::testing::AllOf;
using ::testing::Ge;
using ::testing::Le;

constexpr Us second = 1'000'000;

// Twenty messages at once after ten minutes, each a minute of work.
const std::string twenty = "arrivals: [{batch: {size: 20, first: 10m}}], service: {mean: 60s}";

TEST(LabRun, IsTheSameBitForBitWithTheSameSeedAndAnotherWithAnother) {
  const Read read = tiny("arrivals: [{constant: {rate: 2}}], service: {mean: 2s, cv: 2}",
                         "nodes: {boot: {least: 50s, most: 70s}, spot: 20m}, pods: {crash: 10m, start: {mean: 3s}}");
  const auto first = run_of(read);
  const auto again = run_of(read);
  EXPECT_EQ(first.pools[0].journal_hash, again.pools[0].journal_hash);
  EXPECT_EQ(first.pools[0].journal_lines, again.pools[0].journal_lines);
  EXPECT_EQ(first.events, again.events);
  EXPECT_EQ(first.node_us, again.node_us);
  EXPECT_NE(first.pools[0].journal_hash, run_of(read, 2).pools[0].journal_hash);
}

TEST(LabRun, PaysForExactlyWhatItUses) {
  // One node of 20 slots boots in 30 s, workers start in 2 s, work a minute, leave after 10 s; the node goes after 2
  // min.
  const auto run = run_of(tiny(twenty, "nodes: {slots: 20, boot: {mean: 30s}}, pods: {start: {mean: 2s}}"));
  EXPECT_EQ(run.all.published, 20);
  EXPECT_EQ(run.all.done, 20);
  EXPECT_EQ(run.all.starts, 20);
  EXPECT_EQ(run.all.peak, 20);
  EXPECT_EQ(run.all.busy_us, 20 * 60 * second);
  EXPECT_EQ(run.all.worker_us, 20 * (2 + 60 + 10) * second);
  EXPECT_EQ(run.nodes_ordered, 1);
  // The last ones are asked for when the first have their place, a tenth of a second later.
  EXPECT_THAT(run.node_us, AllOf(Ge(222 * second), Le(223 * second)));
  EXPECT_THAT(run.waits.p50, AllOf(Ge(32'000), Le(37'000)));  // the tick is up to 5 s later
  EXPECT_EQ(run.all.late, 20);
}

TEST(LabRun, MessagesAndTheirWorkAreTheSameForEveryPolicy) {
  const std::string load = "arrivals: [{constant: {rate: 3}}], service: {exponential: 2s}";
  const auto few = run_of(tiny(load, "", "threshold: {messages: 5, every: 10s}", "30m"));
  const auto many = run_of(tiny(load, "", "backlogPerWorker: {messages: 1, every: 5s}", "30m"));
  EXPECT_EQ(few.all.published, many.all.published);
  EXPECT_NE(few.all.starts, many.all.starts);
}

TEST(LabRun, ADeploymentShrinksByBeingAskedTo) {
  const auto run =
      run_of(tiny(twenty, "nodes: {slots: 20}", "hpa: {target: {type: AverageValue, value: \"2\"}}", "25m"));
  EXPECT_EQ(run.all.done, 20);
  EXPECT_EQ(run.all.peak, 10);
  ASSERT_FALSE(run.pools[0].marks.empty());
  EXPECT_EQ(run.pools[0].marks.back().idle, 0);
}

TEST(LabRun, WorkOfADeadWorkerIsDoneAgainAndNothingIsLost) {
  const std::string load = "arrivals: [{constant: {rate: 1}}], service: {mean: 10s}";
  const auto run = run_of(tiny(load, "pods: {crash: 100s, batch: 4, redelivery: 5s}",
                               "backlogPerWorker: {messages: 1, every: 5s}", "1h", "max: 50, concurrency: 2"));
  EXPECT_GT(run.all.crashes, 50);
  EXPECT_GT(run.all.redelivered, 50);
  EXPECT_GT(run.all.twice, 0);
  EXPECT_EQ(run.all.published, run.all.done + run.all.unfinished);
}

TEST(LabRun, SpotNodesTakeTheirWorkersWithThem) {
  const auto run = run_of(tiny("arrivals: [{constant: {rate: 2}}], service: {mean: 5s}",
                               "nodes: {slots: 4, spot: 5m, boot: {mean: 20s}}",
                               "backlogPerWorker: {messages: 1, every: 5s}", "1h"));
  EXPECT_GT(run.all.redelivered, 100);
  EXPECT_EQ(run.all.crashes, 0);
  EXPECT_GT(run.nodes_ordered, 20);
  EXPECT_EQ(run.all.published, run.all.done + run.all.unfinished);
}

TEST(LabRun, MessagesExpireAndArePurged) {
  const auto expired = run_of(tiny(twenty + ", expiry: 5m", "nodes: {max: 1, slots: 1}"));
  EXPECT_EQ(expired.all.done, 5);
  EXPECT_EQ(expired.all.expired, 15);
  const auto purged = run_of(tiny(twenty + ", purge: [10m30s]", "nodes: {max: 1, slots: 1}"));
  EXPECT_EQ(purged.all.done, 1);
  EXPECT_EQ(purged.all.purged, 19);
}

TEST(LabRun, AQuotaAndAFullNodeGroupAreKeptAndSaid) {
  for (const char* const limit : {"quota: 3", "nodes: {max: 1, slots: 3}"}) {
    const auto run = run_of(tiny(twenty, limit, "backlogPerWorker: {messages: 1, every: 5s}", "30m"));
    EXPECT_EQ(run.all.peak, 3) << limit;
    EXPECT_EQ(run.all.done, 20) << limit;
    const auto full =
        std::ranges::count_if(run.pools[0].said, [](const Said& one) { return one.reason.starts_with("full:"); });
    EXPECT_GT(full, 0) << limit;
  }
}

TEST(LabRun, PoolsShareTheNodes) {
  const Read read = read_scenario(
      "scenario: two\nduration: 20m\nlate: 30s\n"
      "pools: [{name: a, " +
          twenty + "}, {name: b, " + twenty +
          "}]\n"
          "workers: {max: 20}\nenvironment: {nodes: {max: 2, slots: 5}}\n"
          "policies: [{policy: {backlogPerWorker: {messages: 1, every: 5s}}}]\n",
      no_files);
  ASSERT_TRUE(read.scenario);
  const auto run = run_of(read);
  ASSERT_EQ(run.pools.size(), 2U);
  EXPECT_EQ(run.all.done, 40);
  EXPECT_EQ(run.nodes_peak, 2);
  for (const Mark& mark : run.pools[0].marks) {
    const Mark& other = run.pools[1].marks[static_cast<std::size_t>(&mark - run.pools[0].marks.data())];
    EXPECT_LE(mark.busy + mark.idle + mark.starting + other.busy + other.idle + other.starting, 10);
  }
}

TEST(LabRun, WhatIsSeenIsLateNoisyOrNothing) {
  const auto late = run_of(tiny(twenty, "nodes: {slots: 20}, metrics: {period: 1m, delay: 2m}"));
  EXPECT_GE(late.waits.p50, 120'000);
  const auto blind = run_of(tiny(twenty, "metrics: {errors: 1}"));
  EXPECT_EQ(blind.all.starts, 0);
  ASSERT_FALSE(blind.pools[0].said.empty());
  EXPECT_TRUE(blind.pools[0].said[0].reason.starts_with("blind:")) << blind.pools[0].said[0].reason;
  const auto gaps = run_of(tiny(twenty, "nodes: {slots: 20}, metrics: {gaps: 0.5, noise: 0.3, resets: 10m}"));
  EXPECT_EQ(gaps.all.done, 20);
}

TEST(LabRun, WaitsAreCountedByRank) {
  std::vector<std::uint32_t> waits(200);
  for (std::uint32_t i = 0; i < 200; ++i) {
    waits[i] = 200 - i;
  }
  const Waits of = waits_of(waits);
  EXPECT_EQ(of.p50, 100);
  EXPECT_EQ(of.p95, 190);
  EXPECT_EQ(of.p99, 198);
  EXPECT_EQ(of.most, 200);
  EXPECT_EQ(waits_of({}).most, 0);
}

}  // namespace
}  // namespace sluice::lab
