// SPDX-License-Identifier: Apache-2.0
// Rows derived by hand from docs/reference/rivals.md, whose letters they name.
#include "rivals/keda_object.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rivals/testing_rivals.h"

namespace sluice::rivals {
namespace {

using ::testing::ElementsAre;
using namespace std::chrono_literals;

struct Row {
  const char* line;  // of the reference
  std::int64_t min = 0;
  std::optional<std::int64_t> idle;
  std::int64_t replicas = 0;
  std::optional<std::int64_t> length;  // empty: the trigger failed
  std::int64_t since_active_s = -1;    // -1: never
  std::optional<std::int64_t> set;     // empty: left as it is
  bool refreshes = false;              // lastActiveTime
};

// Created at 0, polled at 1000 s, active above 2, cooldown 300 s, initial cooldown 600 s.
TEST(KedaScaledObject, APollDecides) {
  const KedaScaledObject defaults{
      .activation = 2, .idle_replicas = {}, .initial_cooldown_period = 600s, .behavior = std::nullopt};
  const std::optional<std::int64_t> none;
  for (const Row& row : std::vector<Row>{
           {"a: active at 0 wakes to max(1, min) and not to the need", 0, none, 0, 900, -1, 1, true},
           {"a: active at 0 with a minimum", 3, none, 0, 900, -1, 3, true},
           {"a: idle mode below the minimum", 3, 1, 1, 900, 10, 3, true},
           {"a: idle mode at the minimum", 3, 1, 3, 900, 10, none, true},
           {"a: without idle mode below the minimum the HPA raises it", 3, none, 1, 900, 10, none, true},
           {"c: active and awake refreshes", 0, none, 4, 3, 10, none, true},
           {"activation is strict: 2 is not above 2", 0, none, 0, 2, -1, none, false},
           {"e: a failing trigger holds, however long ago it was active", 0, none, 4, none, 900, none, false},
           {"f: asleep after the cooldown", 0, none, 4, 0, 301, 0, false},
           {"f: strictly after it", 0, none, 4, 0, 300, none, false},
           {"f: never active, so after the initial cooldown", 0, none, 4, 0, -1, 0, false},
           {"f: to idle", 3, 1, 4, 0, 301, 1, false},
           {"f: idle of 0 with a minimum", 3, 0, 4, 0, 301, 0, false},
           {"f: already idle", 3, 1, 1, 0, 301, none, false},
           {"f: not with a minimum", 3, none, 4, 0, 301, none, false},
           {"g: below the minimum", 3, none, 2, 0, 301, 3, false},
           {"g: not in idle mode", 3, 1, 0, 0, 301, none, false},
           {"else nothing", 0, none, 0, 0, 301, none, false}}) {
    SCOPED_TRACE(row.line);
    KedaScaledObject options = defaults;
    options.idle_replicas = row.idle;
    KedaScaledObjectState state;
    state.created_ms = 0;
    state.replicas = row.replicas;
    if (row.since_active_s >= 0) {
      state.active_ms = 1'000'000 - row.since_active_s * 1000;
    }
    const std::optional<std::int64_t> before = state.active_ms;
    EXPECT_EQ(poll(options, {.min = row.min, .max = 10}, row.length, 1'000'000, state), row.set);
    EXPECT_EQ(state.active_ms, row.refreshes ? std::optional<std::int64_t>(1'000'000) : before);
  }
}

TEST(KedaScaledObject, TheInitialCooldownIsStrictToo) {
  const KedaScaledObject options{.idle_replicas = {}, .initial_cooldown_period = 600s, .behavior = std::nullopt};
  for (const auto& [at_s, set] : std::vector<std::pair<std::int64_t, bool>>{{600, false}, {601, true}}) {
    KedaScaledObjectState state;
    state.created_ms = 0;
    state.replicas = 4;
    EXPECT_EQ(poll(options, {.min = 0, .max = 10}, 0, at_s * 1000, state).has_value(), set) << at_s;
  }
}

// A workload that starts what it is told at once, looked at every 5 s.
struct Workload {
  KedaScaledObject options;
  Bounds bounds{.min = 0, .max = 50, .concurrency = 1};
  KedaScaledObjectState state = {};
  std::int64_t replicas = 0;
  std::int64_t at_s = 0;
  policy::Proposal last = {};

