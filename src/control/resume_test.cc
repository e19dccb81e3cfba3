// SPDX-License-Identifier: Apache-2.0
#include "control/resume.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/decide.h"
#include "control/journal.h"
#include "pool/pool.h"

namespace sluice::control {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr std::int64_t boot_ms = 1'700'000'000'000;  // of the wall clock, when the machine booted

class Lines final : public JournalSink {
 public:
  Result<void> write(std::string_view line) override {
    lines.emplace_back(line);
    return {};
  }
  bool at_start_of_file() override { return std::exchange(start, false); }
  std::vector<std::string> lines;
  bool start = true;
};

pool::PoolSpec lag_spec() {
  pool::PoolSpec spec;
  spec.queue = pool::LocalQueue{"/orders.db"};
  spec.policy = pool::LagPolicy{.max = 60s, .every = {5s}};
  spec.workers.max = 20;
  spec.workers.run = pool::Run{.command = {"sluice", "work", "--simulate", "1s"}};
  return spec;
}

Moment moment(std::int64_t at_ms, std::int64_t booted_ms = boot_ms) {
  return {.at_ms = at_ms, .wall = WallTime{std::chrono::milliseconds{booted_ms + at_ms}}};
}

// A scaler's looks every 5 s at a queue to which two messages come in a second, with two workers that do as many.
struct Recorded {
  explicit Recorded(pool::PoolSpec pool = lag_spec(), std::string id = "default/orders")
      : spec(std::move(pool)), journal(sink, std::move(id), pool::to_json(spec), "b00t") {}

  void ticks(int n) {
    for (int i = 0; i < n; ++i) {
      at_ms += 5'000;
      done += 10;
      model::Observation seen;
      seen.at_ms = at_ms;
      seen.fleet.age_ms = 0;
      seen.queue.ready = model::SeenCount{3, 0};
      seen.queue.in_flight = model::SeenCount{2, 0};
      seen.queue.acked_n = model::SeenCount{done, 0};
      seen.queue.published_n = model::SeenCount{done + 5, 0};
      seen.workers[static_cast<std::size_t>(model::WorkerState::busy)] = 2;
      const Step step = decide(spec, state, seen);
      const model::Plan what = plan(spec, step.decision, model::FleetView{.free_slots = {2, 3}});
      ASSERT_TRUE(journal.tick({moment(at_ms).wall, seen, state, step.next, step.decision, what}));
      state = step.next;
    }
  }

  pool::PoolSpec spec;
  Lines sink;
  Journal journal;
  ControlState state{.fresh = true};
  std::int64_t at_ms = 1'000'000;
  std::int64_t done = 0;
};

Result<ControlState> resume(const std::vector<std::string>& lines, Moment now, const pool::PoolSpec& spec = lag_spec(),
                            const std::string& pool = "default/orders") {
  ResumeReader reader;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    reader.take(lines[i], fmt::format("journal.jsonl:{}", i + 1));
  }
  return reader.finish(pool, spec, now);
}

