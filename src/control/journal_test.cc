// SPDX-License-Identifier: Apache-2.0
#include "control/journal.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/testing_folder.h"
#include "control/journal_file.h"
#include "control/journal_read.h"
#include "pool/pool.h"

namespace sluice::control {
namespace {

using namespace std::chrono_literals;

class Lines final : public JournalSink {
 public:
  Result<void> write(std::string_view line) override {
    if (fails) {
      return Error{Code::denied, "no space"};
    }
    lines.emplace_back(line);
    return {};
  }
  bool at_start_of_file() override { return std::exchange(start, false); }
  std::vector<std::string> lines;
  bool start = true;
  bool fails = false;
};

pool::PoolSpec spec() {
  pool::PoolSpec out;
  out.queue = pool::LocalQueue{"orders.db"};
  out.policy = pool::ThresholdPolicy{.messages = 20};
  out.workers.max = 5;
  return out;
}

// Ticks of a queue with these many waiting messages, 10 s apart, from a state.
void run(Journal& journal, ControlState& state, const std::vector<std::int64_t>& ready,
         std::int64_t at_ms = 1'000'000) {
  for (const std::int64_t n : ready) {
    model::Observation seen;
    seen.at_ms = at_ms += 10'000;
    seen.fleet.age_ms = 0;
    seen.queue.ready = model::SeenCount{n, 0};
    const Step step = decide(spec(), state, seen);
    const model::Plan what = plan(spec(), step.decision, model::FleetView{.free_slots = {0, 1, 2}});
    const auto id =
        journal.tick({WallTime{std::chrono::milliseconds{at_ms}}, seen, state, step.next, step.decision, what});
    ASSERT_TRUE(id);
    state = step.next;
  }
}

std::vector<std::string> events(const std::vector<std::string>& lines) {
  std::vector<std::string> out;
  for (const std::string& line : lines) {
    out.push_back(line.substr(10, line.find('"', 10) - 10));
  }
  return out;
}

TEST(Journal, BeginsWithPoolAndStateAndFoldsSteadyTicks) {
  Lines lines;
  Journal journal(lines, "default/orders", "{}", "b00t");
  ControlState state;
  run(journal, state, {0, 0, 3, 1, 37});
  EXPECT_EQ(events(lines.lines), (std::vector<std::string>{"pool", "state", "tick", "steady", "tick"}));
  EXPECT_EQ(lines.lines.at(0),
            R"({"event":"pool","v":1,"at":"1970-01-01T00:16:50.000Z","pool":"default/orders","spec":{},"spec_hash":")" +
                pool::spec_hash("{}") + "\"}");
  EXPECT_EQ(
      lines.lines.at(3),
      R"({"event":"steady","pool":"default/orders","from":"1970-01-01T00:17:00.000Z","to":"1970-01-01T00:17:20.000Z","ticks":3,"ready":{"min":0,"max":3}})");
  EXPECT_TRUE(lines.lines.at(4).starts_with(R"({"event":"tick","tick":"b00t-5","at":)")) << lines.lines.at(4);
}

TEST(Journal, FoldsTicksThatWaitForAWorkerToHaveNoWork) {
  Lines lines;
  Journal journal(lines, "default/orders", "{}", "b");
  model::Observation seen;
  seen.queue.ready = model::SeenCount{0, 0};
  const auto tick = [&](std::int64_t workers, std::int64_t change, const char* reason, const model::Plan& what) {
    const model::Decision decision{.workers = workers, .change = change, .reason = reason, .clamps = {}};
    EXPECT_TRUE(journal.tick({WallTime{}, seen, {}, {}, decision, what}));
  };
  tick(5, -2, "shrink: letting 2 workers go", {});
  tick(5, -2, "shrink: letting 2 workers go", {});
  tick(5, -2, "shrink: letting 2 workers go; 7 are in work", {});
  tick(5, -2, "shrink: letting 2 workers go", {.start = {}, .withdraw = {}, .drain = {3}});
  tick(5, -1, "shrink: letting 1 worker go", {});
  tick(5, -1, "shrink: letting 1 worker go", {});
  tick(4, -2, "shrink: letting 2 workers go", {});
  tick(6, 0, "steady: nothing waits", {});
  EXPECT_EQ(events(lines.lines),
            (std::vector<std::string>{"pool", "state", "tick", "steady", "tick", "tick", "steady", "tick", "tick"}));
}

TEST(Journal, DoesNotFoldAwayThatAPartOfThePictureIsLostOrFound) {
  Lines lines;
  Journal journal(lines, "default/orders", "{}", "b");
  model::Observation seen;
  seen.fleet.age_ms = 0;
  seen.queue.ready = model::SeenCount{0, 0};
  const auto tick = [&](bool known, std::optional<std::string> error) {
    seen.queue.in_flight = known ? std::optional(model::SeenCount{1, 10'000}) : std::nullopt;
    seen.queue.error = std::move(error);
    const Step step = decide(spec(), {}, seen);
    EXPECT_TRUE(journal.tick({WallTime{}, seen, {}, step.next, step.decision, {}}));
  };
  tick(true, std::nullopt);
  tick(true, std::nullopt);
  tick(true, "status 500");
  tick(true, "status 500");
  tick(false, "status 500");
  tick(true, std::nullopt);
  EXPECT_EQ(events(lines.lines),
            (std::vector<std::string>{"pool", "state", "tick", "steady", "tick", "steady", "tick", "tick"}));
}

TEST(Journal, ATickThatCannotBeWrittenIsAnError) {
  Lines lines;
  lines.fails = true;
  Journal journal(lines, "default/orders", "{}", "b");
  const model::Observation seen;
  const Step step = decide(spec(), {}, seen);
  EXPECT_FALSE(journal.tick({WallTime{}, seen, {}, step.next, step.decision, {}}));
}

TEST(Journal, WritesStateEveryHundredTicksAndReplaysTheSame) {
  Lines lines;
  Journal journal(lines, "default/orders", "{}", "b");
  ControlState state{.fresh = true};
  run(journal, state, std::vector<std::int64_t>(250, 30));
  std::ptrdiff_t states = 0, same = 0;
  Replay replay([](std::string_view) -> Result<pool::PoolSpec> { return spec(); });
  for (const std::string& line : lines.lines) {
    const auto parsed = parse_journal_line(line);
    ASSERT_TRUE(parsed) << parsed.error().what << "\n" << line;
    states += std::holds_alternative<StateLine>(*parsed) ? 1 : 0;
    const auto replayed = replay.feed(*parsed);
    ASSERT_TRUE(replayed) << replayed.error().what;
    same += *replayed && (*replayed)->same ? 1 : 0;
  }
  EXPECT_EQ(states, 3);
  EXPECT_EQ(same, 250);
}

TEST(Journal, ReplayFindsADecisionThatWasNotOurs) {
  Lines lines;
  Journal journal(lines, "default/orders", "{}", "b");
  ControlState state;
  run(journal, state, {30});
  Replay replay([](std::string_view) -> Result<pool::PoolSpec> { return spec(); });
  std::string tick = lines.lines.back();
  tick.replace(tick.find("\"workers\":1,\"change\":1"), 11, "\"workers\":2");
  for (const std::string& line : {lines.lines.at(0), lines.lines.at(1), tick}) {
    const auto replayed = replay.feed(parse_journal_line(line).value());
    ASSERT_TRUE(replayed);
    if (*replayed) {
      EXPECT_FALSE((*replayed)->same);
      EXPECT_EQ((*replayed)->decision.workers, 1);
    }
  }
}

TEST(JournalLine, TheSpecIsTheTextThatWasWritten) {
  const auto spec_of = [](const std::string& line) {
    return std::get<PoolLine>(parse_journal_line(line).value()).spec_json;
  };
  const std::string spec = R"({"a":[0.1,{"spec":"}\\","\"spec\":":1}],"b":100,"c":"x\"y"})";
  EXPECT_EQ(spec_of(R"({"event":"pool","v":1,"pool":"\"spec\":{","spec":)" + spec + R"(,"spec_hash":"1"})"), spec);
  EXPECT_EQ(spec_of(R"({ "event" : "pool", "v" : 1, "spec" : {"a":0.1} })"), R"( {"a":0.1} )");
  EXPECT_EQ(spec_of(R"({"event":"pool","v":1,"spec":7})"), "7");
  EXPECT_EQ(spec_of(R"({"event":"pool","v":1,"sp\u0065c":{"a":1}})"), R"({"a":1})");
}

