// SPDX-License-Identifier: Apache-2.0
// Rows derived by hand from docs/reference/rivals.md.
#include "rivals/flink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "rivals/testing_rivals.h"

namespace sluice::rivals {
namespace {

using ::testing::ElementsAre;
using namespace std::chrono_literals;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinite = std::numeric_limits<double>::infinity();
constexpr std::int64_t now_ms = 10'000'000;

TEST(FlinkLike, TheThreeTermsOfTheCapacity) {
  const FlinkLike options;  // catch up in 1800 s, restart in 300 s
  EXPECT_EQ(flink_capacity(options, 3600, 10, 0.5, false), 22) << "3600/1800 + 10/0.5";
  EXPECT_EQ(flink_capacity(options, 3600, 10, 0.5, true), 24) << "and 10 * 300/1800, rounded: 23.67";
  EXPECT_EQ(flink_capacity({.catch_up = 0s}, 3600, 10, 0.5, true), 20) << "no catching up, no restart";
  EXPECT_EQ(flink_capacity(options, 0, 0.2, 0.5, false), 0) << "less than half a record a second is none";
  EXPECT_EQ(flink_capacity(options, 0, 10, 1.2, false), 10) << "a utilization is at most 1";
  EXPECT_EQ(flink_capacity(options, 0, 10, -0.1, true), infinite) << "and of 0 it never suffices";
  EXPECT_TRUE(std::isnan(flink_capacity(options, 0, nan, 0.5, false)));
}

struct Row {
  const char* line;  // of the reference
  FlinkMetrics metrics;
  std::int64_t current = 10;
  std::optional<std::int64_t> next;  // empty: none
};

// 70 % of 100: the capacity is round(lag/1800 + rate/6 + rate/0.7). Scale-downs are not delayed.
TEST(FlinkLike, FromTheCapacityToTheParallelism) {
  const FlinkLike options{.scale_down_interval = 0s};
  const auto of = [](double lag, double rate, double can, double up, double down) {
    return FlinkMetrics{.lag = lag, .target_rate = rate, .true_rate = can, .up_threshold = up, .down_threshold = down};
  };
  const std::optional<std::int64_t> none;
  for (const Row& row :
       std::vector<Row>{{"up: ceil(10 * 160/100)", of(0, 100, 100, 101, 300), 10, 16},
                        {"within the bounds of the utilization: not", of(0, 100, 100, 100, 300), 10, none},
                        {"lag alone: ceil(10 * 100/50)", of(180'000, 0, 50, 100, 100), 10, 20},
                        {"down: ceil(10 * 80/160)", of(0, 50, 160, 50, 150), 10, 5},
                        {"down by 60 % at the most", of(0, 1, 1000, 1, 3), 10, 4},
                        {"nothing comes: it could do infinitely much", of(0, 0, infinite, 0, 0), 10, 4},
                        {"up to max", of(0, 100, 1, 100, 300), 10, 40},
                        {"above max it stays, and comes down to min", of(0, 100, 1, 100, 300), 50, none},
                        {"one stays one", of(0, 0, infinite, 0, 0), 1, none},
                        {"rounded up to what there is: none", of(0, 100, 165, 170, 300), 10, none},
                        {"the true rate is unknown", of(0, 100, nan, 100, 300), 10, none},
                        {"the rate is unknown", of(0, nan, 100, nan, nan), 10, none}}) {
    SCOPED_TRACE(row.line);
    FlinkLikeState state;
    state.parallelism = row.current;
    EXPECT_EQ(flink_scale(options, {.min = 0, .max = 40}, row.metrics, now_ms, state), row.next);
  }
}

TEST(FlinkLike, AScaleDownIsTheHighestWishOfAnHour) {
  const FlinkLike options;
  const Bounds bounds{.min = 0, .max = 40};
  FlinkLikeState state;
  state.parallelism = 10;
  const auto wish = [&](std::int64_t at_s, double rate, bool outside) {
    const FlinkMetrics metrics{
        .lag = 0, .target_rate = rate, .true_rate = 160, .up_threshold = 0, .down_threshold = outside ? 150.0 : 170.0};
    return flink_scale(options, bounds, metrics, at_s * 1000, state);
  };
  EXPECT_EQ(wish(0, 50, true), std::nullopt) << "5";
  EXPECT_EQ(wish(600, 70, true), std::nullopt) << "7: the 5 before it can never be the highest";
  EXPECT_EQ(state.down.size(), 1U);
  EXPECT_EQ(wish(1200, 60, false), std::nullopt) << "6";
  EXPECT_EQ(wish(3599, 50, true), std::nullopt);
  EXPECT_EQ(wish(3600, 50, true), 7) << "an hour after the first wish";
  EXPECT_THAT(state.down, ElementsAre()) << "begins anew after a change";
  state.parallelism = 10;
  EXPECT_EQ(wish(4000, 60, false), std::nullopt);
  EXPECT_EQ(wish(7600, 50, true), std::nullopt) << "the highest is of 4000 s, when it was within the bounds";
  EXPECT_EQ(wish(7601, 50, true), 5) << "that one is more than an hour old now";
  EXPECT_EQ(wish(8000, 50, true), std::nullopt);
  EXPECT_EQ(wish(8100, 100, true), std::nullopt) << "10 is no change, and forgets them";
  EXPECT_EQ(wish(11'600, 50, true), std::nullopt) << "so the hour begins here";
  EXPECT_EQ(wish(15'200, 50, true), 5);
}

FlinkSample at(std::int64_t at_s, std::int64_t records, std::int64_t lag, std::int64_t load_percent,
               std::optional<std::int64_t> observed = std::nullopt) {
  return {.at_ms = at_s * 1000,
          .records = records,
          .lag = lag,
          .load_millionths = load_percent * 10'000,
          .observed = observed};
}

TEST(FlinkLike, TheRatesOfAWindow) {
  const FlinkLike options;
  const FlinkMetrics m = flink_metrics(options, {at(0, 0, 0, 40), at(60, 500, 30, 60), at(100, 1000, 100, 50)});
  EXPECT_EQ(m.target_rate, 11) << "10 finished a second, and the lag grows by 1";
  EXPECT_EQ(m.true_rate, 20) << "10 a second at half load";
  EXPECT_EQ(m.up_threshold, 11) << "100/1800 + 11/1.0";
  EXPECT_EQ(m.down_threshold, 29) << "and 11/6 + 11/0.4 = 29.39";
  const FlinkMetrics behind = flink_metrics(options, {at(0, 0, 4000, 50), at(100, 1000, 3001, 50)});
  EXPECT_EQ(behind.down_threshold, infinite) << "300.1 s behind: never down";
  EXPECT_EQ(flink_metrics(options, {at(0, 0, 4000, 50), at(100, 1000, 3000, 50)}).down_threshold, 2);
  EXPECT_EQ(flink_metrics(options, {at(0, 0, 0, 0), at(100, 0, 0, 0)}).true_rate, infinite) << "nothing comes";
}

TEST(FlinkLike, TheTrueRateIsTheObservedOneWhereThatIsMuchLess) {
  const FlinkLike options;
  const auto rate = [&](std::int64_t first, std::optional<std::int64_t> second) {
    return flink_metrics(options, {at(0, 0, 900, 50, first), at(100, 1000, 900, 50, second)}).true_rate;
  };
  EXPECT_EQ(rate(17'000'000, 17'000'000), 17) << "20 is above 17 * 1.15 = 19.55";
  EXPECT_EQ(rate(18'000'000, 18'000'000), 20) << "and not above 18 * 1.15 = 20.7";
  EXPECT_EQ(rate(10'000'000, std::nullopt), 20) << "one observation is none";
  EXPECT_EQ(rate(-1, -1), 20) << "infinite ones are above it";
  EXPECT_EQ(flink_metrics(options, {at(0, 0, 0, 50, 9'000'000), at(100, 0, 0, 50, 9'000'000)}).true_rate, 9)
      << "nothing comes, so only what was observed is known";
}

// A job whose workers are there at once, looked at every 30 s, with 10 messages a second that take 2 s each.
struct Job {
  FlinkLike options = {};
  Bounds bounds{.min = 0, .max = 100, .concurrency = 1};
  FlinkLikeState state = {};
  std::int64_t workers = 0, acked = 0, lag = 0;
  std::int64_t at_s = 0;
  policy::Proposal last = {};

  std::vector<std::int64_t> until(std::int64_t then_s, std::int64_t come) {
    std::vector<std::int64_t> sizes;
    for (; at_s < then_s; at_s += 30) {
      const std::int64_t done = std::min(lag + come * 30, workers * 15);
      lag += come * 30 - done;
      acked += done;
      const std::int64_t busy = std::min(workers, (done + 14) / 15);
      last =
          step(options, bounds,
               testing::seen_of({.at_s = at_s, .ready = lag, .running = workers - busy, .busy = busy, .acked = acked}),
               state);
      if (last.wanted != workers) {
        workers = last.wanted;
        sizes.push_back(workers);
      }
    }
    return sizes;
  }
};

TEST(FlinkLike, WaitsForItsWindowsAndThenGoesThereInOneStep) {
  Job job;
  EXPECT_THAT(job.until(30, 0), ElementsAre(1)) << "a job has one at the least";
  // One worker does 0.5 a second. The job runs from 30 s on, is stable from 330 s on, and its window full at 1230 s.
  EXPECT_THAT(job.until(1230, 10), ElementsAre());
  // Then: 11400 messages behind, 10 come a second: round(11685/1800 + 10/6 + 10/0.7) = 22, and it does 0.5.
  EXPECT_THAT(job.until(1260, 10), ElementsAre(44));
  EXPECT_THAT(job.until(2000, 10), ElementsAre()) << "stabilizes, and fills its window";
}

TEST(FlinkLike, WaitsForTheWorkersOrTheRestartTime) {
  const FlinkLike options;
  const Bounds bounds{.min = 3, .max = 9, .concurrency = 1};
  FlinkLikeState state;
  const auto at_s = [&](std::int64_t s, std::int64_t there) {
    return step(options, bounds, testing::seen_of({.at_s = s, .ready = 1, .running = there, .acked = 0}), state);
  };
  EXPECT_EQ(at_s(0, 0).sentence, "1 message lags; the job restarts");
  EXPECT_EQ(at_s(299, 2).sentence, "1 message lags; the job restarts");
  EXPECT_EQ(at_s(300, 2).sentence, "1 message lags; the window is not full");
  EXPECT_EQ(state.running_ms, 300'000);
}

TEST(FlinkLike, HoldsWhileBlind) {
  FlinkLikeState state;
  const Bounds bounds{.min = 0, .max = 9, .concurrency = 1};
  EXPECT_EQ(step({}, bounds, testing::seen_of({.busy = 4, .acked = 1}), state).word, model::Word::blind);
  EXPECT_EQ(step({}, bounds, testing::seen_of({.ready = 5, .busy = 4}), state).sentence,
            "the count of finished messages is unknown");
  EXPECT_EQ(state.parallelism, 4);
}

}  // namespace
}  // namespace sluice::rivals
