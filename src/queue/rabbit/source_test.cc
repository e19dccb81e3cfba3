// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::queue::rabbit {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr Time t0{1h};
constexpr WallTime wall0{1795341186s};

Management::Told told_of(std::int64_t ready, std::int64_t reading = 1) {
  Management::Told told;
  told.statistics.ready = ready;
  told.observed_at = t0;
  told.observed_wall = wall0;
  told.reading = reading;
  return told;
}

TEST(Standstill, IsTheQueuesOwnAffairWhenTheCountsAgree) {
  Standstill standstill;
  for (int second = 0; second < 100; ++second) {
    EXPECT_FALSE(standstill.watch(told_of(7, second / 5), 7, t0 + second * 1s));
  }
}

TEST(Standstill, IsNoneWhileStatisticsChange) {
  Standstill standstill;
  for (int second = 0; second < 100; ++second) {
    EXPECT_FALSE(standstill.watch(told_of(second / 5, second / 5), 1000 + second, t0 + second * 1s));
  }
}

TEST(Standstill, IsSeenWhenTheyNeitherChangeNorAgree) {
  Standstill standstill;
  for (int second = 0; second < 100; ++second) {
    EXPECT_EQ(standstill.watch(told_of(7, second / 5), 8 + second, t0 + second * 1s), second > 12) << second;
  }
  EXPECT_FALSE(standstill.watch(told_of(9, 30), 8, t0 + 101s)) << "they move again";
}

TEST(Standstill, IsNotConcludedFromOneReading) {
  Standstill standstill;
  for (int second = 0; second < 100; ++second) {
    EXPECT_FALSE(standstill.watch(told_of(7, 1 + second / 60), 8, t0 + second * 1s)) << second;
  }
}

TEST(HeadAge, IsTheTimeSinceThePublishersTimestamp) {
  std::string missing;
  Management::Told told = told_of(1);
  EXPECT_FALSE(head_age(told, missing));
  told.statistics.head_timestamp_s = 1795341186 - 42;
  EXPECT_EQ(head_age(told, missing), (model::OldestAge{42s, model::AgeKind::exact, t0}));
  EXPECT_EQ(missing, "");
}

TEST(HeadAge, IsNeverNegativeAndNotBelievedWhenTheClocksDiffer) {
  std::string missing;
  Management::Told told = told_of(1);
  told.statistics.head_timestamp_s = 1795341186 + 9;  // published after what the reading is stamped with
  EXPECT_EQ(head_age(told, missing)->age, Duration{0});
  EXPECT_EQ(missing, "");
  for (const std::int64_t ahead :
       {std::int64_t{1795341186 + 60}, std::int64_t{1795341186'000}, std::int64_t{1} << 53U}) {
    missing.clear();
    told.statistics.head_timestamp_s = ahead;
    EXPECT_FALSE(head_age(told, missing));
    EXPECT_THAT(missing, HasSubstr("in the future"));
  }
  missing.clear();
  told.statistics.head_timestamp_s = 0;
  EXPECT_FALSE(head_age(told, missing));
  EXPECT_THAT(missing, HasSubstr("more than a year ago"));
}

}  // namespace
}  // namespace sluice::queue::rabbit
