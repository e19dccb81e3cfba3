// SPDX-License-Identifier: Apache-2.0
#include "app/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace sluice::app {
namespace {

using namespace std::chrono_literals;
using model::WorkerState;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

pool::Pool pool_of(pool::Policy policy = pool::ThresholdPolicy{.messages = 50, .every = {5s}}) {
  pool::Pool out;
  out.name = "orders";
  out.spec.queue = pool::LocalQueue{"orders.db"};
  out.spec.policy = std::move(policy);
  out.spec.workers.max = 100;
  return out;
}

control::Snapshot snapshot_of(std::int64_t ready, std::int64_t busy, std::int64_t at_ms = 1'000'000) {
  control::Snapshot out;
  out.at = WallTime{std::chrono::milliseconds{1'700'000'000'000 + at_ms}};
  out.seen.at_ms = at_ms;
  out.seen.fleet.age_ms = 0;
  out.seen.queue.ready = model::SeenCount{ready, 0};
  out.seen.queue.in_flight = model::SeenCount{busy, 0};
  out.seen.queue.acked_n = model::SeenCount{0, 0};
  out.seen.queue.published_n = model::SeenCount{ready + busy, 0};
  out.seen.workers[static_cast<std::size_t>(WorkerState::busy)] = busy;
  out.view = model::FleetView{};
  for (int slot = 0; slot < 100; ++slot) {
    out.view->free_slots.push_back(slot);
  }
  return out;
}

const Compared& named(const Comparison& comparison, const std::string& name) {
  for (const Compared& one : comparison.all()) {
    if (one.name == name) {
      return one;
    }
  }
  ADD_FAILURE() << name << " is not among " << comparison.names();
  return comparison.all().front();
}

TEST(Compare, ReadsNamesOnceEachAndListsThemWhereOneIsWrong) {
  EXPECT_THAT(*parse_compare("lag, threshold,lag"), ElementsAre("lag", "threshold"));
  for (const char* const text : {"", "lag,", ",lag", "lag threshold", "Lag", "flinkLike", "kedaScaledObject"}) {
    const Result<std::vector<std::string>> got = parse_compare(text);
    ASSERT_FALSE(got) << text;
    EXPECT_THAT(got.error().what, HasSubstr("accepted: lag, threshold, backlogPerWorker, hpa, kedaScaledJob"));
  }
  EXPECT_THAT(parse_compare("treshold").error().what, HasSubstr("did you mean threshold?"));
}

TEST(Compare, RefusesWhatTheQueueCannotTell) {
  pool::Pool pool = pool_of(pool::BacklogPerWorkerPolicy{.messages = 5});
  EXPECT_TRUE(comparable(pool, {.policies = {"lag", "threshold", "hpa"}}));
  pool.spec.queue = pool::PubsubQueue{.project = "project-1", .subscription = "orders"};
  EXPECT_TRUE(comparable(pool, {.policies = {"hpa", "backlogPerWorker", "kedaScaledJob"}}));
  EXPECT_THAT(comparable(pool, {.policies = {"hpa", "lag"}}).error().what,
              StartsWith("pool orders: --compare lag: policy lag needs to know what waits"));
  pool.spec.queue = pool::RabbitQueue{.url = "amqp://localhost", .queue = "orders"};
  EXPECT_THAT(comparable(pool, {.policies = {"lag"}}).error().what, HasSubstr("queue.rabbitmq.management"));
}

TEST(Compare, GivesThePoolsOwnKindItsOwnNumbersAndTheOthersUsualOnes) {
  const CompareOptions all{.policies = {"lag", "threshold", "backlogPerWorker", "hpa", "kedaScaledJob"}};
  const Comparison usual(pool_of(), all, {});
  EXPECT_EQ(usual.names(), "lag 1m, threshold 50, backlogPerWorker 30, hpa 30, kedaScaledJob 30 default");
  EXPECT_THAT(usual.assumed(), ElementsAre(HasSubstr("--late"), HasSubstr("--service")));
  EXPECT_TRUE(named(usual, "threshold 50").own);
  EXPECT_FALSE(named(usual, "lag 1m").own);

  CompareOptions said = all;
  said.late = 20s;
  said.service = 500ms;
  const Comparison told(pool_of(), said, {});
  EXPECT_EQ(told.names(), "lag 20s, threshold 50, backlogPerWorker 20, hpa 20, kedaScaledJob 20 default");
  EXPECT_THAT(told.assumed(), ElementsAre());

  const Comparison of_lag(pool_of(pool::LagPolicy{.max = 30s}), all, {});
  EXPECT_EQ(of_lag.names(), "lag 30s, threshold 20, backlogPerWorker 15, hpa 15, kedaScaledJob 15 default");
  EXPECT_THAT(of_lag.assumed(), ElementsAre(HasSubstr("--service")));
  const pool::ThresholdPolicy by_age{.messages = {}, .age = 10s};
  EXPECT_EQ(Comparison(pool_of(by_age), {.policies = {"lag", "threshold"}}, {}).names(), "lag 10s, threshold 10s");
}

TEST(Compare, DecidesTheSameLookByEachAndBeginsTheOwnOneWithItsOwnState) {
  control::ControlState own;
  own.hold_until_ms = 2'000'000;
  Comparison comparison(pool_of(), {.policies = {"lag", "threshold"}}, own);
  comparison.look(snapshot_of(200, 1));
  const Compared& lag = named(comparison, "lag 1m");
  const Compared& threshold = named(comparison, "threshold 50");
  EXPECT_GT(lag.step.decision.change, 1);
  EXPECT_EQ(lag.plan.start.size(), static_cast<std::size_t>(lag.step.decision.change));
  EXPECT_THAT(threshold.step.decision.reason, HasSubstr("a new scaler looks once"));
  EXPECT_TRUE(threshold.plan.empty());
  EXPECT_FALSE(lag.state.lag.empty()) << "it remembers";
  EXPECT_EQ(threshold.state.hold_until_ms, 2'000'000);
}

TEST(Compare, TellsTheHpaThatNobodyObeyed) {
  Comparison comparison(pool_of(), {.policies = {"hpa"}, .late = 2s}, {});  // one message a worker
  for (int sync = 0; sync < 5; ++sync) {
    comparison.look(snapshot_of(50, 4, 1'000'000 + sync * 15'000));
    EXPECT_EQ(comparison.all().front().step.decision.workers, 8) << "twice what is there, each time";
  }
}

TEST(Compare, SaysATableWhenADecisionChangesAndReasonsNowAndThen) {
  Comparison comparison(pool_of(), {.policies = {"backlogPerWorker", "threshold"}}, {});
  comparison.look(snapshot_of(90, 0));
  const std::string table = comparison.news(0, false);
  EXPECT_THAT(table, HasSubstr("orders: 90 messages wait, 0 in work\n"
                               "  POLICY               NOW  WANTS  WOULD    WHY\n"
                               "  backlogPerWorker 30    0      3  start 3  grow: 90 messages wait"));
  EXPECT_THAT(table, HasSubstr("\n* threshold 50           0      1  start 1  grow: 90 messages wait, more than 50\n"));
  comparison.look(snapshot_of(90, 0, 1'000'100));
  EXPECT_EQ(comparison.news(0, false), "");
  comparison.look(snapshot_of(89, 0, 1'000'200));
  EXPECT_EQ(comparison.news(0, false), "") << "other numbers, the same decisions";
  comparison.look(snapshot_of(89, 0, 1'011'000));
  EXPECT_THAT(comparison.news(0, false), HasSubstr("89 messages wait")) << "after 10 s";
  comparison.look(snapshot_of(20, 0, 1'011'100));
  EXPECT_THAT(comparison.news(0, false), HasSubstr("  nothing  steady: "));
}

TEST(Compare, WrapsReasonsUnderTheirColumn) {
  Comparison comparison(pool_of(), {.policies = {"lag"}}, {});
  comparison.look(snapshot_of(200, 0));
  const std::string table = comparison.news(80, false);
  EXPECT_THAT(table, HasSubstr("\n" + std::string(31, ' ') + "backlog"));
  for (std::size_t begin = 0; begin < table.size();) {
    const std::size_t end = table.find('\n', begin);
    EXPECT_LE(end - begin, 80U) << table;
    begin = end + 1;
  }
}

TEST(Compare, SaysEachAsOneJsonLine) {
  Comparison comparison(pool_of(), {.policies = {"lag", "threshold"}}, {});
  comparison.look(snapshot_of(200, 1));
  const std::vector<std::string> lines = comparison.json();
  ASSERT_EQ(lines.size(), 2U);
  const boost::json::value line = boost::json::parse(lines.at(1));
  EXPECT_EQ(line.at("event"), "compare");
  EXPECT_EQ(line.at("pool"), "default/orders");
  EXPECT_EQ(line.at("policy"), "threshold");
  EXPECT_EQ(line.at("name"), "threshold 50");
  EXPECT_EQ(line.at("own"), true);
  EXPECT_EQ(line.at("workers"), 1);
  EXPECT_EQ(line.at("decision").at("workers"), 2);
  EXPECT_EQ(line.at("plan").at("start").as_array().size(), 1U);
}

}  // namespace
}  // namespace sluice::app
