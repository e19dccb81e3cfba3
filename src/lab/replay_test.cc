// SPDX-License-Identifier: Apache-2.0
#include "lab/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lab/testing_scenario.h"

namespace sluice::lab {
namespace {

using ::testing::AllOf;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;

using namespace std::chrono_literals;

std::vector<std::string> journal_of(const Read& read) {
  std::vector<std::string> lines;
  static_cast<void>(run({.scenario = *read.scenario, .files = read.files, .policy = 0, .seed = 1},
                        [&lines](const std::string& /*pool*/, std::string_view line) { lines.emplace_back(line); }));
  return lines;
}

struct Again {
  std::vector<Past> pasts;
  std::size_t unread = 0;
};
Again past_of(const std::vector<std::string>& lines) {
  PastReader reader;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    reader.take(lines[i], "journal:" + std::to_string(i + 1));
  }
  reader.end_of_file();
  std::vector<Past> pasts = reader.finish();
  return {std::move(pasts), reader.unread()};
}

const std::string load = "arrivals: [{step: {base: 1, peak: 6, first: 5m, every: 20m, for: 5m}}], ";
const std::string grounds = "nodes: {slots: 4, boot: {mean: 40s}}, pods: {start: {least: 3s, most: 5s}}";

TEST(LabReplay, FindsInAJournalWhatMadeIt) {
  const Read read = tiny(load + "service: {exponential: 2s}", grounds, "threshold: {messages: 5, every: 5s}", "3h");
  const auto was = run_of(read);
  const Again again = past_of(journal_of(read));
  ASSERT_EQ(again.pasts.size(), 1U);
  const Past& past = again.pasts.front();
  EXPECT_EQ(again.unread, 0U);
  EXPECT_EQ(past.different, 0U) << past.first_difference;
  EXPECT_GT(past.same, 100U);
  EXPECT_EQ(past.asked, was.all.starts);
  EXPECT_EQ(past_totals(past).workers_peak, was.all.peak);
  EXPECT_NEAR(past_totals(past).worker_s, static_cast<double>(was.all.worker_us) / 1e6,
              static_cast<double>(was.all.worker_us) / 1e6 / 20);

  const auto service = past_service(past);
  ASSERT_TRUE(service);
  EXPECT_NEAR(to_s(service->mean), 2, 0.1);
  const auto arrivals = past_arrivals(past, std::nullopt);
  ASSERT_TRUE(arrivals);
  EXPECT_NEAR(static_cast<double>(arrivals->messages), static_cast<double>(was.all.published), 60);

  const auto made = replayable(past, {});
  ASSERT_TRUE(made) << made.error().what;
  const Nodes& nodes = made->scenario.environment.nodes;
  EXPECT_THAT(nodes.slots, AllOf(Ge(3), Le(5)));
  EXPECT_NEAR(to_s(nodes.boot.mean.value_or(0s)), 40, 3);
  ASSERT_TRUE(made->files.quantiles.contains("the record"));
  EXPECT_THAT(made->files.quantiles.at("the record"), ::testing::Each(AllOf(Ge(2'500.0), Le(5'500.0))));
  const auto same = run({.scenario = made->scenario, .files = made->files, .policy = 0, .seed = 1});
  EXPECT_NEAR(static_cast<double>(same.all.starts), static_cast<double>(was.all.starts),
              static_cast<double>(was.all.starts) / 5);
  EXPECT_NEAR(static_cast<double>(same.all.worker_us), static_cast<double>(was.all.worker_us),
              static_cast<double>(was.all.worker_us) / 10);
}

TEST(LabReplay, TellsExponentialServicesFromConstantOnes) {
  const auto spread = [](const std::string& service) {
    const Read read = tiny("arrivals: [{constant: {rate: 6}}], service: " + service, "",
                           "threshold: {messages: 5, every: 10s}", "2h", "max: 5");
    return past_service(past_of(journal_of(read)).pasts.front()).value_or(PastService{}).spread.value_or(-1);
  };
  EXPECT_THAT(spread("{mean: 1s}"), AllOf(Ge(0), Le(0.3)));
  EXPECT_NEAR(spread("{exponential: 1s}"), 1, 0.3);
  EXPECT_THAT(spread("{mean: 1s, cv: 3}"), Ge(2));
}

TEST(LabReplay, ChangedDecisionsAreFoundAndTheFirstIsNamed) {
  std::vector<std::string> lines =
      journal_of(tiny(load + "service: {mean: 2s}", grounds, "threshold: {messages: 5, every: 5s}"));
  const auto tick =
      std::ranges::find_if(lines, [](const std::string& l) { return l.contains("\"workers\":1,\"change\":1"); });
  ASSERT_NE(tick, lines.end());
  const auto at = tick->find("\"workers\":1,\"change\":1");
  tick->replace(at, 11, "\"workers\":2");
  const Past past = past_of(lines).pasts.front();
  EXPECT_EQ(past.different, 1U);
  EXPECT_THAT(past.first_difference, HasSubstr("journal:" + std::to_string(tick - lines.begin() + 1) + ": tick "));
  EXPECT_THAT(past.first_difference, HasSubstr("2 workers"));
}

TEST(LabReplay, ALineThatIsTornAtTheEndIsNoMistakeAndOneInTheMiddleIs) {
  std::vector<std::string> lines = journal_of(tiny(load + "service: {mean: 2s}", grounds));
  const std::size_t all = past_of(lines).pasts.front().same;
  lines.push_back(lines.back().substr(0, lines.back().size() / 2));
  EXPECT_EQ(past_of(lines).unread, 0U);
  EXPECT_EQ(past_of(lines).pasts.front().same, all);
  lines.push_back(lines[3]);
  const Again again = past_of(lines);
  EXPECT_EQ(again.unread, 1U);
  EXPECT_EQ(again.pasts.front().undecided, lines[3].contains("\"tick\",") ? 1U : 0U);
}

TEST(LabReplay, CountersThatBeginAnewLoseNothingButWhatCameInBetween) {
  Past past;
  past.looks = {{.at_ms = 0, .queue_ms = 0, .ready = 3, .in_flight = 1, .published = 1000, .acked = 900},
                {.at_ms = 10'000, .queue_ms = 10'000, .ready = 5, .in_flight = 0, .published = 1010, .acked = 910},
                {.at_ms = 20'000, .queue_ms = 20'000, .ready = 9, .in_flight = 0, .published = 7, .acked = 2},
                {.at_ms = 30'000, .queue_ms = 30'000, .ready = 9, .in_flight = 0, .published = 9, .acked = 4}};
  past.end_ms = 31'000;
  const auto arrivals = past_arrivals(past, std::nullopt);
  ASSERT_TRUE(arrivals);
  EXPECT_EQ(arrivals->first, 4);
  EXPECT_EQ(arrivals->messages, 4 + 10 + 7 + 2);
  EXPECT_EQ(arrivals->resets, 1);
  EXPECT_EQ(arrivals->lasts, 31s);
}

TEST(LabReplay, WithoutCountsTheBacklogTellsWithAServiceTimeAndNothingIsGuessedWithout) {
  Past past;
  past.spec.workers = {.max = 5};
  for (std::int64_t i = 0; i < 7; ++i) {  // two workers busy at 1 s each, the backlog grows by 5 in 10 s
    past.looks.push_back({.at_ms = i * 10'000, .queue_ms = i * 10'000, .ready = 10 + 5 * i, .busy = 2});
  }
  past.end_ms = 60'000;
  const auto unknown = past_arrivals(past, std::nullopt);
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().what, HasSubstr("--service TIME"));
  EXPECT_THAT(replayable(past, {}).error().what, HasSubstr("--service TIME"));
  const auto arrivals = past_arrivals(past, 1s);
  ASSERT_TRUE(arrivals);
  EXPECT_EQ(arrivals->messages, 10 + 6 * 25);
  EXPECT_FALSE(arrivals->counted);
}

TEST(LabReplay, ARecordWithoutLoadIsRefused) {
  Past past;
  past.looks = {{.at_ms = 0, .queue_ms = 0, .ready = 0, .published = 5, .acked = 5},
                {.at_ms = 10'000, .queue_ms = 10'000, .ready = 0, .published = 5, .acked = 5}};
  past.end_ms = 10'000;
  EXPECT_THAT(replayable(past, {.service = 1s}).error().what, HasSubstr("no message came"));
}

}  // namespace
}  // namespace sluice::lab
