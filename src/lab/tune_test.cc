// SPDX-License-Identifier: Apache-2.0
#include "lab/tune.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "lab/testing_scenario.h"
#include "lab/tunable.h"

namespace sluice::lab {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using Evaluator = std::function<Score(const Setting&)>;

Search searched(std::vector<Grid> grids, const Evaluator& evaluate) {
  Search out(std::move(grids));
  while (!out.next().empty()) {
    std::vector<Score> scores;
    for (const Setting& setting : out.next()) {
      scores.push_back(evaluate(setting));
    }
    out.tell(scores);
  }
  return out;
}

Setting found(const Search& search) {
  return search.tried()[search.best()].setting;
}

// What trying every point of one grid finds.
Setting exhaustive(const Grid& grid, const Evaluator& evaluate) {
  Setting best = {grid.front().value};
  for (const GridPoint& point : grid) {
    best = better(evaluate({point.value}), evaluate(best)) ? Setting{point.value} : best;
  }
  return best;
}

std::vector<std::int64_t> values_of(const Grid& grid, int level) {
  std::vector<std::int64_t> out;
  for (const GridPoint& point : grid) {
    if (point.level == level) {
      out.push_back(point.value);
    }
  }
  return out;
}

// Waits grow with the setting and costs fall, as of an HPA; `limit` is the last setting that meets the target.
Evaluator falling(double limit) {
  return [limit](const Setting& setting) {
    const auto value = static_cast<double>(setting.front());
    return Score{.excess = value <= limit ? 0 : value / limit, .cost = 1 + 1 / value};
  };
}

TEST(TuneGrid, CountsHaveThreeStepsADecadeThenTenThenTwoDigits) {
  const Grid grid = count_grid(1000, 2);
  EXPECT_THAT(values_of(grid, 0), ElementsAre(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000));
  EXPECT_THAT(values_of(grid, 1),
              ElementsAre(3, 4, 6, 8, 12, 15, 25, 30, 40, 60, 80, 120, 150, 250, 300, 400, 600, 800));
  EXPECT_EQ(grid.size(), 99U + 91U);
  EXPECT_EQ(grid[98].value, 99);
  EXPECT_EQ(grid[100].value, 110);
  EXPECT_EQ(count_grid(1000, 1).size(), 28U);
}

TEST(TuneGrid, TimesAreThoseThatPeopleSay) {
  EXPECT_EQ(values_of(time_grid(2), 0).size(), 13U);
  EXPECT_EQ(values_of(time_grid(2), 1).size(), 19U);
  EXPECT_EQ(time_grid(1).size(), 32U);
  EXPECT_EQ(time_grid(2).front().value, 1000);
  EXPECT_EQ(time_grid(2).back().value, 3'600'000);
}

TEST(TuneSearch, FindsTheLastSettingThatMeetsTheTargetWhereverItIs) {
  const Grid grid = count_grid(10'000, 2);
  for (const GridPoint& point : grid) {
    const Evaluator evaluate = falling(static_cast<double>(point.value));
    const Search search = searched({grid}, evaluate);
    EXPECT_EQ(found(search), Setting{point.value});
    EXPECT_LT(search.tried().size(), 120U) << "of " << grid.size();
  }
}

TEST(TuneSearch, DoesNotBelieveThatCostFallsAllTheWay) {
  // The cheapest is in the middle: below it much is started, above it nothing is ever taken away.
  const Evaluator valley = [](const Setting& setting) {
    return Score{.excess = 0, .cost = std::abs(std::log(static_cast<double>(setting.front()) / 37.0))};
  };
  const Grid grid = count_grid(100'000, 2);
  EXPECT_EQ(found(searched({grid}, valley)), Setting{37});
  EXPECT_EQ(exhaustive(grid, valley), Setting{37});
}

TEST(TuneSearch, OneOddSettingDoesNotSendItToTheWrongEnd) {
  for (const std::int64_t odd : {1, 2, 5, 10, 20, 100, 200}) {
    const Evaluator evaluate = [odd](const Setting& setting) {
      return setting.front() == odd ? Score{.excess = 3, .cost = 0.1} : falling(57)(setting);
    };
    EXPECT_EQ(found(searched({count_grid(100'000, 2)}, evaluate)), Setting{57}) << odd;
  }
}

TEST(TuneSearch, FindsWhatTryingAllFindsWhenCostsWobble) {
  // As runs do: up to 1 % by the setting, unlike for neighbours.
  const Grid grid = count_grid(1000, 2);
  std::size_t same = 0;
  for (const GridPoint& limit : grid) {
    const Evaluator evaluate = [&limit](const Setting& setting) {
      Score score = falling(static_cast<double>(limit.value))(setting);
      score.cost *= 1 + 0.01 * std::sin(12.9898 * static_cast<double>(setting.front()) * limit.value);
      return score;
    };
    const Setting best = exhaustive(grid, evaluate);
    const Setting got = found(searched({grid}, evaluate));
    same += got == best ? 1 : 0;
    EXPECT_LT(evaluate(got).cost, evaluate(best).cost * 1.02) << limit.value;
  }
  EXPECT_GE(same, grid.size() * 8 / 10) << "of " << grid.size();
}

TEST(TuneSearch, WhereNothingMeetsTheTargetItIsTheNearest) {
  const Evaluator evaluate = [](const Setting& setting) {
    return Score{.excess = 2 + std::abs(static_cast<double>(setting.front()) - 33), .cost = 1};
  };
  const Search search = searched({count_grid(1000, 2)}, evaluate);
  EXPECT_EQ(found(search), Setting{33});
  EXPECT_GT(search.tried()[search.best()].score.excess, 0);
}

TEST(TuneSearch, TwoNumbersAreSearchedTogether) {
  // Each forgives what the other has too much of.
  const Evaluator evaluate = [](const Setting& setting) {
    const auto messages = static_cast<double>(setting[0]);
    const auto age = static_cast<double>(setting[1]) / 1000;
    return Score{.excess = messages + age <= 105 ? 0 : (messages + age) / 105, .cost = 1 / messages + 2 / age};
  };
  const Search search = searched({count_grid(100'000, 1), time_grid(1)}, evaluate);
  Score best = {.excess = 1e9, .cost = 0};
  for (const GridPoint& messages : count_grid(100'000, 1)) {
    for (const GridPoint& age : time_grid(1)) {
      const Score one = evaluate({messages.value, age.value});
      best = better(one, best) ? one : best;
    }
  }
  EXPECT_EQ(search.tried()[search.best()].score, best);
}

TEST(TuneSearch, TriesNothingTwiceAndOfEqualsTakesTheSmallest) {
  const Search search = searched({count_grid(10'000, 2)}, [](const Setting&) { return Score{.excess = 0, .cost = 1}; });
  std::vector<Setting> settings;
  for (const Trial& trial : search.tried()) {
    settings.push_back(trial.setting);
  }
  std::ranges::sort(settings);
  EXPECT_EQ(std::ranges::adjacent_find(settings), settings.end());
  EXPECT_EQ(found(search), Setting{1});
}

TEST(TuneTarget, IsReadFromWords) {
  const Result<Target> target = parse_target({"p99=1m30s", "late=0.5%"});
  ASSERT_TRUE(target);
  EXPECT_EQ(to_s(*target->p99), 90);
  EXPECT_EQ(*target->late_share, 0.005);
  EXPECT_EQ(to_text(*target), "p99 at most 90 s and at most 0.5 % late");
  EXPECT_EQ(to_text(*parse_target({"max=5m", "p50=1s"})), "p50 at most 1 s and max at most 5 min");
}

TEST(TuneTarget, SaysWhatItDoesNotTake) {
  const auto wrong = [](const std::vector<std::string>& words) {
    const Result<Target> target = parse_target(words);
    return target ? std::string("taken") : target.error().what;
  };
  EXPECT_THAT(wrong({"p98=60s"}), HasSubstr("p98=60s: not a target; accepted: p50=TIME"));
  EXPECT_THAT(wrong({"p99"}), HasSubstr("p99: "));
  EXPECT_THAT(wrong({"p99=60"}), HasSubstr("p99=60: "));
  EXPECT_THAT(wrong({"p99=60s", "p99=30s"}), HasSubstr("p99 is there already"));
  EXPECT_THAT(wrong({"late=1"}), HasSubstr("late=1: not a share of the messages from 0% to 100%"));
  EXPECT_THAT(wrong({"late=101%"}), HasSubstr("not a share"));
  EXPECT_THAT(wrong({"late=nan%"}), HasSubstr("not a share"));
  EXPECT_THAT(wrong({"late=1%", "late=2%"}), HasSubstr("late is there already"));
  EXPECT_THAT(wrong({}), HasSubstr("nothing is asked for"));
}

TEST(TuneTarget, JudgesByTheWorstOfWhatIsAsked) {
  const Target target = *parse_target({"p99=60s", "late=1%"});
  EXPECT_EQ(score_of(target, {.late_share = 0.01, .p99_s = 60, .cost = 7}), (Score{.excess = 0, .cost = 7}));
  EXPECT_EQ(score_of(target, {.late_share = 0.01, .p99_s = 90, .cost = 7}), (Score{.excess = 1.5, .cost = 7}));
  EXPECT_EQ(score_of(target, {.late_share = 0.03, .p99_s = 90, .cost = 7}), (Score{.excess = 3, .cost = 7}));
  EXPECT_GT(score_of(*parse_target({"late=0%"}), {.late_share = 1e-9}).excess, 1);
}

TEST(Tunable, EverySettingOfTheTableIsOneThatItsPolicyTakes) {
  const Read read = tiny("arrivals: [{constant: {rate: 1}}], service: {mean: 1s}");
  for (const Tunable& what : tunables()) {
    const Result<Tuned> tuned = tuned_policy(*read.scenario, what);
    ASSERT_TRUE(tuned) << what.policy;
    const std::vector<Grid> grids = grids_of(what);
    for (std::size_t knob = 0; knob < grids.size(); ++knob) {
      std::string before;
      for (const GridPoint& point : grids[knob]) {
        Setting setting;
        for (const Grid& grid : grids) {
          setting.push_back(grid.front().value);
        }
        setting[knob] = point.value;
        const Contender contender = contender_of(*tuned, setting);  // aborts if the policy does not
        EXPECT_EQ(name_of(contender), name_of(what, setting));
        EXPECT_NE(spec_json(contender), before) << "the knob does nothing";
        before = spec_json(contender);
      }
    }
  }
}

TEST(Tunable, TakesTheRestFromTheScenariosOwnPolicy) {
  const Tunable& per_worker = *std::ranges::find(tunables(), "backlogPerWorker", &Tunable::policy);
  const Tunable& hpa = *std::ranges::find(tunables(), "hpa", &Tunable::policy);
  const Read read = tiny("arrivals: [{constant: {rate: 1}}], service: {mean: 1s}");
  const Tuned own = *tuned_policy(*read.scenario, per_worker);
  EXPECT_EQ(own.from, "backlogPerWorker 1");
  EXPECT_EQ(spec_json(contender_of(own, {30})), R"({"policy":{"backlogPerWorker":{"messages":30,"every":"5s"}}})");
  const Tuned other = *tuned_policy(*read.scenario, hpa);
  EXPECT_EQ(other.from, std::nullopt);
  EXPECT_EQ(spec_yaml(contender_of(other, {30})),
            "policy:\n  hpa:\n    target:\n      type: AverageValue\n      value: \"30\"\n    tolerance: 0.1\n"
            "    every: \"15s\"\n");
  EXPECT_EQ(setting_json(hpa, {30}), R"({"averageValue":"30"})");
  EXPECT_THAT(remark_of(hpa, {30}), HasSubstr("averageValue: \"30\""));
}

TEST(Tunable, SaysWhereAPolicyCannotDecide) {
  const Read read = tiny("arrivals: [{constant: {rate: 1}}], service: {mean: 1s}", "metrics: {together: true}");
  const Tunable& lag = *std::ranges::find(tunables(), "lag", &Tunable::policy);
  const Result<Tuned> tuned = tuned_policy(*read.scenario, lag);
  ASSERT_FALSE(tuned);
  EXPECT_THAT(tuned.error().what, HasSubstr("Pub/Sub counts what is in work as well"));
}

}  // namespace
}  // namespace sluice::lab
