// SPDX-License-Identifier: Apache-2.0
#include "control/observe.h"

#include <gtest/gtest.h>

namespace sluice::control {
namespace {

using namespace std::chrono_literals;
using model::WorkerState;

pool::PoolSpec spec() {
  pool::PoolSpec out;
  out.policy = pool::ThresholdPolicy{.messages = 20};
  out.workers.max = 5;
  return out;
}

constexpr Time t0{1h};

model::Sample sample_of(std::int64_t ready, Time at) {
  model::Sample out;
  out.ready = model::Reading{ready, at};
  return out;
}

model::Worker worker_of(int slot, WorkerState state, Time created = t0) {
  return {.slot = slot,
          .name = "o-w" + std::to_string(slot),
          .id = "id" + std::to_string(slot),
          .state = state,
          .since = created,
          .created_at = created};
}

TEST(Observer, AClaimNewerThanTheReadingStillCoversAMessage) {
  Observer observer(spec());
  model::Worker worker = worker_of(0, WorkerState::busy);
  worker.claimed_at = t0 + 5s;
  const Result<model::FleetView> fleet = model::FleetView{.workers = {worker}, .observed_at = t0 + 6s};
  const auto before = observer.observe(t0 + 6s, fleet, sample_of(1, t0 + 4s));
  EXPECT_EQ(before.count(WorkerState::ready), 1);
  const auto after = observer.observe(t0 + 6s, fleet, sample_of(1, t0 + 5s));
  EXPECT_EQ(after.count(WorkerState::busy), 1);
}

TEST(Observer, AnUnreadFleetKeepsItsCountsAndSaysSo) {
  Observer observer(spec());
  const model::FleetView view{.workers = {worker_of(0, WorkerState::busy)}, .observed_at = t0};
  (void)observer.observe(t0, view, sample_of(1, t0));
  const auto seen = observer.observe(t0 + 4s, Error{Code::retry, "list: 503"}, sample_of(1, t0 + 4s));
  EXPECT_EQ(seen.count(WorkerState::busy), 1);
  EXPECT_EQ(seen.fleet.age_ms, 4000);
  EXPECT_EQ(seen.fleet.error, "list: 503");
}

TEST(Observer, AViewOlderThanTheLastStartIsNoGroundToStartAgain) {
  Observer observer(spec());
  observer.acted(t0 + 2s);
  const auto stale = observer.observe(t0 + 3s, model::FleetView{.observed_at = t0 + 1s}, sample_of(1, t0 + 3s));
  EXPECT_EQ(stale.fleet.error, "the view is older than the last start");
  EXPECT_EQ(stale.starts.last_ms_ago, 1000);
  const auto fresh = observer.observe(t0 + 3s, model::FleetView{.observed_at = t0 + 3s}, sample_of(1, t0 + 3s));
  EXPECT_FALSE(fresh.fleet.error);
}

TEST(Observer, AnOldReadingAndANegativeCountAreUnknown) {
  Observer observer(spec());
  const Result<model::FleetView> fleet = model::FleetView{.observed_at = t0};
  const auto old = observer.observe(t0 + 31s, fleet, sample_of(1, t0));
  EXPECT_FALSE(old.queue.ready);
  EXPECT_EQ(old.queue.error, "the last reading is 31 s old");
  EXPECT_FALSE(observer.observe(t0, fleet, sample_of(-1, t0)).queue.ready);
  const auto failed = observer.observe(t0, fleet, Error{Code::retry, "connection\nrefused"});
  EXPECT_EQ(failed.queue.error, "connection refused");
}

TEST(Observer, AWorkerPastItsStartDeadlineIsFailing) {
  pool::PoolSpec s = spec();
  s.workers.start_deadline = 1min;
  Observer observer(s);
  const model::FleetView view{.workers = {worker_of(0, WorkerState::starting)}, .observed_at = t0 + 61s};
  const auto seen = observer.observe(t0 + 61s, view, sample_of(1, t0 + 61s));
  EXPECT_EQ(seen.count(WorkerState::failing), 1);
  EXPECT_EQ(seen.starts.failed_in_a_row, 1);
}

model::EndedWorker end_of(int n, model::EndKind kind, bool started) {
  return {.slot = 0,
          .name = "o-w0",
          .id = "e" + std::to_string(n),
          .kind = kind,
          .started = started,
          .why = "exit status 1",
          .ended_at = t0};
}

TEST(StartTable, CountsFailedStartsOnceAndForgivesAfterASuccess) {
  StartTable table(15min);
  model::FleetView view{.observed_at = t0};
  for (int i = 0; i < 3; ++i) {
    view.ended.push_back(end_of(i, model::EndKind::failed, false));
    table.update(view, t0);
    table.update(view, t0);
  }
  EXPECT_EQ(table.seen(t0).failed_in_a_row, 3);
  EXPECT_EQ(table.seen(t0).failed, 3);
  EXPECT_EQ(table.seen(t0).why, "exit status 1");
  view.workers.push_back(worker_of(1, WorkerState::ready));
  table.update(view, t0);
  EXPECT_EQ(table.seen(t0).failed_in_a_row, 0);
  EXPECT_EQ(table.seen(t0 + 2s).ready_ms_ago, 2000);
}

TEST(Observer, SaysWhyAPartOfAReadingIsMissingAndDecidesByTheRest) {
  Observer observer(spec());
  model::Sample sample = sample_of(7, t0);
  sample.missing = "management http://rabbit:15672: status 500";
  sample.workers_max = 1;
  const auto seen = observer.observe(t0, model::FleetView{.observed_at = t0}, sample);
  EXPECT_EQ(seen.queue.ready->n, 7);
  EXPECT_EQ(seen.queue.error, "management http://rabbit:15672: status 500");
  EXPECT_EQ(seen.queue.workers_max, 1);
}

TEST(AgeLadder, TakesTheBestRungThereIs) {
  AgeLadder ladder;
  model::Sample sample = sample_of(2, t0);
  sample.oldest_age = model::OldestAge{7s, model::AgeKind::exact, t0};
  EXPECT_EQ(ladder.climb(sample)->kind, model::AgeKind::exact);
}

TEST(AgeLadder, EstimatesFromCumulativeCounts) {
  AgeLadder ladder;
  for (int i = 0; i <= 10; ++i) {  // one message a second, none taken
    model::Sample sample = sample_of(i, t0 + i * 1s);
    sample.published_n = model::Reading{100 + i, t0 + i * 1s};
    const auto age = ladder.climb(sample);
    ASSERT_TRUE(age);
    if (i > 0) {
      EXPECT_EQ(age->kind, model::AgeKind::estimate);
      EXPECT_EQ(age->age, i * 1s);
    }
  }
}

TEST(AgeLadder, EstimatesNothingFromACountThatIsOlderThanTheBacklog) {
  AgeLadder ladder;
  for (int i = 0; i <= 30; ++i) {
    model::Sample sample = sample_of(5, t0 + i * 1s);
    sample.published_n = model::Reading{100 + i, t0 + i * 1s - 10s};
    EXPECT_EQ(ladder.climb(sample)->kind, model::AgeKind::bound);
  }
}

TEST(AgeLadder, TakesTheBoundWhenOnlyRedeliveredMessagesWait) {
  AgeLadder ladder;
  model::Sample fresh = sample_of(1, t0);
  fresh.oldest_age = model::OldestAge{1s, model::AgeKind::exact, t0};
  fresh.published_n = model::Reading{5, t0};
  (void)ladder.climb(fresh);
  model::Sample redelivered = sample_of(1, t0 + 20s);
  redelivered.published_n = model::Reading{5, t0 + 20s};
  const auto age = ladder.climb(redelivered);
  EXPECT_EQ(age->kind, model::AgeKind::bound);
  EXPECT_EQ(age->age, 20s);
}

TEST(AgeLadder, FallsBackToTheBoundSinceItWasLastEmpty) {
  AgeLadder ladder;
  EXPECT_EQ(ladder.climb(sample_of(0, t0))->age, 0s);
  const auto age = ladder.climb(sample_of(3, t0 + 30s));
  EXPECT_EQ(age->kind, model::AgeKind::bound);
  EXPECT_EQ(age->age, 30s);
  EXPECT_FALSE(ladder.climb(model::Sample{})) << "nothing said, nothing known";
}

}  // namespace
}  // namespace sluice::control
