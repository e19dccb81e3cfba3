// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <sstream>

#include "policy/backlog_per_worker.h"
#include "policy/threshold.h"

namespace sluice::policy {
namespace {

using namespace std::chrono_literals;
using model::Observation;
using model::WorkerState;

// A table row: numbers, `?` for unknown. The left half is the input, the right half what the policy says.
struct Row {
  std::optional<std::int64_t> ready, in_flight, age_s;
  std::int64_t starting = 0, ready_workers = 0, busy = 0, idle = 0;
};

std::optional<std::int64_t> cell(const std::string& word) {
  return word == "?" ? std::nullopt : std::optional<std::int64_t>(std::stoll(word));
}

Observation seen_of(const Row& row) {
  Observation seen;
  if (row.ready) {
    seen.queue.ready = model::SeenCount{*row.ready, 0};
  }
  if (row.in_flight) {
    seen.queue.in_flight = model::SeenCount{*row.in_flight, 0};
  }
  if (row.age_s) {
    seen.queue.oldest_age = model::SeenAge{*row.age_s * 1000, model::AgeKind::exact, 0};
  }
  const auto set = [&](WorkerState state, std::int64_t n) { seen.workers[static_cast<std::size_t>(state)] = n; };
  set(WorkerState::starting, row.starting);
  set(WorkerState::ready, row.ready_workers);
  set(WorkerState::busy, row.busy);
  set(WorkerState::idle, row.idle);
  if (row.starting > 0) {
    seen.waiting.push_back({"orders-w0", WorkerState::starting, "", 10'000});
  }
  seen.starts.last_ms_ago = 60'000;
  seen.starts.ready_ms_ago = 60'000;
  return seen;
}

// Runs the left half of every row and renders the whole table again.
template <class Options>
std::string replay(const Options& options, const std::string& table) {
  std::istringstream lines(table);
  std::string line;
  std::getline(lines, line);
  std::string out = line + "\n";
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string ready, in_flight, age, starting, ready_workers, busy, idle;
    words >> ready >> in_flight >> age >> starting >> ready_workers >> busy >> idle;
    const Row row{cell(ready),      cell(in_flight), cell(age), std::stoll(starting), std::stoll(ready_workers),
                  std::stoll(busy), std::stoll(idle)};
    const Proposal p = propose(options, seen_of(row));
    out += fmt::format("{:>5} {:>9} {:>5} {:>8} {:>5} {:>4} {:>4}  ->  {:>7}  {}: {}\n", ready, in_flight, age,
                       starting, ready_workers, busy, idle, p.wanted, model::word(p.word), p.sentence);
  }
  return out;
}

TEST(ThresholdPolicy, GrowsOneAtATimeWaitsForTheStartAndHoldsWhenBlind) {
  const std::string want =
      "ready in-flight age-s starting ready busy idle  ->  workers  reason\n"
      "    0         0     0        0     0    0    0  ->        0  steady: 0 messages wait\n"
      "    1         0     1        0     0    0    0  ->        0  steady: 1 message waits\n"
      "   37         0    12        0     0    0    0  ->        1  grow: 37 messages wait, more than 20\n"
      "   61         0    12        1     0    0    0  ->        1  hold: orders-w0 has been starting for 10 s\n"
      "    ?         ?     ?        0     0    1    0  ->        1  blind: backlog unknown\n"
      "   44         1    12        0     0    1    0  ->        2  grow: 44 messages wait, more than 20\n"
      "   21         0    12        0     1    0    0  ->        1  steady: 21 messages wait, 1 of them for 1 worker "
      "about to take them\n"
      "    3         0    61        0     0    2    0  ->        3  grow: a message has waited 61 s, longer than 60 s\n"
      "    3         0    61        0     1    2    0  ->        3  steady: 3 messages wait\n"
      "    ?         ?    61        0     0    2    0  ->        3  grow: a message has waited 61 s, longer than 60 "
      "s\n";
  const ThresholdOptions options{.messages = 20, .age = 60s};
  EXPECT_EQ(replay(options, want), want);
}

TEST(ThresholdPolicy, AnAgeThatIsOnlyABoundCountsWhileNobodyConsumes) {
  const ThresholdOptions options{.messages = std::nullopt, .age = 60s};
  Observation seen = seen_of({.ready = 3, .in_flight = 1, .age_s = 90, .busy = 1});
  seen.queue.oldest_age->kind = model::AgeKind::bound;
  EXPECT_EQ(propose(options, seen).word, model::Word::steady) << "consumers unknown";
  seen.queue.consumers = model::SeenCount{1, 0};
  EXPECT_EQ(propose(options, seen).word, model::Word::steady) << "a busy queue";
  seen.queue.consumers = model::SeenCount{0, 0};
  EXPECT_EQ(propose(options, seen).sentence, "a message has waited up to 90 s, longer than 60 s");
}

TEST(ThresholdPolicy, HoldsWhileTheAgeIsOlderThanTheLastStart) {
  const ThresholdOptions options{.messages = 20, .age = 60s};
  Observation seen = seen_of({.ready = 3, .age_s = 90, .busy = 1});
  seen.queue.oldest_age->age_ms = 12'000;
  seen.starts.last_ms_ago = 11'000;
  EXPECT_EQ(propose(options, seen).sentence,
            "a message has waited 90 s, longer than 60 s; the reading is older than the last start");
  seen.starts.last_ms_ago = 13'000;
  EXPECT_EQ(propose(options, seen).word, model::Word::grow);
  seen.queue.ready->n = 21;
  seen.starts.last_ms_ago = 11'000;
  EXPECT_EQ(propose(options, seen).word, model::Word::grow) << "the count is of now";
}

TEST(ThresholdPolicy, HoldsWhileTheReadingIsOlderThanTheLastStart) {
  const ThresholdOptions options{.messages = 20};
  Observation seen = seen_of({.ready = 37, .busy = 1});
  seen.queue.ready->age_ms = 5000;
  seen.starts.last_ms_ago = 5000;
  EXPECT_EQ(propose(options, seen).sentence,
            "37 messages wait, more than 20; the reading is older than the last start");
  seen.starts.last_ms_ago = 5001;
  EXPECT_EQ(propose(options, seen).word, model::Word::grow);
}

TEST(ThresholdPolicy, LeavesItsIntervalBetweenTwoStartsAndSaysWhenToLookAgain) {
  const ThresholdOptions options{.messages = 20, .age = std::nullopt, .step = 1, .interval = 10s};
  Observation seen = seen_of({.ready = 37, .busy = 1});
  seen.starts.last_ms_ago = 15'000;
  seen.starts.ready_ms_ago = 3'000;
  const Proposal p = propose(options, seen);
  EXPECT_EQ(p.word, model::Word::hold);
  EXPECT_EQ(p.again_in_ms, 7'000);
  seen.starts.ready_ms_ago = 10'000;
  EXPECT_EQ(propose(options, seen).word, model::Word::grow);
}

TEST(BacklogPerWorkerPolicy, CountsWaitingAndRunningMessagesOnce) {
  const std::string want =
      "ready in-flight age-s starting ready busy idle  ->  workers  reason\n"
      "    0         0     0        0     0    0    0  ->        0  steady: 0 messages wait and 0 are in work\n"
      "    5         5     0        0     0    5    0  ->       10  grow: 5 messages wait and 5 are in work, one "
      "worker each is 10\n"
      "    5         5     0        5     0    5    0  ->       10  steady: 5 messages wait and 5 are in work\n"
      "    5         ?     0        0     0    5    0  ->       10  grow: 5 messages wait and 5 are in work, one "
      "worker each is 10\n"
      "    0         1     0        0     0    1    4  ->        5  steady: 0 messages wait and 1 is in work\n"
      "    ?         5     0        0     0    5    0  ->        5  blind: backlog unknown\n";
  EXPECT_EQ(replay(BacklogPerWorkerOptions{.messages = 1}, want), want);
}

TEST(BacklogPerWorkerPolicy, DividesRoundingUpAndNeverOverflows) {
  const BacklogPerWorkerOptions options{.messages = 20};
  EXPECT_EQ(propose(options, seen_of({.ready = 41, .in_flight = 0})).wanted, 3);
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(propose(BacklogPerWorkerOptions{.messages = 1}, seen_of({.ready = huge, .in_flight = huge})).wanted, huge);
}

// A broker that counts what waits and what is in work as one: they are not added twice, and the busy ones are among
// them.
TEST(BacklogPerWorkerPolicy, WorksOnACountOfAllMessagesTogether) {
  Observation seen = seen_of({.busy = 5});
  seen.queue.ready.reset();
  seen.queue.in_flight.reset();
  seen.queue.total = model::SeenCount{20, 120'000};
  seen.starts.last_ms_ago = 300'000;
  Proposal p = propose(BacklogPerWorkerOptions{.messages = 2}, seen);
  EXPECT_EQ(p.word, model::Word::grow);
  EXPECT_EQ(p.wanted, 10);
  EXPECT_EQ(p.sentence, "20 messages wait or are in work, at 2 a worker that is 10");
  seen.starts.last_ms_ago = 60'000;
  p = propose(BacklogPerWorkerOptions{.messages = 2}, seen);
  EXPECT_EQ(p.word, model::Word::hold) << "it was read before the last start: " << p.sentence;
  seen.queue.total = model::SeenCount{0, 120'000};
  p = propose(BacklogPerWorkerOptions{.messages = 2}, seen);
  EXPECT_EQ(p.word, model::Word::steady);
  EXPECT_EQ(p.enough, 5) << "the busy ones stay";
}

TEST(Policies, AreMonotoneInTheBacklog) {
  for (std::int64_t busy : {0, 1, 5}) {
    std::int64_t threshold = 0, per_worker = 0;
    for (std::int64_t ready = 0; ready < 100; ++ready) {
      const Observation seen = seen_of({.ready = ready, .in_flight = busy, .busy = busy});
      const std::int64_t a = propose(ThresholdOptions{.messages = 20}, seen).wanted;
      const std::int64_t b = propose(BacklogPerWorkerOptions{.messages = 7}, seen).wanted;
      EXPECT_GE(a, threshold);
      EXPECT_GE(b, per_worker);
      threshold = a;
      per_worker = b;
    }
  }
}

}  // namespace
}  // namespace sluice::policy