TEST(JournalLine, NamesThePlaceOfWhatIsWrong) {
  const auto why = [](const char* line) { return parse_journal_line(line).error().what; };
  EXPECT_EQ(why("{\"event\":\"tock\"}"), "$.event: \"tock\"; accepted: pool, tick, act, state, steady");
  EXPECT_TRUE(why("{\"event\":\"ti").starts_with("$: not JSON")) << why("{\"event\":\"ti");
  EXPECT_EQ(why(R"({"event":"pool","v":2,"spec":{}})"),
            "$.v: 2; accepted: 1; the journal is from another version of sluice");
}

std::vector<std::string> read(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::vector<std::string> out;
  for (std::string line; std::getline(in, line);) {
    out.push_back(line);
  }
  return out;
}

TEST(JournalFile, EndsATornLineOfAnEarlierRun) {
  const TestFolder folder;
  const std::string path = folder.path() + "/journal.jsonl";
  std::ofstream(path) << "{\"whole\":1}\n{\"torn";
  JournalFile file(path, {});
  ASSERT_TRUE(file.at_start_of_file());
  ASSERT_TRUE(file.write("{\"next\":1}"));
  EXPECT_EQ(read(path), (std::vector<std::string>{"{\"whole\":1}", "{\"torn", "{\"next\":1}"}));
}