  // The sizes at every change until then.
  std::vector<std::int64_t> until(std::int64_t then_s, std::optional<std::int64_t> length) {
    std::vector<std::int64_t> sizes;
    for (; at_s < then_s; at_s += 5) {
      last = step(options, bounds, testing::seen_of({.at_s = at_s, .ready = length, .running = replicas}), state);
      if (last.wanted != replicas) {
        replicas = last.wanted;
        sizes.push_back(replicas);
      }
    }
    return sizes;
  }
};

TEST(KedaScaledObject, WakesGrowsByTheHpaCoolsDownAndSleeps) {
  Workload w{.options = {.idle_replicas = {}, .behavior = std::nullopt}};
  EXPECT_THAT(w.until(15, 0), ElementsAre());
  EXPECT_THAT(w.until(30, 100), ElementsAre()) << "it polls every 30 s";
  // 100 messages at 5 a pod are 20. Woken to 1 at 30 s, and the HPA syncs there too: 4, 8, 16, 20.
  EXPECT_THAT(w.until(90, 100), ElementsAre(4, 8, 16, 20));
  EXPECT_EQ(w.state.active_ms, 60'000) << "polls at 30 and 60 s";
  // From 90 s on empty. The HPA's lowest is 1, once the recommendations of 20 are more than 300 s old: the last is of
  // 75 s, so at 390 s. KEDA's last poll that was active is of 60 s, and 360 s are not more than 300 s after it.
  EXPECT_THAT(w.until(365, 0), ElementsAre());
  EXPECT_THAT(w.until(600, 0), ElementsAre(0)) << "at 390 s KEDA is first";
  EXPECT_THAT(w.last.sentence, ::testing::HasSubstr("0 messages"));
}

TEST(KedaScaledObject, WakesToOneWhereTheHpaSyncsLater) {
  Workload w{.options = {.idle_replicas = {}, .polling_interval = 20s, .behavior = std::nullopt}};
  EXPECT_THAT(w.until(20, 0), ElementsAre());
  EXPECT_THAT(w.until(30, 100), ElementsAre(1)) << "polled at 20 s; syncs are at 15 and 30 s";
  EXPECT_THAT(w.until(35, 100), ElementsAre(4));
}

TEST(KedaScaledObject, HoldsWhileTheTriggerFails) {
  Workload w{.options = {.idle_replicas = {}, .behavior = std::nullopt}};
  EXPECT_THAT(w.until(90, 100), ElementsAre(4, 8, 16, 20));
  EXPECT_THAT(w.until(1000, std::nullopt), ElementsAre());
  EXPECT_EQ(w.last.word, model::Word::blind);
  EXPECT_EQ(w.last.wanted, 20);
}

TEST(KedaScaledObject, AValueTargetAndABehaviorReachTheHpa) {
  policy::HpaBehavior slow;
  slow.scale_up =
      policy::HpaRules{.window_s = {},
                       .select = {},
                       .limits = std::vector<policy::HpaLimit>{{.percent = false, .value = 1, .period_s = 60}},
                       .tolerance = {}};
  Workload w{
      .options = {
          .target_milli = 50'000, .target_type = policy::HpaTargetType::value, .idle_replicas = {}, .behavior = slow}};
  EXPECT_THAT(w.until(125, 100), ElementsAre(1, 2, 3))
      << "woken at 0 s, when the HPA has no ready pod to multiply; twice that by 100/50 at 15 s; one pod a minute";
}

TEST(KedaScaledObject, FindsWorkersAndKeepsThem) {
  Workload w{.options = {.idle_replicas = {}, .initial_cooldown_period = 60s, .behavior = std::nullopt}, .replicas = 7};
  EXPECT_THAT(w.until(61, 0), ElementsAre()) << "the recommendation of the first sync is what is there";
  EXPECT_THAT(w.until(95, 0), ElementsAre(0)) << "never active: after the initial cooldown, at the poll of 90 s";
}

}  // namespace
}  // namespace sluice::rivals
