// SPDX-License-Identifier: Apache-2.0
#include "aio/crew.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace sluice::aio {
namespace {

TEST(Crew, WorksOnEveryPieceOnceAndTellsOnTheLoop) {
  Loop loop;
  RealClock clock(loop);
  std::vector<int> worked(100);
  std::vector<std::size_t> told;
  loop.run(work_together(loop, clock,
                         {.pieces = worked.size(),
                          .threads = 4,
                          .work = [&worked](std::size_t piece) { ++worked[piece]; },
                          .done = [&told](std::size_t piece) { told.push_back(piece); }}));
  EXPECT_THAT(worked, ::testing::Each(1));
  EXPECT_THAT(told, ::testing::SizeIs(worked.size()));
}

TEST(Crew, OfNothingIsDoneAtOnce) {
  Loop loop;
  RealClock clock(loop);
  int told = 0;
  loop.run(work_together(
      loop, clock, {.pieces = 0, .threads = 4, .work = [](std::size_t) {}, .done = [&told](std::size_t) { ++told; }}));
  EXPECT_EQ(told, 0);
}

}  // namespace
}  // namespace sluice::aio
