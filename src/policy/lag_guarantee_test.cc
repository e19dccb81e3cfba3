// SPDX-License-Identifier: Apache-2.0
// What the lag policy promises of any arrivals: with unlimited capacity, a constant known start-up time H and a
// constant known service time, a longest wait of at least (1.5 H + tick) / 0.8 is kept for every message. The proof is
// in docs/explanation/lag-policy.md; here it is tried. A hundred sequences; SLUICE_SOAK=1 tries a thousand.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdlib>

#include "policy/lag_json.h"
#include "policy/testing_lag.h"

namespace sluice::policy {
namespace {

using testing::any_arrivals;
using testing::LagLine;
using testing::LagSetting;

bool soak() {
  return std::getenv("SLUICE_SOAK") != nullptr;
}
std::uint64_t sequences() {
  return soak() ? 1000 : 100;
}
double length_s() {
  return soak() ? 3600 : 900;
}

double between(Random& random, double least, double most) {
  return least + (most - least) * random.unit();
}

// In reach, by a little or by much.
LagSetting any_setting(Random& random) {
  LagSetting out;
  out.start_s = std::round(between(random, 1, 81));
  out.service_s = std::round(10 * std::pow(10.0, between(random, -0.5, 1.6))) / 10;
  out.tick_s = static_cast<double>(1 + random.below(10));
  const double least = (1.5 * out.start_s + out.tick_s) / 0.8;
  out.options.max_ms =
      static_cast<std::int64_t>(std::ceil(least * 1000 * (random.chance(0.5) ? 1 : between(random, 1, 3))));
  out.options.every_ms = std::llround(out.tick_s * 1000);
  out.options.cold_ms = std::llround(out.start_s * 1000);
  out.options.warm_ms = out.options.cold_ms;
  out.options.service_us = std::llround(out.service_s * 1e6);
  out.options.service_weight = 1'000'000'000;
  return out;
}

TEST(LagGuarantee, NoMessageIsLateWhereTheWaitIsInReach) {
  std::int64_t messages = 0;
  for (std::uint64_t seed = 1; seed <= sequences(); ++seed) {
    Random random(seed);
    const LagSetting setting = any_setting(random);
    std::vector<double> arrivals = any_arrivals(random, length_s());
    messages += static_cast<std::int64_t>(arrivals.size());
    LagLine line(setting, std::move(arrivals));
    while (!line.done()) {
      line.tick();
    }
    EXPECT_EQ(line.late, 0) << "seed " << seed << ": H " << setting.start_s << " s, service " << setting.service_s
                            << " s, tick " << setting.tick_s << " s, at most " << setting.options.max_ms
                            << " ms; the longest wait was " << line.longest << " s, with " << line.most << " workers";
  }
  EXPECT_GT(messages, 10'000);
}

// Written down and read back in the middle: the rounding of what is written is 0, so nothing later differs.
TEST(LagGuarantee, ARestartInTheMiddleChangesNoLaterDecision) {
  for (std::uint64_t seed = 1; seed <= sequences() / 5; ++seed) {
    Random random(seed);
    LagSetting setting = any_setting(random);
    setting.options.max_ms = static_cast<std::int64_t>(between(random, 5'000, 200'000));  // in reach or not
    setting.options.service_weight = 2;
    setting.options.slots = static_cast<std::int64_t>(1 + random.below(5));
    const std::vector<double> arrivals = any_arrivals(random, length_s());
    LagLine whole(setting, arrivals);
    LagLine restarted(setting, arrivals);
    restarted.before_decision = [&](LagMemory& memory) {
      if (random.below(40) == 0 && memory.step_ms > 0) {
        std::string text;
        append_json(text, memory);
        EXPECT_LE(text.size(), 16'384U);
        const Result<LagMemory> read = lag_memory_from_json(boost::json::parse(text), "$");
        ASSERT_TRUE(read) << read.error().what;
        EXPECT_EQ(*read, memory);
        memory = *read;
      }
    };
    while (!whole.done() && whole.now() < 3 * length_s()) {
      ASSERT_EQ(whole.tick(), restarted.tick()) << "seed " << seed << " at " << whole.now() << " s";
      ASSERT_EQ(whole.last.sentence, restarted.last.sentence);
      ASSERT_EQ(whole.last.enough, restarted.last.enough);
      ASSERT_LE(memory_size(whole.memory), 65'536U);
    }
  }
}

TEST(LagGuarantee, NeverMoreThanTheMaximum) {
  for (std::uint64_t seed = 1; seed <= sequences() / 5; ++seed) {
    Random random(seed);
    LagSetting setting = any_setting(random);
    setting.options.workers_max = static_cast<std::int64_t>(1 + random.below(20));
    setting.options.reserve = static_cast<std::int64_t>(random.below(5));
    LagLine line(setting, any_arrivals(random, length_s() / 3));
    while (!line.done() && line.now() < length_s()) {
      EXPECT_LE(line.tick(), setting.options.workers_max);
      EXPECT_LE(line.last.enough, setting.options.workers_max);
    }
    EXPECT_LE(line.most, setting.options.workers_max);
  }
}

TEST(LagGuarantee, MoreThatWaitsNeverMeansFewerWorkers) {
  std::int64_t rises = 0;
  for (std::uint64_t seed = 1; seed <= sequences() / 5; ++seed) {
    Random random(seed);
    LagSetting setting = any_setting(random);
    setting.options.max_ms = static_cast<std::int64_t>(between(random, 5'000, 200'000));
    LagLine line(setting, any_arrivals(random, length_s() / 3));
    while (!line.done() && line.now() < length_s()) {
      line.tick();
      model::Observation seen = line.seen();
      seen.starts.last_ms_ago = 100'000;
      std::int64_t before = -1;
      for (const std::int64_t more : {0, 1, 2, 5, 20, 100, 1000}) {
        model::Observation other = seen;
        other.queue.ready->n += more;
        const LagStep step = lag(setting.options, line.memory, other);
        ASSERT_GE(step.terms->target, before)
            << "seed " << seed << " at " << line.now() << " s with " << more << " more";
        rises += step.terms->target > before ? 1 : 0;
        before = step.terms->target;
      }
    }
  }
  EXPECT_GT(rises, 1000);
}

}  // namespace
}  // namespace sluice::policy
