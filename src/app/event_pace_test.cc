// SPDX-License-Identifier: Apache-2.0
#include "app/event_pace.h"

#include <gtest/gtest.h>

namespace sluice::app {
namespace {

using namespace std::chrono_literals;

constexpr Time begin{1000s};

TEST(EventPace, ToldIsWhatIsNew) {
  EventPace pace;
  EXPECT_FALSE(pace.take("steady", begin)) << "as it was before the start";
  EXPECT_TRUE(pace.take("grow", begin + 1s));
  EXPECT_FALSE(pace.take("grow", begin + 2s));
  EXPECT_TRUE(pace.take("full", begin + 3s));
  EXPECT_TRUE(pace.take("grow", begin + 4s));
}

TEST(EventPace, TroubleAtTheStartIsTold) {
  EventPace pace;
  EXPECT_TRUE(pace.take("blind", begin));
  EXPECT_FALSE(pace.take("blind", begin + 1h));
}

TEST(EventPace, APoolThatFlapsIsNoFloodAndItsTroubleIsStillTold) {
  EventPace pace;
  int told = 0;
  for (int n = 0; n < 1000; ++n) {
    told += pace.take(n % 2 == 0 ? "grow" : "steady", begin + n * 10ms) ? 1 : 0;
  }
  EXPECT_EQ(told, 7) << "ten at once, three of them kept for trouble";
  EXPECT_TRUE(pace.take("blind", begin + 10s));
  EXPECT_TRUE(pace.take("broken", begin + 11s));
  EXPECT_TRUE(pace.take("full", begin + 12s));
  EXPECT_FALSE(pace.take("blind", begin + 13s));
  EXPECT_TRUE(pace.take("blind", begin + 73s)) << "one a minute";
}

TEST(EventPace, AStepThatWaitsForItsWorkerIsNoNewsAndOneThatWaitsLongIs) {
  EventPace pace;
  EXPECT_FALSE(pace.take("steady", begin));
  EXPECT_TRUE(pace.take("grow", begin + 10s));
  EXPECT_FALSE(pace.take("hold", begin + 11s));
  EXPECT_FALSE(pace.take("grow", begin + 20s)) << "it has been growing all the time";
  EXPECT_FALSE(pace.take("hold", begin + 21s));
  EXPECT_FALSE(pace.take("hold", begin + 80s));
  EXPECT_TRUE(pace.take("hold", begin + 81s));
  EXPECT_FALSE(pace.take("hold", begin + 2h));
  EXPECT_TRUE(pace.take("grow", begin + 2h));
}

TEST(EventPace, WhatHadNoRoomIsToldWhenThereIs) {
  EventPace pace;
  EXPECT_FALSE(pace.take("steady", begin));
  for (int n = 0; n < 20; ++n) {
    (void)pace.take(n % 2 == 0 ? "grow" : "shrink", begin);
  }
  EXPECT_FALSE(pace.take("steady", begin + 1s));
  EXPECT_TRUE(pace.take("steady", begin + 2min));
}

}  // namespace
}  // namespace sluice::app
