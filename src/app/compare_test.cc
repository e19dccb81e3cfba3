// SPDX-License-Identifier: Apache-2.0
#include "app/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::app {
namespace {

using ::testing::HasSubstr;

pool::PoolSpec spec() {
  pool::PoolSpec out;
  out.queue = pool::LocalQueue{"orders.db"};
  out.policy = pool::ThresholdPolicy{.messages = 5};
  out.workers.max = 100;
  return out;
}

model::Observation seen_of(std::int64_t ready) {
  model::Observation seen;
  seen.at_ms = 1'000'000;
  seen.fleet.age_ms = 0;
  seen.queue.ready = model::SeenCount{ready, 0};
  seen.queue.in_flight = model::SeenCount{0, 0};
  seen.queue.published_n = model::SeenCount{ready, 0};
  seen.queue.acked_n = model::SeenCount{0, 0};
  return seen;
}

TEST(Compare, TakesNamesAndNumbers) {
  const Result<std::vector<Wanted>> wanted = parse_compare("lag=30s,threshold,hpa=500m");
  ASSERT_TRUE(wanted);
  ASSERT_EQ(wanted->size(), 3U);
  EXPECT_EQ(wanted->at(0).value, "30s");
  EXPECT_EQ(wanted->at(1).value, std::nullopt);
  EXPECT_EQ(wanted->at(2).word, "hpa");
  for (const char* bad : {"", ",", "lag,", "lag=1s,,hpa", "sqs", "LAG"}) {
    EXPECT_FALSE(parse_compare(bad)) << bad;
  }
}

TEST(Compare, EachHasItsOwnSettingOrThePoolsOrTheUsualOne) {
  const auto first = [](const Wanted& wanted) {
    Result<Comparison> comparison = Comparison::of(spec(), {wanted});
    EXPECT_TRUE(comparison);
    EXPECT_TRUE(comparison->look(seen_of(12)));
    return comparison->text(WallTime{}, seen_of(12), false);
  };
  EXPECT_THAT(first({.word = "threshold", .value = {}}), HasSubstr("more than 5"));
  EXPECT_THAT(first({.word = "threshold", .value = "7"}), HasSubstr("more than 7"));
  EXPECT_THAT(first({.word = "backlogPerWorker", .value = {}}), HasSubstr(" 3 +3 "));
  EXPECT_THAT(first({.word = "lag", .value = "40s"}), HasSubstr("within 40 s"));
  EXPECT_FALSE(Comparison::of(spec(), {{.word = "lag", .value = "x\",\"reserve\":\"1"}}));
  EXPECT_FALSE(Comparison::of(spec(), {{.word = "threshold", .value = "1,\"step\":2"}}));
}

TEST(Compare, SpeaksWhenOneSaysSomethingElse) {
  Result<Comparison> comparison = Comparison::of(spec(), *parse_compare("threshold,backlogPerWorker=10"));
  ASSERT_TRUE(comparison);
  EXPECT_TRUE(comparison->look(seen_of(12)));
  EXPECT_FALSE(comparison->look(seen_of(13)));
  EXPECT_TRUE(comparison->look(seen_of(23))) << "a third worker for one of them";
  const std::string json = comparison->json(WallTime{}, "default/orders", seen_of(23));
  EXPECT_THAT(json, HasSubstr(R"("name":"backlogPerWorker 10","policy":"backlogPerWorker","decision":{"workers":3,)"));
}

}  // namespace
}  // namespace sluice::app
