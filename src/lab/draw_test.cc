// SPDX-License-Identifier: Apache-2.0
#include "lab/draw.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "lab/agenda.h"
#include "lab/arrivals.h"
#include "lab/math.h"

namespace sluice::lab {
namespace {

using namespace std::chrono_literals;
using ::testing::DoubleNear;

TEST(Math, AgreesWithTheStandardLibrary) {
  Random random(7);
  for (int i = 0; i < 20'000; ++i) {
    const double x = random.unit() * 1400 - 700;
    EXPECT_THAT(exp_of(x), DoubleNear(std::exp(x), 1e-12 * std::exp(x)));
    const double y = std::exp(random.unit() * 80 - 40);
    EXPECT_THAT(log_of(y), DoubleNear(std::log(y), 1e-13 + 1e-14 * std::abs(std::log(y))));
    EXPECT_THAT(sine(x), DoubleNear(std::sin(2 * std::acos(-1.0) * (x - std::floor(x))), 1e-11));
  }
  EXPECT_EQ(exp_of(-1000), 0);
  EXPECT_EQ(log_of(1), 0);
}

struct Moments {
  double mean = 0, deviation = 0;
};

Moments moments(const Times& times, const Files& files = {}) {
  const Draw draw(times, files);
  Random random(1);
  double sum = 0, squares = 0;
  constexpr int n = 200'000;
  for (int i = 0; i < n; ++i) {
    const double s = static_cast<double>(draw.next(random)) / 1e6;
    sum += s;
    squares += s * s;
  }
  return {sum / n, std::sqrt(std::max(0.0, squares / n - sum * sum / n / n))};
}

TEST(Draw, HasTheMeanAndDeviationThatWereSaid) {
  const Moments constant = moments({.mean = 2s});
  EXPECT_THAT(constant.mean, DoubleNear(2, 1e-9));
  EXPECT_THAT(constant.deviation, DoubleNear(0, 1e-3));
  const Moments lognormal = moments({.mean = 2s, .cv = pool::Decimal{1'500'000}});
  EXPECT_THAT(lognormal.mean, DoubleNear(2, 0.05));
  EXPECT_THAT(lognormal.deviation, DoubleNear(3, 0.25));
  const Moments uniform = moments({.least = 1s, .most = 3s});
  EXPECT_THAT(uniform.mean, DoubleNear(2, 0.01));
  EXPECT_THAT(uniform.deviation, DoubleNear(2 / std::sqrt(12), 0.01));
  const Moments exponentially = moments({.exponential = 2s});
  EXPECT_THAT(exponentially.mean, DoubleNear(2, 0.03));
  EXPECT_THAT(exponentially.deviation, DoubleNear(2, 0.03));
  Files files;
  files.quantiles["sizes.csv"] = {0, 10, 20};
  const Moments empirical = moments({.quantiles = "sizes.csv", .unit = 100ms}, files);
  EXPECT_THAT(empirical.mean, DoubleNear(1, 0.01));
}

TEST(Agenda, TakesEventsByTimeAndThenAsTheyCame) {
  Agenda agenda;
  Random random(3);
  for (std::uint32_t i = 0; i < 5000; ++i) {
    agenda.enter(static_cast<Us>(random.below(100)), Happens::arrival, 0, i);
  }
  Us last_at = 0;
  std::uint32_t last = 0;
  while (agenda.next_at() != never) {
    const Event event = agenda.take();
    ASSERT_GE(event.at, last_at);
    if (event.at == last_at && agenda.taken() > 1) {
      ASSERT_GT(event.subject, last);
    }
    last_at = event.at;
    last = event.subject;
  }
  EXPECT_EQ(agenda.taken(), 5000U);
}

std::vector<Us> all_within(const Arrivals& arrivals, Duration lasts, const Files& files = {}) {
  const auto made = generator(arrivals, files, Random(5));
  std::vector<Us> out;
  for (Us at = made->next(); at < to_us(lasts); at = made->next()) {
    out.push_back(at);
  }
  EXPECT_TRUE(std::ranges::is_sorted(out));
  return out;
}

double rate(const std::vector<Us>& all, Duration from, Duration to) {
  const auto n = std::ranges::count_if(all, [&](Us at) { return at >= to_us(from) && at < to_us(to); });
  return static_cast<double>(n) / to_s(to - from);
}

pool::Decimal a_second(std::int64_t n) {
  return {n * 1'000'000};
}

TEST(Arrivals, ComeAtTheRateTheyWereSaidToHave) {
  EXPECT_THAT(rate(all_within(Constant{.rate = a_second(6)}, 10h), 0h, 10h), DoubleNear(6, 0.1));
  const auto step = all_within(Steps{.base = a_second(3), .peak = a_second(30), .lasts = 8min}, 10h);
  EXPECT_THAT(rate(step, 1h + 10min, 1h + 18min), DoubleNear(30, 1));
  EXPECT_THAT(rate(step, 1h + 18min, 2h + 10min), DoubleNear(3, 0.2));
  const auto ramp = all_within(Ramp{.from = a_second(0), .to = a_second(20), .lasts = 1h}, 2h);
  EXPECT_THAT(rate(ramp, 0h, 1h), DoubleNear(10, 0.3));
  EXPECT_THAT(rate(ramp, 1h, 2h), DoubleNear(20, 0.5));
  const auto day = all_within(Diurnal{.least = a_second(1), .most = a_second(19), .period = 10h}, 10h);
  EXPECT_THAT(rate(day, 0h, 10h), DoubleNear(10, 0.3));
  EXPECT_THAT(rate(day, 4h + 54min, 5h + 6min), DoubleNear(19, 1));
  EXPECT_THAT(rate(day, 0h, 6min), DoubleNear(1, 0.5));
}

TEST(Arrivals, OfACrowdRiseAndDecay) {
  const auto crowd = all_within(Flash{.base = a_second(2), .peak = a_second(200), .first = 1h, .rise = 1min}, 3h);
  EXPECT_THAT(rate(crowd, 0h, 1h), DoubleNear(2, 0.2));
  EXPECT_THAT(rate(crowd, 1h, 1h + 1min), DoubleNear(101, 5));
  EXPECT_THAT(rate(crowd, 1h + 11min, 1h + 11min + 30s), DoubleNear(2 + 198 / 2.718, 6));
}

TEST(Arrivals, OfABatchComeTogetherAndOfTwoRatesTakeTurns) {
  const auto batch = all_within(Batch{.size = 400, .first = 10min, .every = 20min}, 1h);
  EXPECT_EQ(batch.size(), 1200U);
  EXPECT_EQ(batch.front(), to_us(10min));
  EXPECT_EQ(batch[399], batch.front());
  const auto mmpp =
      all_within(Mmpp{.high = a_second(12), .low = a_second(2), .high_lasts = 45s, .low_lasts = 90s}, 100h);
  EXPECT_THAT(rate(mmpp, 0h, 100h), DoubleNear((12 * 45 + 2 * 90) / 135.0, 0.2));
}

TEST(Arrivals, OfATraceKeepTheirBinsScaledAndCompressed) {
  Files files;
  files.traces["a.csv"] = {{0s, 100}, {60s, 0}, {120s, 300}};
  const auto all = all_within(Trace{.file = "a.csv", .compress = 2, .scale = pool::Decimal{500'000}}, 1h, files);
  EXPECT_EQ(all.size(), 200U);
  EXPECT_EQ(rate(all, 0s, 30s), 50 / 30.0);
  EXPECT_EQ(rate(all, 30s, 60s), 0);
  EXPECT_EQ(rate(all, 60s, 90s), 5);
}

}  // namespace
}  // namespace sluice::lab
