// SPDX-License-Identifier: Apache-2.0
#include "control/poll_budget.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "aio/task_group.h"
#include "control/controller.h"
#include "fleet/memory.h"

namespace sluice::control {
namespace {

using namespace std::chrono_literals;

std::vector<std::unique_ptr<PollBudget::Share>> shares(PollBudget& budget, std::size_t n, bool is_busy) {
  std::vector<std::unique_ptr<PollBudget::Share>> out;
  for (std::size_t i = 0; i < n; ++i) {
    out.push_back(std::make_unique<PollBudget::Share>(budget));
    (void)out.back()->period({}, is_busy);
  }
  return out;
}

double polls_a_second(std::vector<std::unique_ptr<PollBudget::Share>>& all, bool is_busy) {
  double out = 0;
  for (const auto& share : all) {
    out += 1 / to_s(share->period({}, is_busy));
  }
  return out;
}

TEST(PollBudget, PoolsThatFitIntoItLookAsOftenAsTheyWish) {
  PollBudget budget;
  const auto busy = shares(budget, 40, true);
  const auto idle = shares(budget, 100, false);
  EXPECT_EQ(busy.front()->period({}, true), 100ms);
  EXPECT_EQ(idle.front()->period({}, false), 1s);
}

TEST(PollBudget, TheIdleOnesAreStretchedFirst) {
  PollBudget budget;
  auto busy = shares(budget, 45, true);
  auto idle = shares(budget, 100, false);
  EXPECT_EQ(busy.front()->period({}, true), 100ms);
  EXPECT_EQ(idle.front()->period({}, false), 2s);
  EXPECT_NEAR(polls_a_second(busy, true) + polls_a_second(idle, false), PollBudget::polls_a_second, 1);
}

TEST(PollBudget, TheBusyOnesGiveWayWhenTheIdleOnesAreAsRareAsTheyGet) {
  PollBudget budget;
  auto busy = shares(budget, 100, true);
  auto idle = shares(budget, 1000, false);
  EXPECT_EQ(idle.front()->period({}, false), 10s);
  EXPECT_EQ(busy.front()->period({}, true), 250ms);
  EXPECT_NEAR(polls_a_second(busy, true) + polls_a_second(idle, false), PollBudget::polls_a_second, 1);
}

TEST(PollBudget, BeyondThatAllAreAlike) {
  PollBudget budget;
  auto busy = shares(budget, 5000, true);
  auto idle = shares(budget, 5000, false);
  EXPECT_EQ(idle.front()->period({}, false), 20s);
  EXPECT_EQ(busy.front()->period({}, true), 20s);
}

TEST(PollBudget, AFixedPeriodIsKeptAndTakesItsPart) {
  PollBudget budget;
  std::vector<std::unique_ptr<PollBudget::Share>> fixed;
  for (int i = 0; i < 460; ++i) {
    fixed.push_back(std::make_unique<PollBudget::Share>(budget));
    EXPECT_EQ(fixed.back()->period(1s, true), 1s);
    EXPECT_EQ(fixed.back()->period(1s, false), 1s);  // asked again: still one part
  }
  auto idle = shares(budget, 80, false);
  EXPECT_EQ(idle.front()->period({}, false), 1600ms);  // 50 a second are always left to the adaptive ones
  fixed.clear();
  EXPECT_EQ(idle.front()->period({}, false), 1s);
}

TEST(PollBudget, WhoLeavesGivesItsPartBack) {
  PollBudget budget;
  auto busy = shares(budget, 100, true);
  EXPECT_EQ(busy.front()->period({}, true), 200ms);
  busy.resize(50);
  EXPECT_EQ(busy.front()->period({}, true), 100ms);
}

TEST(PollBudget, WhoComesLaterBeginsLater) {
  PollBudget budget;
  const auto all = shares(budget, 1000, true);
  EXPECT_EQ(all.front()->head_start(), 0s);
  EXPECT_EQ(all[1]->head_start(), 2ms);
  EXPECT_EQ(all.back()->head_start(), 1998ms);
}

TEST(PollBudgets, OneForEachBrokerAndNoneForNobodys) {
  PollBudgets budgets;
  const auto a = budgets.of("a");
  EXPECT_EQ(budgets.of("a"), a);
  EXPECT_NE(budgets.of("b"), a);
  EXPECT_NE(budgets.of(""), budgets.of(""));
}

// --- as a controller uses it

class Lines final : public JournalSink {
 public:
  Result<void> write(std::string_view) override { return {}; }
  bool at_start_of_file() override { return false; }
};

class Source final : public queue::BacklogSource {
 public:
  explicit Source(aio::Clock& clock) : clock_(clock) {}
  aio::Task<Result<model::Sample>> sample(aio::Deadline) override {
    ++looks;
    model::Sample out;
    out.ready = model::Reading{ready, clock_.now()};
    co_return out;
  }
  std::int64_t ready = 0;
  int looks = 0;

 private:
  aio::Clock& clock_;
};

struct World {
  World() {
    pool.name = "orders";
    pool.spec.policy = pool::ThresholdPolicy{.messages = 20, .every = {}};
    pool.spec.workers.max = 1;
  }
  aio::Task<void> for_seconds(int n) {
    co_await clock.sleep_for(std::chrono::seconds{n});
    source.looks = 0;
    co_await clock.sleep_for(10s);
  }

  aio::Loop loop;
  aio::VirtualClock clock{loop};
  pool::Pool pool;
  fleet::MemoryFleet fleet{clock, Random(1), {}};
  Source source{clock};
  Lines sink;
  Journal journal{sink, "default/orders", "{}", "b"};
  Log log;
  aio::Event due{clock};
};

TEST(AdaptivePool, LooksTenTimesASecondUntilTenMinutesAfterTheLastWorkThenOnce) {
  World world;
  const auto run = [](World& w) -> aio::Task<void> {
    Controller controller(w.loop, w.clock, w.due, w.source, w.fleet, w.journal, w.log, w.pool, {});
    aio::TaskGroup group(w.loop, w.clock);
    group.spawn(controller.run());
    co_await w.for_seconds(1);
    EXPECT_NEAR(w.source.looks, 10, 1) << "nothing has ever waited";
    w.source.ready = 5;  // below the threshold: seen, and nobody is started
    co_await w.for_seconds(2);
    EXPECT_NEAR(w.source.looks, 100, 1) << "work is there";
    w.source.ready = 0;
    co_await w.for_seconds(580);
    EXPECT_NEAR(w.source.looks, 100, 1) << "within ten minutes";
    co_await w.for_seconds(20);
    EXPECT_NEAR(w.source.looks, 10, 1) << "after them";
    group.cancel();
    co_await group.join();
  };
  world.clock.run(run(world));
}

TEST(AdaptivePool, LooksLessOftenWhileOthersUseUpTheBudget) {
  World world;
  const auto run = [](World& w) -> aio::Task<void> {
    const auto budget = std::make_shared<PollBudget>();
    auto others = shares(*budget, 49, true);
    auto idle_others = shares(*budget, 39, false);
    Controller controller(w.loop, w.clock, w.due, w.source, w.fleet, w.journal, w.log, w.pool, {.budget = budget});
    aio::TaskGroup group(w.loop, w.clock);
    group.spawn(controller.run());
    co_await w.for_seconds(10);
    EXPECT_NEAR(w.source.looks, 2.5, 1);
    others.clear();
    co_await w.for_seconds(10);
    EXPECT_NEAR(w.source.looks, 10, 1);
    group.cancel();
    co_await group.join();
  };
  world.clock.run(run(world));
}

}  // namespace
}  // namespace sluice::control
