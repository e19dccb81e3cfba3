// SPDX-License-Identifier: Apache-2.0
#include "control/settled.h"

#include <gtest/gtest.h>

#include "control/decide.h"
#include "control/observe.h"

namespace sluice::control {
namespace {

using namespace std::chrono_literals;

const Time start{1h};

model::SaidTally said(std::int64_t done, std::int64_t dead = 0) {
  return std::make_shared<const model::Tally>(model::Tally{.done = done, .retried = 7, .dead_lettered = dead});
}

model::FleetView view(Duration at, std::vector<std::pair<std::string, std::int64_t>> live) {
  model::FleetView out{.observed_at = start + at};
  for (const auto& [id, done] : live) {
    out.workers.push_back(
        {.name = id, .id = id, .state = model::WorkerState::busy, .handling = 1, .tally = said(done)});
  }
  return out;
}

TEST(Settled, CountsWhatWasDoneSinceAMomentOverAllLives) {
  Settled settled;
  settled.see(view(0s, {{"found", 40}}));
  EXPECT_EQ(settled.since(start - 1min), 0) << "when it did its 40 is not known";
  settled.see(view(10s, {{"found", 45}, {"new", 3}}));
  settled.see(view(20s, {{"found", 45}, {"new", 10}}));
  model::FleetView last = view(30s, {{"found", 45}});
  last.ended.push_back({.name = "new", .id = "new", .ended_at = start + 25s, .tally = said(12, 1)});
  settled.see(last);
  settled.see(last);  // the same end is shown many times
  EXPECT_EQ(settled.since(start), 5 + 13);
  EXPECT_EQ(settled.since(start + 10s), 10);
  EXPECT_EQ(settled.since(start + 15s), 10);
  EXPECT_EQ(settled.since(start + 20s), 3);
  EXPECT_EQ(settled.since(start + 30s), 0);
}

TEST(Settled, ACountIsNeverBelowWhatIsInWorkNow) {
  const model::FleetView now = view(0s, {{"a", 1}, {"b", 1}});
  EXPECT_EQ(brought_up(20, 5, &now), 15);
  EXPECT_EQ(brought_up(20, 30, &now), 2);
  EXPECT_EQ(brought_up(20, 30, nullptr), 0);
}

// 20 messages, a count of two minutes ago: without the correction each look would start the workers again.
TEST(Settled, AnOldCountOfAllMessagesIsBroughtUpToNowWhenObserved) {
  pool::PoolSpec spec;
  spec.queue = pool::PubsubQueue{.project = "p", .subscription = "s"};
  spec.policy = pool::BacklogPerWorkerPolicy{.messages = 1};
  Observer observer(spec);
  const model::Sample sample{.total = model::Reading{.n = 20, .observed_at = start, .approximate = true}};
  EXPECT_EQ(observer.observe(start + 90s, view(90s, {}), sample).queue.total->n, 20);
  model::FleetView done = view(120s, {{"a", 8}});
  done.workers[0].handling = 0;
  done.ended.push_back({.name = "b", .id = "b", .tally = said(12)});
  const model::Observation seen = observer.observe(start + 120s, done, sample);
  EXPECT_EQ(seen.queue.total->n, 0);
  EXPECT_EQ(seen.queue.total->age_ms, 120'000) << "the correction does not make the reading younger";
  EXPECT_FALSE(seen.queue.ready) << "all of them are not those that wait";
  EXPECT_FALSE(observer.observe(start + 301s, done, sample).queue.total) << "stale after 300 s";
}

TEST(Settled, APolicyThatNeedsWhatWaitsIsRefusedWhereNobodyCountsIt) {
  pool::PoolSpec spec;
  spec.queue = pool::PubsubQueue{.project = "p", .subscription = "s"};
  spec.policy = pool::BacklogPerWorkerPolicy{.messages = 1};
  EXPECT_TRUE(decidable(spec));
  spec.policy = pool::ThresholdPolicy{.messages = 20};
  const Result<void> refused = decidable(spec);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().what.find("accepted: backlogPerWorker"), std::string::npos) << refused.error().what;
}

}  // namespace
}  // namespace sluice::control
