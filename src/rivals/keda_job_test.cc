// SPDX-License-Identifier: Apache-2.0
// Rows derived by hand from docs/reference/rivals.md, whose steps and columns they name.
#include "rivals/keda_job.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "rivals/testing_rivals.h"

namespace sluice::rivals {
namespace {

using enum KedaStrategy;
constexpr std::int64_t least_int64 = std::numeric_limits<std::int64_t>::min();

struct Row {
  const char* line;  // of the reference
  KedaJobOptions options;
  KedaJobSeen seen;
  std::int64_t create = 0, queue_length = 0, max_scale = 0, effective = 0, scale_to = 0;
};

KedaJobOptions of(KedaStrategy strategy, std::int32_t most = 100, std::int32_t least = 0) {
  return {.strategy = strategy,
          .deduction = std::nullopt,
          .percentage = "",
          .calculation = KedaCalculation::max,
          .min_replicas = least,
          .max_replicas = most};
}
KedaJobOptions custom_of(std::int32_t deduction, const char* percentage, std::int32_t most = 100) {
  KedaJobOptions out = of(custom, most);
  out.deduction = deduction;
  out.percentage = percentage;
  return out;
}
KedaJobOptions over(KedaCalculation calculation) {
  KedaJobOptions out = of(by_default);
  out.calculation = calculation;
  return out;
}
KedaJobOptions open_end(std::optional<std::int32_t> least) {
  KedaJobOptions out = of(by_default);
  out.min_replicas = least;
  out.max_replicas.reset();
  return out;
}
KedaJobSeen queue(double length, std::int64_t running = 0, std::int64_t pending = 0, double target = 1) {
  return {.triggers = {{length, target, length > 0}}, .running = running, .pending = pending};
}
// Lengths 10, 4 and 0 at targets 5, 1 and 1, and one of 50 that is not active.
KedaJobSeen three() {
  return {.triggers = {{10, 5, true}, {4, 1, true}, {0, 1, true}, {50, 1, false}}, .running = 0, .pending = 0};
}

void check(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    SCOPED_TRACE(row.line);
    const KedaJobAnswer is = jobs_to_create(row.options, row.seen);
    EXPECT_EQ(is.create, row.create);
    EXPECT_EQ(is.queue_length, row.queue_length);
    EXPECT_EQ(is.max_scale, row.max_scale);
    EXPECT_EQ(is.effective_max_scale, row.effective);
    EXPECT_EQ(is.scale_to, row.scale_to);
  }
}

TEST(KedaScaledJob, StepOneATriggersLengthAndItsLimit) {
  check({{"m = min(q / T, M): below M", of(by_default), queue(20, 0, 0, 5), 4, 20, 4, 4, 20},
         {"m = min(q / T, M): M", of(by_default, 3), queue(20, 0, 0, 5), 3, 20, 3, 3, 20},
         {"m = 0 where T = 0", of(by_default), queue(20, 0, 0, 0), 0, 20, 0, 0, 20},
         {"a trigger that failed is not there: none is active", of(by_default), {}, 0, 0, 0, 0, 0}});
}

TEST(KedaScaledJob, StepTwoSeveralTriggers) {
  check(
      {{"max: the pair of the largest q", over(KedaCalculation::max), three(), 2, 10, 2, 2, 10},
       {"min: the smallest q, which may be 0", over(KedaCalculation::min), three(), 0, 0, 0, 0, 0},
       {"min: 0 first is replaced by whatever follows",
        over(KedaCalculation::min),
        {.triggers = {{0, 1, true}, {10, 5, true}}, .running = 0, .pending = 0},
        2,
        10,
        2,
        2,
        10},
       {"avg: over the three active ones, (14/3, 6/3) rounded up", over(KedaCalculation::avg), three(), 2, 5, 2, 2, 5},
       {"avg: none active",
        over(KedaCalculation::avg),
        {.triggers = {{5, 1, false}}, .running = 0, .pending = 0},
        0,
        0,
        0,
        0,
        0},
       {"sum", over(KedaCalculation::sum), three(), 6, 14, 6, 6, 14},
       {"sum: then m = min(m, M) again",
        {.strategy = by_default,
         .deduction = {},
         .percentage = "",
         .calculation = KedaCalculation::sum,
         .min_replicas = {},
         .max_replicas = 5},
        three(),
        5,
        14,
        5,
        5,
        14},
       {"max: a length of 0 is not active, though its trigger is",
        over(KedaCalculation::max),
        {.triggers = {{0, 1, true}}, .running = 0, .pending = 0},
        0,
        0,
        0,
        0,
        0},
       {"the ceiling of both: q 2.5 at 2", of(by_default), queue(2.5, 0, 0, 2), 2, 3, 2, 2, 3}});
}

TEST(KedaScaledJob, StepFourTheStrategies) {
  check({{"default: maxScale - run", of(by_default), queue(20, 5), 15, 20, 20, 15, 20},
         {"default: below 0 creates none", of(by_default), queue(3, 5), 0, 3, 3, -2, 3},
         {"default: ignores pending", of(by_default), queue(20, 5, 5), 15, 20, 20, 15, 20},
         {"custom: maxScale - deduction - trunc(run * pct): 20 - 1 - 2", custom_of(1, "0.5"), queue(20, 5), 17, 20, 20,
          17, 20},
         {"custom: at most M new ones, whatever runs", custom_of(0, "0", 10), queue(100, 120), 10, 100, 10, 10, 100},
         {"custom: a negative deduction adds, up to M", custom_of(-90, "0.5"), queue(20, 5), 20, 20, 20, 100, 20},
         {"custom: no number is default: 20 - 5", custom_of(1, "half"), queue(20, 5), 15, 20, 20, 15, 20},
         {"custom: no percentage is default", of(custom), queue(20, 5), 15, 20, 20, 15, 20},
         {"accurate: maxScale - pending", of(accurate), queue(20, 5, 3), 17, 20, 20, 17, 20},
         {"accurate: maxScale + run - pending at M is not above it", of(accurate, 22), queue(20, 5, 3), 17, 20, 20, 17,
          20},
         {"accurate: above M: M - run", of(accurate, 21), queue(20, 5, 3), 16, 20, 20, 16, 20},
         {"eager: min(M - run - pending, maxScale): maxScale", of(eager), queue(20, 5, 3), 20, 20, 20, 20, 100},
         {"eager: the rest; pending is in run and counts twice", of(eager, 20), queue(20, 5, 3), 12, 20, 20, 12, 20},
         {"eager: scaleTo is M, not the messages: T = 0.5", of(eager, 10), queue(3, 0, 0, 0.5), 6, 3, 6, 6, 10},
         {"default: scaleTo is the messages: T = 0.5", of(by_default, 10), queue(3, 0, 0, 0.5), 3, 3, 6, 6, 3}});
}

TEST(KedaScaledJob, TheBounds) {
  check({{"running < N: N - running, and the backlog waits", of(by_default, 100, 5), queue(50, 2), 3, 50, 50, 3, 3},
         {"N > 0 is always active", of(by_default, 100, 5), queue(0, 2), 3, 0, 0, 3, 3},
         {"N running ones are none: run = running - N, M = max - N", of(by_default, 100, 5), queue(200, 5), 95, 200, 95,
          95, 200},
         {"accurate with N: 95 - 10", of(accurate, 100, 5), queue(200, 15), 85, 200, 95, 85, 200},
         {"min > max: both are max", of(by_default, 10, 20), queue(50, 3), 7, 50, 10, 7, 7},
         {"min > max: so up to twice max", of(by_default, 10, 20), queue(50, 10), 10, 50, 10, 10, 50},
         {"max unset: M = 100 without subtracting N", open_end(5), queue(500, 5), 100, 500, 100, 100, 500},
         {"both unset", open_end(std::nullopt), queue(500, 0), 100, 500, 100, 100, 500}});
}

TEST(KedaScaledJob, APercentageIsReadAsGoReadsIt) {
  for (const auto& [text, is] : std::vector<std::pair<const char*, std::optional<double>>>{{"0.5", 0.5},
                                                                                           {"+.5", 0.5},
                                                                                           {"-1e-1", -0.1},
                                                                                           {"0x1p-1", 0.5},
                                                                                           {"Inf", HUGE_VAL},
                                                                                           {"-infinity", -HUGE_VAL},
                                                                                           {"", {}},
                                                                                           {"half", {}},
                                                                                           {"0.5 ", {}},
                                                                                           {"--1", {}},
                                                                                           {"+-1", {}},
                                                                                           {"0x1", {}},
                                                                                           {"1e999", {}},
                                                                                           {"50%", {}}}) {
    EXPECT_EQ(go_float(text), is) << text;
  }
  EXPECT_TRUE(std::isnan(go_float("NaN").value()));
  // int64 of an infinity is the least integer on amd64, and subtracting it wraps.
  EXPECT_EQ(jobs_to_create(custom_of(0, "inf"), queue(20, 5)).effective_max_scale, 20 + least_int64);
  EXPECT_EQ(jobs_to_create(custom_of(0, "nan"), queue(20, 5)).create, 0);
}

// The queue and the Jobs of the reference's table: 20 messages at once and 10 more after 60 s, a Job takes one message
// 20 s after it was created and 120 s for it, or ends when there is none. Polls are 10 s apart, M is 50.
struct Model {
  KedaJobOptions options;
  bool in_flight_counts = false;
  std::int64_t first = 20, second = 10;
  std::int64_t waiting = 0, in_work = 0, created = 0, wasted = 0, peak = 0, last_finished = 0;
  std::vector<std::int64_t> starts, ends;  // times to come, in seconds

