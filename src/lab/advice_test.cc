// SPDX-License-Identifier: Apache-2.0
#include "lab/advice.h"

#include <gtest/gtest.h>

#include "lab/scenario_read.h"

namespace sluice::lab {
namespace {

using namespace std::chrono_literals;

Candidate candidate(double cost, double late_share) {
  Candidate out;
  out.means.cost = cost;
  out.means.late_share = late_share;
  return out;
}

TEST(LabAdvice, TheCheapestThatIsNotLaterIsProposed) {
  const Advice advice =
      advice_of({candidate(100, 0.011), candidate(60, 0.012), candidate(82, 0.002), candidate(90, 0)}, true);
  EXPECT_EQ(advice.best, 2U);
  EXPECT_TRUE(advice.change());
  EXPECT_TRUE(advice.met);
  EXPECT_NEAR(advice.saves(), 0.18, 1e-9);
}

TEST(LabAdvice, ThePresentOneStaysWhereLittleIsSaved) {
  EXPECT_FALSE(advice_of({candidate(100, 0.01), candidate(98.1, 0), candidate(20, 0.5)}, true).change());
  EXPECT_TRUE(advice_of({candidate(100, 0.01), candidate(97.9, 0)}, true).change());
  EXPECT_FALSE(advice_of({candidate(0, 0), candidate(0, 0)}, true).change());
}

TEST(LabAdvice, OneLateInAThousandIsNotLaterThanNone) {
  EXPECT_EQ(advice_of({candidate(100, 0), candidate(50, 0.001), candidate(40, 0.0011)}, true).best, 1U);
}

TEST(LabAdvice, WithoutAPresentOneTheLimitIsOnePercent) {
  EXPECT_EQ(advice_of({candidate(100, 0), candidate(50, 0.01), candidate(40, 0.011)}, false).best, 1U);
  const Advice none = advice_of({candidate(100, 0.3), candidate(50, 0.2), candidate(40, 0.4)}, false);
  EXPECT_EQ(none.best, 1U);
  EXPECT_FALSE(none.met);
  EXPECT_TRUE(none.change());
}

TEST(LabAdvice, LagIsTriedWithWhatIsLateAndWithWhatIsWaitedAtPresent) {
  Scenario scenario;
  scenario.late = 30s;
  Means present;
  present.p99_s = 41.2;
  const std::vector<Candidate> both = untuned_candidates(scenario, present);
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(name_of(both[0].contender), "lag 30s");
  EXPECT_EQ(name_of(both[1].contender), "lag 42s");
  present.p99_s = 29.5;
  EXPECT_EQ(untuned_candidates(scenario, present).size(), 1U);
  EXPECT_EQ(untuned_candidates(scenario, std::nullopt).size(), 1U);
}

TEST(LabAdvice, APoolCannotHaveAPolicyThatItsQueueOrItsWorkersDoNotAllow) {
  pool::PoolSpec spec{.queue = pool::LocalQueue{"orders.db"}, .workers = {.max = 5}};
  spec.workers.run = pool::Run{.command = {"sluice", "work"}};
  EXPECT_TRUE(can_have(spec, pool::LagPolicy{.max = 30s}));
  EXPECT_FALSE(can_have(spec, pool::HpaPolicy{.target = {.value = "5"}}));
}

}  // namespace
}  // namespace sluice::lab