TEST(JournalFile, ATornLineThatCannotBeRemovedIsEndedBeforeTheNext) {
  // A file that cannot shrink, as one with the attribute "append only", on a disk that has room for half a line.
  const int sealed = ::memfd_create("journal", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  ASSERT_EQ(::fcntl(sealed, F_ADD_SEALS, F_SEAL_SHRINK), 0);
  const std::string path = fmt::format("/proc/self/fd/{}", sealed);
  JournalFile file(path, {});
  ASSERT_TRUE(file.write("{\"whole\":1}"));
  struct rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  struct rlimit small = before;
  small.rlim_cur = 20;
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Result<void> refused = file.write("{\"torn\":\"as there is no room\"}");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().what, path + ": cannot write: File too large");
  ASSERT_TRUE(file.write("{\"next\":1}"));
  EXPECT_EQ(read(path), (std::vector<std::string>{"{\"whole\":1}", "{\"torn\":", "{\"next\":1}"}));
  ::close(sealed);
}

TEST(JournalFile, RotatesBetweenTicksAndKeepsFour) {
  const TestFolder folder;
  const std::string path = folder.path() + "/journal.jsonl";
  JournalFile file(path, {.bytes_max = 20, .kept = 4});
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(file.at_start_of_file()) << i;
    ASSERT_TRUE(file.write("0123456789012345678901"));
  }
  EXPECT_TRUE(std::filesystem::exists(path + ".4"));
  EXPECT_FALSE(std::filesystem::exists(path + ".5"));
}

TEST(JournalFile, AFullDiskIsAnErrorWithTheFileAndTheWayOut) {
  JournalFile file("/dev/full", {});
  const Result<void> written = file.write("{}");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().what,
            "/dev/full: cannot write: No space left on device; free some space, sluice goes on by itself");
}

}  // namespace
}  // namespace sluice::control
