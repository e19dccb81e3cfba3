// SPDX-License-Identifier: Apache-2.0
#include "base/time.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using namespace std::chrono_literals;

TEST(Duration, ReadsItsOwnFormatAndNothingElse) {
  EXPECT_EQ(parse_duration("90s").value(), 90s);
  EXPECT_EQ(parse_duration("1h30m").value(), 90min);
  EXPECT_EQ(parse_duration("250ms").value(), 250ms);
  EXPECT_EQ(parse_duration("1m1ms").value(), 60001ms);
  EXPECT_EQ(parse_duration("0s").value(), 0s);
  for (const char* bad :
       {"", "5", "-5s", "+5s", "1.5s", "5 s", "1s1h", "1s1s", "s", "5ns", "1e9h", "99999999999999999999s", "100000h"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
}

TEST(Duration, WritesWhatItReads) {
  for (const char* text : {"0s", "250ms", "90s", "1h30m", "1m1ms", "24h"}) {
    const auto value = parse_duration(text).value();
    EXPECT_EQ(parse_duration(format_duration(value)).value(), value) << text;
  }
  EXPECT_EQ(format_duration(90s), "1m30s");
}

TEST(WallTime, RoundTrips) {
  const auto t = parse_wall("2026-01-31T14:02:30.125Z");
  ASSERT_TRUE(t);
  EXPECT_EQ(format_wall(*t), "2026-01-31T14:02:30.125Z");
  EXPECT_EQ(format_clock(*t), "14:02:30");
  EXPECT_EQ(format_wall(parse_wall("2026-01-31T14:02:30Z").value()), "2026-01-31T14:02:30.000Z");
  for (const char* bad :
       {"", "2026-02-30T00:00:00Z", "2026-01-31T24:00:00Z", "2026-01-31T14:02:30+01:00", "2026-01-31 14:02:30Z"}) {
    EXPECT_FALSE(parse_wall(bad)) << bad;
  }
}

TEST(Humane, SpeaksToPeople) {
  EXPECT_EQ(humane_duration(340ms), "340 ms");
  EXPECT_EQ(humane_duration(9420ms), "9.4 s");
  EXPECT_EQ(humane_duration(68s), "68 s");
  EXPECT_EQ(humane_duration(320s), "5 min 20 s");
}

}  // namespace
}  // namespace sluice
