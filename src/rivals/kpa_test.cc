// SPDX-License-Identifier: Apache-2.0
// Rows derived by hand from docs/reference/rivals.md.
#include "rivals/kpa.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rivals/testing_rivals.h"

namespace sluice::rivals {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::int64_t now_ms = 1'000'000;
constexpr std::optional<std::int64_t> calm;

struct Row {
  const char* line;  // of the reference
  double stable = 0, panic = 0;
  std::int64_t ready = 0;
  std::optional<std::int64_t> panic_since_s;  // before; empty: calm
  std::int64_t panic_pods = 0;                // before
  std::int32_t pods = 0;
  bool panics = false;  // afterwards
};

// Target 10 at 70 %: 7 a pod.
TEST(KnativeKpa, Scale) {
  const KnativeKpa options{.target_milli = 10'000};
  for (const Row& row : std::vector<Row>{{"ceil(stable / target)", 15, 15, 2, calm, 0, 3, false},
                                         {"no pods count as one", 7, 7, 0, calm, 0, 1, false},
                                         {"panic at the threshold: ceil(22 / 7) / 2 = 2", 15, 22, 2, calm, 0, 4, true},
                                         {"panic takes the larger of both", 50, 22, 2, calm, 0, 8, true},
                                         {"down at most to floor(ready / 2)", 7, 7, 9, calm, 0, 4, false},
                                         {"up at most to ceil(1000 * ready)", 100'000, 1, 1, calm, 0, 1000, false},
                                         {"in panic never down", 7, 7, 9, 30, 9, 9, true},
                                         {"in panic up", 70, 70, 9, 30, 9, 10, true},
                                         {"panic ends only after more than the stable window", 7, 7, 9, 60, 9, 9, true},
                                         {"panic ends", 7, 7, 9, 61, 9, 4, false},
                                         {"panic goes on while over", 7, 140, 9, 61, 9, 20, true},
                                         {"nothing at all", 0, 0, 1, calm, 0, 0, false}}) {
    SCOPED_TRACE(row.line);
    KnativeKpaState state;
    state.panic_pods = row.panic_pods;
    if (row.panic_since_s) {
      state.panic_ms = now_ms - *row.panic_since_s * 1000;
    }
    EXPECT_EQ(kpa_desired(options, {.min = 0, .max = 5000}, row.stable, row.panic, row.ready, now_ms, state).pods,
              row.pods);
    EXPECT_EQ(state.panic_ms.has_value(), row.panics);
    EXPECT_EQ(state.panic_pods, row.panics ? row.pods : 0);
  }
}

TEST(KnativeKpa, TheTargetIsWhatAWorkerTakesAtOnce) {
  KnativeKpaState state;
  const Bounds bounds{.min = 0, .max = 100, .concurrency = 4};
  EXPECT_EQ(kpa_desired({}, bounds, 28, 0, 10, now_ms, state).pods, 10) << "70 % of 4";
  EXPECT_EQ(kpa_desired({.utilization_percent = 100}, bounds, 28, 0, 7, now_ms, state).pods, 7);
  EXPECT_EQ(kpa_desired({.target_milli = 1}, bounds, 1, 0, 200, now_ms, state).pods, 100) << "0.01 at the least";
}

struct Zero {
  const char* line;  // of the reference
  KpaActivity activity = KpaActivity::inactive;
  std::int64_t for_s = 0;
  std::int64_t desired = 0, ready = 0, replicas = 0;
  std::int64_t want = 0;
  KpaActivity after = KpaActivity::inactive;
};

TEST(KnativeKpa, ScaleToZero) {
  using enum KpaActivity;
  for (const Zero& row : std::vector<Zero>{
           {"active for less than the stable window: at most 1", active, 59, 0, 5, 5, 1, active},
           {"active for the stable window: inactive, and nothing changes", active, 60, 0, 5, 5, 5, inactive},
           {"inactive for less than the grace period", inactive, 29, 0, 1, 1, 1, inactive},
           {"inactive for the grace period", inactive, 30, 0, 1, 1, 0, inactive},
           {"activating waits", activating, 630, 0, 0, 1, 1, activating},
           {"activating gives up after progress-deadline and 30 s", activating, 631, 0, 0, 1, 0, inactive},
           {"work wakes it", inactive, 10, 3, 0, 0, 3, activating},
           {"a ready pod makes it active", activating, 10, 3, 1, 3, 3, active},
           {"without a ready pod it activates again", active, 10, 3, 0, 3, 3, activating}}) {
    SCOPED_TRACE(row.line);
    KnativeKpaState state;
    state.activity = row.activity;
    state.since_ms = now_ms - row.for_s * 1000;
    state.replicas = row.replicas;
    kpa_apply({}, {.min = 0, .max = 10}, row.desired, row.ready, now_ms, state);
    EXPECT_EQ(state.replicas, row.want);
    EXPECT_EQ(state.activity, row.after);
    EXPECT_EQ(state.since_ms, row.after == row.activity ? now_ms - row.for_s * 1000 : now_ms);
  }
  KnativeKpaState retained{.levels = {}, .activity = inactive, .since_ms = now_ms - 99'000, .replicas = 1};
  kpa_apply({.pod_retention = std::chrono::seconds{100}}, {.min = 0, .max = 10}, 0, 1, now_ms, retained);
  EXPECT_EQ(retained.replicas, 1) << "scale-to-zero-pod-retention-period";
}

TEST(KnativeKpa, WindowsAreOfWholeSecondsThatHoldTheLastLevel) {
  KnativeKpaState state;
  state.first_ms = 0;
  state.levels = {{0, 10}, {50'000, 20}, {58'000, 40}};
  using std::chrono_literals::operator""s;
  EXPECT_EQ(kpa_average(state, 6s, 60'000), 30) << "60, 59, 58 s: 40; 57, 56, 55 s: 20";
  EXPECT_EQ(kpa_average(state, 60s, 60'000), 12.833333) << "3 * 40 + 8 * 20 + 49 * 10, to six digits";
  state.first_ms = 57'000;
  state.levels = {{57'000, 20}, {58'000, 40}};
  EXPECT_EQ(kpa_average(state, 60s, 60'000), 35) << "as much as there is: four seconds";
}

// A service whose pods are ready five seconds later.
struct Service {
  KnativeKpa options = {};
  Bounds bounds{.min = 0, .max = 100, .concurrency = 1};
  KnativeKpaState state = {};
  std::int64_t pods = 0;
  std::int64_t at_s = 0;
  policy::Proposal last = {};

  std::vector<std::int64_t> until(std::int64_t then_s, std::optional<std::int64_t> concurrency) {
    std::vector<std::int64_t> sizes;
    for (; at_s < then_s; at_s += 5) {
      last = step(options, bounds, testing::seen_of({.at_s = at_s, .ready = concurrency, .running = pods}), state);
      if (last.wanted != pods) {
        pods = last.wanted;
        sizes.push_back(pods);
      }
    }
    return sizes;
  }
};

TEST(KnativeKpa, PanicsHoldsCalmsDownAndGoesToZero) {
  Service s;
  EXPECT_THAT(s.until(60, 0), ElementsAre());
  // At 60 s one second of 61, of which 60 count, has 14; of the 6 s window one of six: 14/6/0.7 = 3.3, twice 1 pod.
  EXPECT_THAT(s.until(65, 14), ElementsAre(4));
  EXPECT_THAT(s.last.sentence, HasSubstr("in panic"));
  // At 65 s six of six: 20. 20 is twice 4, so it panics on; at 70 s 20 is not twice 20, so that is until 125 s at most.
  EXPECT_THAT(s.until(100, 14), ElementsAre(20));
  EXPECT_THAT(s.until(125, 0), ElementsAre()) << "never down in panic";
  EXPECT_EQ(s.state.panic_ms, 65'000);
  // Calm at 130 s. Of its 60 s, 71 to 99 have 14: 406/60/0.7 = 9.7, and half of 20 is 10.
  EXPECT_THAT(s.until(135, 0), ElementsAre(10));
  // From 135 s on 24, 19, 14 and 9 seconds have 14: 8, 6.3, 4.7 and 2.1/0.7, which is just above 3 in doubles.
  EXPECT_THAT(s.until(155, 0), ElementsAre(8, 7, 5, 4));
  // Active since 65 s, so for 60 s when the average is 0 after 160 s; inactive then, and at zero 30 s later.
  EXPECT_THAT(s.until(190, 0), ElementsAre(2, 1));
  EXPECT_THAT(s.until(300, 0), ElementsAre(0));
}

TEST(KnativeKpa, HoldsWhileBlind) {
  Service s;
  EXPECT_THAT(s.until(65, 14), ElementsAre(20));
  EXPECT_THAT(s.until(300, std::nullopt), ElementsAre());
  EXPECT_EQ(s.last.word, model::Word::blind);
  EXPECT_EQ(s.last.wanted, 20);
}

TEST(KnativeKpa, ANewAutoscalerOfSeveralPodsBeginsInPanic) {
  Service s;
  s.pods = 6;
  EXPECT_THAT(s.until(65, 0), ElementsAre()) << "none goes within the stable window";
  EXPECT_THAT(s.until(70, 0), ElementsAre(3));
}

TEST(KnativeKpa, ATickIsTwoSeconds) {
  KnativeKpaState state;
  const Bounds bounds{.min = 0, .max = 100, .concurrency = 1};
  EXPECT_EQ(step({}, bounds, testing::seen_of({.at_s = 0, .ready = 7}), state).wanted, 10);
  EXPECT_EQ(step({}, bounds, testing::seen_of({.at_s = 1, .ready = 70}), state).wanted, 10);
  EXPECT_EQ(step({}, bounds, testing::seen_of({.at_s = 2, .ready = 70}), state).wanted, 70)
      << "(7 + 70 + 70) / 3 / 0.7";
}

}  // namespace
}  // namespace sluice::rivals
