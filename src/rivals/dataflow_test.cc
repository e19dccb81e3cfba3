// SPDX-License-Identifier: Apache-2.0
// Rows derived by hand from docs/reference/rivals.md.
#include "rivals/dataflow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rivals/testing_rivals.h"

namespace sluice::rivals {
namespace {

using ::testing::ElementsAre;

struct Row {
  const char* line;  // of the reference
  std::int64_t backlog_first = 0, backlog_last = 0;
  std::int64_t finished = 0;  // in the window of 100 s
  std::int64_t busy = 0, there = 0;
  std::optional<std::int64_t> next;  // empty: none
};

TEST(DataflowLike, OneWindow) {
  const std::optional<std::int64_t> none;
  for (const Row& row : std::vector<Row>{
           {"up: 10 finish and come a second, a worker does 2, 300 in 150 s are 2: 12/2", 300, 300, 1000, 5, 5, 6},
           {"up: 12 come, 450 in 150 s are 3: 15/2", 250, 450, 1000, 5, 5, 8},
           {"15 s are not more than 15 s", 150, 300, 1000, 5, 5, none},
           {"behind with CPUs at 20 % or less: none", 300, 300, 1000, 5, 25, none},
           {"behind with CPUs at 25 %, and 20 suffice", 300, 300, 1000, 5, 20, none},
           {"down: 5 busy are 75 % of 6.67", 0, 0, 1000, 5, 10, 7},
           {"down: only below 75 %", 0, 0, 1000, 6, 8, none},
           {"down: only below 10 s", 100, 0, 1000, 5, 10, none},
           {"between both", 120, 120, 1000, 5, 10, none},
           {"nothing to do: one is left", 0, 0, 0, 0, 10, 1},
           {"nothing to do and one: stays", 0, 0, 0, 0, 1, none},
           {"nothing finished: no throughput to divide by", 500, 500, 0, 5, 5, none},
           {"waiting and nobody busy: the same", 500, 500, 0, 0, 5, none}}) {
    SCOPED_TRACE(row.line);
    const std::vector<DataflowSample> samples = {
        {.at_ms = 0, .finished = 0, .backlog = row.backlog_first, .busy = row.busy, .there = row.there},
        {.at_ms = 100'000,
         .finished = row.finished,
         .backlog = row.backlog_last,
         .busy = row.busy,
         .there = row.there}};
    EXPECT_EQ(dataflow_workers({}, samples, row.there), row.next);
  }
}

TEST(DataflowLike, WaitsForAFullWindowAndBeginsAnewAfterAChange) {
  const Bounds bounds{.min = 0, .max = 7, .concurrency = 1};
  DataflowLikeState state;
  std::vector<std::int64_t> changes;
  for (std::int64_t s = 0; s <= 360; s += 5) {
    const std::int64_t before = state.workers.value_or(5);
    const policy::Proposal out =
        step({}, bounds, testing::seen_of({.at_s = s, .ready = 900, .busy = before, .acked = s * 10}), state);
    if (out.wanted != before) {
      changes.push_back(s);
      EXPECT_EQ(out.wanted, 7) << "8 by 10 and 6 a second at 2 each, within max";
    }
  }
  EXPECT_THAT(changes, ElementsAre(120));
  EXPECT_EQ(state.samples.front().at_ms, 235'000)
      << "one sample is kept that is as old as the window, and 8 is no change";
}

TEST(DataflowLike, AJobHasOneAndHoldsWhileBlind) {
  DataflowLikeState state;
  const Bounds bounds{.min = 0, .max = 7, .concurrency = 1};
  EXPECT_EQ(step({}, bounds, testing::seen_of({.acked = 1}), state).word, model::Word::blind);
  EXPECT_EQ(state.workers, 1);
  EXPECT_EQ(step({}, bounds, testing::seen_of({.at_s = 5, .ready = 5}), state).sentence,
            "the count of finished messages is unknown");
  EXPECT_EQ(step({}, bounds, testing::seen_of({.at_s = 10, .ready = 5, .acked = 3}), state).word, model::Word::grow);
}

}  // namespace
}  // namespace sluice::rivals
