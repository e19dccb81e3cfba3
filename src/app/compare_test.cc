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
    return comparison->text(WallTime{}, seen_of(12), 0, false);
  };
  EXPECT_THAT(first({.word = "threshold", .value = {}}), HasSubstr("more than 5"));
  EXPECT_THAT(first({.word = "threshold", .value = "7"}), HasSubstr("more than 7"));
  EXPECT_THAT(first({.word = "backlogPerWorker", .value = {}}), HasSubstr("  3      +3  grow"));
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

TEST(Compare, IsAnAlignedTableWithReasonsWrappedUnderTheirColumn) {
  Result<Comparison> comparison = Comparison::of(spec(), *parse_compare("threshold,backlogPerWorker=10"));
  ASSERT_TRUE(comparison);
  ASSERT_TRUE(comparison->look(seen_of(23)));
  EXPECT_EQ(comparison->text(WallTime{}, seen_of(23), 0, false),
            "00:00:00  23 wait, 0 in work, 0 workers\n"
            "  POLICY                     WANTS  CHANGE  WHY\n"
            "  threshold, the pool's own      1      +1  grow: 23 messages wait, more than 5\n"
            "  backlogPerWorker 10            3      +3  grow: 23 messages wait and 0 are in work, at 10 a worker that "
            "is 3\n");
  EXPECT_THAT(
      comparison->text(WallTime{}, seen_of(23), 80, false),
      HasSubstr("grow: 23 messages wait and 0 are in\n" + std::string(44, ' ') + "work, at 10 a worker that is 3\n"));
}

TEST(Compare, BeginsThePoolsOwnKindWithWhatItsScalerKnows) {
  control::ControlState own{.fresh = true, .hold_until_ms = 2'000'000};
  Result<Comparison> comparison = Comparison::of(spec(), *parse_compare("threshold,threshold=3,backlogPerWorker=10"));
  ASSERT_TRUE(comparison);
  comparison->begin(own);
  ASSERT_TRUE(comparison->look(seen_of(12)));
  const std::string text = comparison->text(WallTime{}, seen_of(12), 0, false);
  EXPECT_THAT(text, HasSubstr("more than 5; a new scaler looks once"));
  EXPECT_THAT(text, HasSubstr("more than 3; a new scaler looks once"));
  EXPECT_THAT(text, HasSubstr("backlogPerWorker 10            2      +2  grow: "));
}

TEST(Compare, TellsTheHpaAndKedaThatNobodyObeyed) {
  Result<Comparison> comparison = Comparison::of(spec(), *parse_compare("hpa=1,kedaScaledObject=1"));
  ASSERT_TRUE(comparison);
  model::Observation seen = seen_of(90);
  seen.workers[static_cast<std::size_t>(model::WorkerState::busy)] = 6;
  seen.queue.in_flight = model::SeenCount{6, 0};
  for (int look = 0; look < 5; ++look) {
    EXPECT_EQ(comparison->look(seen), look == 0) << look;
    const std::string text = comparison->text(WallTime{}, seen, 0, false);
    EXPECT_THAT(text, HasSubstr("hpa 1                  12      +6  grow: ")) << "twice who is there";
    EXPECT_THAT(text, HasSubstr("kedaScaledObject 1     12      +6  grow: "));
    seen.at_ms += 30'000;
  }
}

}  // namespace
}  // namespace sluice::app
