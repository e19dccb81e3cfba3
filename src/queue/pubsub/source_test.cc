// SPDX-License-Identifier: Apache-2.0
#include "queue/pubsub/source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace sluice::queue::pubsub {
namespace {

using namespace std::chrono_literals;

// Cloud Monitoring as a table: the metric's last word and the subscription.
class Table final : public gcp::Metrics {
 public:
  aio::Task<Result<std::vector<gcp::Point>>> read(std::string metric, model::Selector selector,
                                                  aio::Deadline) override {
    EXPECT_EQ(selector.at(0).key, "resource.labels.project_id");
    EXPECT_EQ(selector.at(0).values, std::vector<std::string>{"my-project"});
    EXPECT_EQ(selector.at(1).key, "resource.labels.subscription_id");
    const auto found = points.find(metric.substr(metric.rfind('/') + 1) + " " + selector.at(1).values.at(0));
    if (found == points.end()) {
      co_return Error{Code::gone, "no series"};
    }
    co_return found->second;
  }
  std::map<std::string, std::vector<gcp::Point>> points;
};

class PubsubSourceTest : public testing::Test {
 protected:
  Result<model::Sample> sample() {
    Result<model::Sample> out = Error{Code::invalid, "not asked"};
    PubsubSource source(clock_, table_,
                        {.project = "my-project", .subscription = "s", .dead_letter_subscription = "s.dead"});
    const auto main = [&]() -> aio::Task<void> {
      co_await clock_.sleep_for(10min);
      out = co_await source.sample(clock_.in(1s));
    };
    clock_.run(main());
    return out;
  }
  gcp::Point point(std::int64_t milli, std::chrono::milliseconds before) {
    return {.labels = {}, .milli = milli, .ended_at = clock_.wall() + 10min - before};
  }
  aio::Loop loop_;
  aio::VirtualClock clock_{loop_};
  std::shared_ptr<Table> table_ = std::make_shared<Table>();
};

TEST_F(PubsubSourceTest, AllThatIsNotAcknowledgedIsATotalWithItsAgeAndNeverReady) {
  table_->points["num_undelivered_messages s"] = {point(20'000, 130s)};
  table_->points["oldest_unacked_message_age s"] = {point(45'500, 70s)};
  table_->points["num_undelivered_messages s.dead"] = {point(3'000, 60s)};
  const Result<model::Sample> seen = sample();
  ASSERT_TRUE(seen) << seen.error().what;
  ASSERT_TRUE(seen->total);
  EXPECT_EQ(*seen->total, (model::Reading{.n = 20, .observed_at = clock_.now() - 130s, .approximate = true}));
  EXPECT_FALSE(seen->ready);
  EXPECT_FALSE(seen->in_flight);
  ASSERT_TRUE(seen->oldest_age);
  EXPECT_EQ(seen->oldest_age->age, 45500ms);
  EXPECT_EQ(seen->oldest_age->kind, model::AgeKind::bound);
  EXPECT_EQ(seen->oldest_age->observed_at, clock_.now() - 70s);
  EXPECT_EQ(seen->dead->n, 3);
}

TEST_F(PubsubSourceTest, WhatMonitoringDoesNotSayIsUnknownAndWithoutTheTotalThereIsNoSample) {
  const Result<model::Sample> none = sample();
  EXPECT_EQ(none ? Code::retry : none.error().code, Code::gone);
  EXPECT_THAT(none ? "" : none.error().what, testing::StartsWith("projects/my-project/subscriptions/s: "));
  table_->points["num_undelivered_messages s"] = {point(0, -5s)};  // its clock is ahead of ours by 5 s
  const Result<model::Sample> some = sample();
  ASSERT_TRUE(some);
  EXPECT_EQ(some->total->n, 0);
  EXPECT_LE(some->total->observed_at, clock_.now());
  EXPECT_FALSE(some->oldest_age);
  EXPECT_FALSE(some->dead);
}

TEST_F(PubsubSourceTest, SeveralSeriesAreNoNumber) {
  table_->points["num_undelivered_messages s"] = {point(1000, 60s), point(2000, 60s)};
  EXPECT_FALSE(sample());
}

}  // namespace
}  // namespace sluice::queue::pubsub