  void move_to(std::int64_t now) {
    const std::size_t done = std::erase_if(ends, [now](std::int64_t at) { return at <= now; });
    in_work -= static_cast<std::int64_t>(done);
    last_finished = done > 0 ? now : last_finished;
    const std::size_t up = std::erase_if(starts, [now](std::int64_t at) { return at <= now; });
    for (std::size_t i = 0; i < up; ++i) {
      if (waiting == 0) {
        ++wasted;
        continue;
      }
      --waiting;
      ++in_work;
      ends.push_back(now + 120);
    }
  }
  void poll(std::int64_t now) {
    const auto pending = static_cast<std::int64_t>(starts.size());
    const auto length = static_cast<double>(waiting + (in_flight_counts ? in_work : 0));
    const std::int64_t more = jobs_to_create(options, queue(length, in_work + pending, pending)).create;
    created += more;
    starts.insert(starts.end(), static_cast<std::size_t>(more), now + 20);
    peak = std::max(peak, in_work + pending + more);
  }
  std::string run() {
    waiting = first;
    for (std::int64_t now = 0; now <= 1000; now += 10) {
      waiting += now == 60 ? second : 0;
      move_to(now);
      poll(now);
    }
    return std::to_string(created) + "/" + std::to_string(wasted) + "/" + std::to_string(peak) + "/" +
           std::to_string(last_finished);
  }
};

TEST(KedaScaledJob, WhatTheStrategiesMakeOfAMetric) {
  const auto ready = [](const KedaJobOptions& options) { return Model{.options = options}.run(); };
  const auto total = [](const KedaJobOptions& options) {
    return Model{.options = options, .in_flight_counts = true}.run();
  };
  EXPECT_EQ(ready(of(by_default, 50)), "30/0/20/280") << "starves: who works is taken for who will";
  EXPECT_EQ(total(of(by_default, 50)), "30/0/30/200");
  EXPECT_EQ(ready(custom_of(0, "0.5", 50)), "45/15/30/280");
  EXPECT_EQ(total(custom_of(0, "0.5", 50)), "151/121/52/190") << "above M";
  EXPECT_EQ(ready(of(accurate, 50)), "30/0/30/200");
  EXPECT_EQ(total(of(accurate, 50)), "160/130/50/180");
  EXPECT_EQ(ready(of(eager, 50)), "50/20/40/200");
  EXPECT_EQ(total(of(eager, 50)), "180/150/50/180");
  const KedaJobOptions all_new = custom_of(0, "0", 10);
  EXPECT_EQ((Model{.options = all_new, .in_flight_counts = true, .first = 100, .second = 0}.run()), "230/130/120/230")
      << "120 running with a maxReplicaCount of 10";
}

TEST(KedaScaledJob, APoolsJobsArePolled) {
  KedaScaledJob options{.keda = {.strategy = accurate}, .target = 1};
  const Bounds bounds{.min = 0, .max = 30, .concurrency = 1};
  KedaScaledJobState state;
  const auto at = [&](testing::Look look) { return step(options, bounds, testing::seen_of(look), state); };
  EXPECT_EQ(at({.at_s = 0, .ready = 8, .in_work = 2, .starting = 3, .busy = 2}).wanted, 5 + 7)
      << "10 messages, 3 pending";
  const policy::Proposal between = at({.at_s = 29, .ready = 50, .busy = 2});
  EXPECT_EQ(between.wanted, 2) << "between polls a Job that ended is not replaced";
  EXPECT_EQ(between.again_in_ms, 1000);
  const policy::Proposal next = at({.at_s = 30, .ready = 50, .in_work = 2, .busy = 2});
  EXPECT_EQ(next.sentence, "52 messages ask for 30, 2 running and 0 pending: accurate creates 28");
  EXPECT_EQ(next.word, model::Word::grow);
  EXPECT_EQ(at({.at_s = 60, .busy = 2}).word, model::Word::blind);
  EXPECT_EQ(at({.at_s = 90, .ready = 0, .busy = 2}).wanted, 2) << "nothing ends a Job";
  options.keda.max_replicas = 10;
  EXPECT_EQ(at({.at_s = 120, .ready = 50, .in_work = 2, .busy = 2}).wanted, 10) << "its own maximum, not the pool's";
}

}  // namespace
}  // namespace sluice::rivals
