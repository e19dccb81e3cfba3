// SPDX-License-Identifier: Apache-2.0
// The rivals in the simulator. The table of KEDA's strategies was derived by hand from its formulas: 20 messages at
// once and 10 more a minute later, a Job for each, polled every 10 s; a Job needs 20 s until it works or finds that
// nothing is left, and 120 s for its message.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/journal_read.h"
#include "lab/testing_scenario.h"
#include "pool/pool.h"

namespace sluice::lab {
namespace {

constexpr Us second = 1'000'000;

// What ends or starts at the time of a poll has done so before it: all times are a millisecond shorter, and what comes
// is there 5 s before the poll. A Job without a message leaves after the shortest time there is, 100 ms.
const std::string jobs = "nodes: {max: 400, slots: 1}, pods: {messages: 1, start: {mean: 19899ms}}";
const std::string work = "service: {mean: 119999ms}";
const std::string twenty_and_ten =
    "arrivals: [{batch: {size: 20, first: 5s, every: 24h}}, {batch: {size: 10, first: 65s, every: 24h}}], " + work;

std::string keda(const std::string& options) {
  return "kedaScaledJob: {target: 1, pollingInterval: 10s, " + options + "}";
}

// "created/wasted/peak/last finished", the last in seconds after the first Jobs were created.
std::string outcome(const Run& run) {
  const std::vector<Said>& said = run.pools[0].said;
  const auto first = std::ranges::find_if(said, [](const Said& one) { return one.reason.starts_with("grow"); });
  if (first == said.end()) {
    return "none";
  }
  const Us last = run.all.last_done - first->at;
  return fmt::format("{}/{}/{}/{}", run.all.starts, run.all.unused, run.all.peak, (last + second / 2) / second);
}

struct Row {
  const char* strategy;
  const char* counts;
  const char* want;
};

class KedaTable : public ::testing::TestWithParam<Row> {};

TEST_P(KedaTable, CreatedWastedPeakAndLastFinished) {
  const Row& row = GetParam();
  const Read read = tiny(twenty_and_ten, jobs,
                         keda(fmt::format("maxReplicaCount: 50, strategy: {}, counts: {}", row.strategy, row.counts)),
                         "20m", "max: 200, idleExit: 100ms");
  const auto run = run_of(read);
  EXPECT_EQ(run.all.done, 30);
  EXPECT_EQ(outcome(run), row.want);
}

INSTANTIATE_TEST_SUITE_P(
    LabRivals, KedaTable,
    ::testing::Values(Row{"default", "ready", "30/0/20/280"}, Row{"default", "total", "30/0/30/200"},
                      Row{"custom, customScalingRunningJobPercentage: \"0.5\"", "ready", "45/15/30/280"},
                      Row{"custom, customScalingRunningJobPercentage: \"0.5\"", "total", "151/121/52/190"},
                      Row{"accurate", "ready", "30/0/30/200"}, Row{"accurate", "total", "160/130/50/180"},
                      Row{"eager", "ready", "50/20/40/200"}, Row{"eager", "total", "180/150/50/180"}));

// customScalingRunningJobPercentage 0: the maximum caps what one poll creates, not what runs.
TEST(LabRivals, CustomRunsTwelveTimesItsMaximum) {
  const Read read = tiny("arrivals: [{batch: {size: 100, first: 5s, every: 24h}}], " + work, jobs,
                         keda("maxReplicaCount: 10, strategy: custom, customScalingRunningJobPercentage: \"0\""), "20m",
                         "max: 400, idleExit: 100ms");
  const auto run = run_of(read);
  EXPECT_EQ(run.all.starts, 230);
  EXPECT_EQ(run.all.peak, 120);
}

// A step up and down on nodes of four, under each of them: all is done, they grow and shrink, and what each remembered
// is in the journal, so that its decisions are the same again.
class Rival : public ::testing::TestWithParam<const char*> {};

TEST_P(Rival, DoesTheWorkAndIsDecidedTheSameAgain) {
  const Read read = tiny("arrivals: [{step: {base: 1, peak: 6, first: 10m, every: 3h, for: 30m}}], service: {mean: 4s}",
                         "nodes: {slots: 4, boot: {mean: 30s}}, pods: {start: {mean: 2s}}", GetParam(), "2h");
  control::Replay replay(pool::spec_from_json);
  int ticks = 0;
  int different = 0;
  const auto run = lab::run({.scenario = *read.scenario, .files = read.files, .policy = 0, .seed = 1},
                            [&](const std::string&, std::string_view line) {
                              const auto parsed = control::parse_journal_line(line);
                              ASSERT_TRUE(parsed) << parsed.error().what;
                              const auto told = replay.feed(*parsed);
                              ASSERT_TRUE(told) << told.error().what;
                              ticks += *told ? 1 : 0;
                              different += *told && !(*told)->same ? 1 : 0;
                            });
  EXPECT_GT(ticks, 50);
  EXPECT_EQ(different, 0);
  EXPECT_GT(run.all.done, run.all.published * 9 / 10);
  EXPECT_EQ(run.all.redelivered, 0) << "who has work finishes it";
  EXPECT_GT(run.all.peak, 5);
  EXPECT_LE(run.all.peak, 50);
}

INSTANTIATE_TEST_SUITE_P(LabRivals, Rival,
                         ::testing::Values("kedaScaledObject: {target: {type: AverageValue, value: \"2\"}}",
                                           "kedaScaledJob: {target: 2}", "sqsTargetTracking: {target: 8}",
                                           "knativeKpa: {}", "flinkLike: {window: 5m}", "dataflowLike: {}"));

}  // namespace
}  // namespace sluice::lab
