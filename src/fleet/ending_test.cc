// SPDX-License-Identifier: Apache-2.0
#include "fleet/ending.h"

#include <gtest/gtest.h>

#include <csignal>

namespace sluice::fleet {
namespace {

using namespace std::chrono_literals;
using model::EndKind;

TEST(EndKind, FailedMeansInErrorByItsOwnFaultWithNothingSettled) {
  struct Row {
    EndFacts facts;
    EndKind want;
  };
  const Row rows[] = {
      {{.exit_code = 0}, EndKind::succeeded},
      {{.exit_code = 0, .from_outside = true}, EndKind::lost},
      {{.exit_code = 1}, EndKind::failed},
      {{.exit_code = 1, .was_ready = true}, EndKind::failed},
      {{.exit_code = 1, .settled = 1}, EndKind::lost},
      {{.signal = SIGKILL}, EndKind::lost},
      {{.signal = SIGTERM}, EndKind::lost},
      {{.signal = SIGSEGV}, EndKind::failed},
      {{.signal = SIGABRT, .settled = 2}, EndKind::lost},
      {{}, EndKind::failed},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(end_kind(row.facts), row.want) << "row " << &row - rows;
  }
}

TEST(HasStarted, IsReadyOrSucceededOrTenSeconds) {
  EXPECT_TRUE(has_started({.exit_code = 1, .was_ready = true}));
  EXPECT_TRUE(has_started({.exit_code = 0}));
  EXPECT_TRUE(has_started({.exit_code = 1, .ran = 10s}));
  EXPECT_FALSE(has_started({.exit_code = 1, .ran = 9s}));
  EXPECT_FALSE(has_started({.signal = SIGKILL, .ran = 1s}));
}

TEST(FreeSlots, TheOneThatEndedLongestAgoComesFirstAfterThoseNeverUsed) {
  const Time t{1h};
  EXPECT_EQ(in_order_of_use({{0, t + 3s}, {1, t + 1s}, {2, std::nullopt}, {3, t + 2s}, {4, std::nullopt}}),
            (std::vector{2, 4, 1, 3, 0}));
}

}  // namespace
}  // namespace sluice::fleet
