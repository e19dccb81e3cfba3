// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "base/nearest.h"
#include "base/random.h"
#include "base/result.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

TEST(Result, CarriesAnErrorWithItsContext) {
  const Result<int> good = 3;
  const Result<int> bad = Error{Code::gone, "404"};
  EXPECT_EQ(good.value(), 3);
  EXPECT_EQ(bad.error().in("queue orders"), (Error{Code::gone, "queue orders: 404"}));
  EXPECT_EQ(code_word(bad.error().code), "gone");
}

TEST(CheckDeathTest, EndsTheProcessWithThePlace) {
  EXPECT_DEATH(check(false, "slots ran out"), "bug: slots ran out .*base_test.cc");
}

TEST(Nearest, FindsSlipsAndOnlySlips) {
  const std::vector<std::string> fields = {"messages", "age", "every", "step"};
  EXPECT_EQ(nearest("mesages", fields), "messages");
  EXPECT_EQ(nearest("Messages", fields), "messages");
  EXPECT_EQ(nearest("evrey", fields), "every");
  EXPECT_EQ(nearest("replicas", fields), std::nullopt);
}

TEST(Backoff, IsJitteredCappedAndNeverHot) {
  Random random(7);
  Backoff backoff({.base = 1s, .cap = 10s});
  Duration limit = 1s;
  for (int i = 0; i < 50; ++i) {
    const Duration d = backoff.next(random);
    EXPECT_GE(d, 100ms);
    EXPECT_LE(d, limit);
    limit = std::min<Duration>(limit * 2, 10s);
  }
}

TEST(Random, IsTheSameEverywhere) {
  Random random(42);
  EXPECT_EQ(random.next(), 13679457532755275413ULL);  // splitmix64's published first value for seed 42
}

TEST(Log, WritesJsonOrTextAndEscapes) {
  std::vector<std::string> lines;
  const auto write = [&](std::string_view line) { lines.emplace_back(line); };
  const auto wall = [] { return WallTime{1ms}; };
  Log({.json = true}, write, wall).info("queue", "opened", {{"name", "a\"\x1b[2J\xff"}, {"n", 3}});
  Log({.json = false}, write, wall).warn("queue", "slow", {{"name", "a b\n"}});
  EXPECT_EQ(lines.at(0),
            "{\"at\":\"1970-01-01T00:00:00.001Z\",\"level\":\"info\",\"from\":\"queue\",\"msg\":\"opened\",\"name\":"
            "\"a\\\"\\u001b[2J\xEF\xBF\xBD\",\"n\":3}");
  EXPECT_EQ(lines.at(1), "00:00:00 warn  queue: slow name=\"a b\\n\"");
}

}  // namespace
}  // namespace sluice
