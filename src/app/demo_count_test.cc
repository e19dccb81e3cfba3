// SPDX-License-Identifier: Apache-2.0
#include "app/demo_count.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::app {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view journal =
    R"({"event":"act","tick":"b-1","did":{"started":["orders-w0"],"withdrawn":[],"drained":[]},"errors":[]})"
    "\n"
    R"({"event":"act","tick":"b-2","did":{"started":["orders-w1"],"withdrawn":[],"drained":[]},"errors":[]})"
    "\n"
    R"({"event":"act","tick":"b-3","did":{"started":[],"withdrawn":["orders-w1"],"drained":[]},"errors":[]})"
    "\n{\"event\":\"ac";  // torn by a crash

DemoSums sums_of(std::string_view ledger) {
  DemoCount count;
  const Time start{1h};
  count.published("a", WallTime{1000s});
  count.published("b", WallTime{1000s});
  model::FleetView view;
  view.workers.push_back({.name = "orders-w0", .id = "1", .state = model::WorkerState::starting});
  view.workers.push_back({.name = "orders-w1", .id = "2", .state = model::WorkerState::unscheduled});
  count.see(view, start);
  view.workers.clear();
  view.ended.push_back({.name = "orders-w0", .id = "1", .ended_at = start + 5s});
  count.see(view, start + 6s);
  DemoSums sums{.published = 2, .confirmed = 2, .dead_lettered = 0, .queued = 0, .in_flight = 0};
  count.sum(sums, ledger, journal, start + 10s);
  return sums;
}

TEST(DemoSums, CountsDistinctIdsOfTheLedgerAndStartsOfTheJournal) {
  const DemoSums sums = sums_of("a 1002.5\nb 1004.0\n");
  EXPECT_EQ(sums.processed, 2);
  EXPECT_EQ(sums.duplicates, 0);
  EXPECT_EQ(sums.lost(), 0);
  EXPECT_EQ(sums.workers_started, 1);
  EXPECT_EQ(sums.workers_left, 1);
  EXPECT_EQ(sums.workers_live_max, 1);
  EXPECT_DOUBLE_EQ(sums.worker_seconds, 5);
  EXPECT_DOUBLE_EQ(*sums.wait_p50_s, 2.5);
  EXPECT_DOUBLE_EQ(*sums.wait_p99_s, 4);
  EXPECT_TRUE(sums.whole());
}

TEST(DemoSums, FindsAPlantedLossAndAPlantedDuplicate) {
  const DemoSums lost = sums_of("a 1002.5\n");
  EXPECT_EQ(lost.lost(), 1);
  EXPECT_FALSE(lost.whole());
  const DemoSums twice = sums_of("a 1002.5\nb 1003.0\nb 1009.0\n");
  EXPECT_EQ(twice.duplicates, 1);
  EXPECT_EQ(twice.lost(), 0);
  EXPECT_FALSE(twice.whole());
}

TEST(DemoSums, DoesNotTakeAnUnreadQueueForAnEmptyOne) {
  DemoSums sums = sums_of("a 1002.5\nb 1004.0\n");
  sums.queued.reset();
  EXPECT_EQ(sums.lost(), std::nullopt);
  EXPECT_FALSE(sums.whole());
  EXPECT_THAT(to_json(sums), testing::HasSubstr(R"("lost":null,"dead_lettered":0,"queued":null)"));
}

}  // namespace
}  // namespace sluice::app