TEST(Resume, GoesOnWithExactlyWhatWasLearnedAndForgetsTheRest) {
  for (const int n : {1, 40, 250}) {  // behind the first state line, and behind later ones
    Recorded run;
    run.ticks(n);
    const Result<ControlState> again = resume(run.sink.lines, moment(run.at_ms + 3'000));
    ASSERT_TRUE(again) << again.error().what;
    EXPECT_EQ(again->lag, run.state.lag) << n;
    EXPECT_TRUE(again->fresh);
    EXPECT_EQ(again->hold_until_ms, std::nullopt);
  }
}

TEST(Resume, DecidesAsIfItHadNeverBeenAwayOnceItHasLookedTwice) {
  Recorded run;
  run.ticks(130);
  Recorded restarted;
  restarted.at_ms = run.at_ms;
  restarted.done = run.done;
  restarted.state = *resume(run.sink.lines, moment(run.at_ms));
  run.ticks(20);
  restarted.ticks(20);
  EXPECT_EQ(restarted.state.lag, run.state.lag);
}

TEST(Resume, KeepsAfterAnotherBootOnlyWhatDoesNotDependOnWhenItWasLearned) {
  Recorded run;
  run.ticks(130);
  const policy::LagMemory& before = run.state.lag.get();
  ASSERT_GT(before.done_milli, 100'000) << "messages were measured";
  for (const Moment now : {moment(run.at_ms + 60'000, boot_ms + 3'600'000), moment(4'000, boot_ms + 3'600'000)}) {
    const Result<ControlState> again = resume(run.sink.lines, now);
    ASSERT_TRUE(again) << again.error().what;
    EXPECT_EQ(again->lag.get().step_ms, 0) << "its next look begins anew";
    EXPECT_EQ(again->lag.get().done_milli, before.done_milli);
    EXPECT_EQ(again->lag.get().busy_ms, before.busy_ms);
    Recorded later;
    later.at_ms = now.at_ms;
    later.state = *again;
    later.ticks(1);
    EXPECT_EQ(later.state.lag.get().grid_ms, later.at_ms);
    EXPECT_EQ(later.state.lag.get().done_milli, before.done_milli);
  }
}

TEST(Resume, GoesOnWhereThePolicysNumbersAreOthersNow) {
  Recorded run;
  run.ticks(130);
  pool::PoolSpec spec = lag_spec();
  spec.policy = pool::LagPolicy{.max = 10s};
  const Result<ControlState> again = resume(run.sink.lines, moment(run.at_ms), spec);
  ASSERT_TRUE(again) << again.error().what;
  EXPECT_EQ(again->lag, run.state.lag);
}

TEST(Resume, RefusesWhatIsNotItsOwnAndSaysWhere) {
  Recorded run;
  run.ticks(3);
  const Moment now = moment(run.at_ms);
  const auto refusal = [&now](const std::vector<std::string>& lines, const pool::PoolSpec& spec = lag_spec(),
                              const std::string& pool = "default/orders") {
    const Result<ControlState> got = resume(lines, now, spec, pool);
    return got ? std::string("taken") : got.error().what;
  };
  const std::vector<std::string>& good = run.sink.lines;
  EXPECT_EQ(refusal(good), "taken");
  EXPECT_EQ(refusal({}), "it has no state yet");
  EXPECT_EQ(refusal(good, lag_spec(), "default/other"), "journal.jsonl:1: of the pool default/orders");
  pool::PoolSpec moved = lag_spec();
  moved.queue = pool::LocalQueue{"/elsewhere.db"};
  EXPECT_EQ(refusal(good, moved), "journal.jsonl:1: another queue then");
  pool::PoolSpec threshold = lag_spec();
  threshold.policy = pool::ThresholdPolicy{.messages = 20};
  Recorded other(threshold);
  other.ticks(3);
  EXPECT_EQ(refusal(other.sink.lines), "journal.jsonl:1: policy threshold then");
  std::vector<std::string> lines = good;
  lines.emplace_back("\x7f\x45\x4c\x46");
  EXPECT_EQ(refusal(lines), fmt::format("journal.jsonl:{}: cannot be read", lines.size()));
  lines = good;
  lines.back() = lines.back().substr(0, lines.back().size() / 2);
  EXPECT_THAT(refusal(lines), HasSubstr(fmt::format("journal.jsonl:{}: ", lines.size())));
  lines = good;
  lines.emplace_back(R"({"event":"state","tick":"b00t-3","pool":"default/orders","state":{"lag":{"step_ms":5000}}})");
  EXPECT_THAT(refusal(lines), HasSubstr("$.state.lag.asked"));
  lines.emplace_back(R"({"event":"state","tick":"b00t-3","pool":"default/other","state":null})");
  EXPECT_THAT(refusal(lines), HasSubstr("of the pool default/other"));
}

TEST(Resume, PassesOverWhatCannotBeReadBeforeTheLastState) {
  Recorded run;
  run.ticks(1);
  std::vector<std::string> lines{"torn by a crash", R"({"event":"news"})"};
  lines.insert(lines.end(), run.sink.lines.begin(), run.sink.lines.end());
  const Result<ControlState> again = resume(lines, moment(run.at_ms));
  ASSERT_TRUE(again) << again.error().what;
  EXPECT_EQ(again->lag, run.state.lag);
}

}  // namespace
}  // namespace sluice::control
