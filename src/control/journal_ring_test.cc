// SPDX-License-Identifier: Apache-2.0
#include "control/journal_ring.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "control/explain.h"
#include "control/journal_stream.h"
#include "pool/pool.h"

namespace sluice::control {
namespace {

using testing::HasSubstr;

// All lines, as a file would have them.
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

// A pool whose journal goes to a ring and to `all`.
class Ticking {
 public:
  Ticking(SharedSink& shared, JournalRing& ring, const std::string& pool)
      : sink_(shared, &ring, pool), journal_(sink_, pool, pool::to_json(spec()), "b00t") {}

  // One tick, 10 s after the one before; blind without a number. `failed` starts in a row move what deciding
  // remembers.
  Result<std::string> tick(std::optional<std::int64_t> ready, std::int64_t failed = 0) {
    model::Observation seen;
    seen.at_ms = at_ms_ += 10'000;
    seen.fleet.age_ms = 0;
    seen.starts.failed_in_a_row = failed;
    if (ready) {
      seen.queue.ready = model::SeenCount{*ready, 0};
      seen.queue.published_n = model::SeenCount{1'000 + at_ms_ / 1'000, 0};
    } else {
      seen.queue.error = "connection refused";
    }
    const Step step = decide(spec(), state_, seen);
    const model::Plan what = plan(spec(), step.decision, model::FleetView{.free_slots = {0, 1, 2}});
    const auto id =
        journal_.tick({WallTime{std::chrono::milliseconds{at_ms_}}, seen, state_, step.next, step.decision, what});
    if (id) {
      state_ = step.next;
      const Result<void> acted = journal_.act(*id, {.started = {"orders-w0"}});
      EXPECT_TRUE(acted);
    }
    return id;
  }

 private:
  PoolSink sink_;
  Journal journal_;
  ControlState state_{.fresh = true};
  std::int64_t at_ms_ = 1'000'000;
};

std::vector<std::string> told(const Story& story) {
  const Result<std::vector<Told>> all = story.tell(pool::spec_from_json);
  EXPECT_TRUE(all);
  std::vector<std::string> out;
  for (const Told& one : all ? *all : std::vector<Told>{}) {
    out.emplace_back();
    append_json(out.back(), explain(one), std::nullopt);
  }
  return out;
}

std::vector<std::string> told(const std::vector<std::string>& lines, const Ask& ask) {
  Story story(ask);
  for (const std::string& line : lines) {
    story.feed(line);
  }
  return told(story);
}

TEST(JournalRing, ExplainsAsTheWholeJournalDoesThoughItKeepsOnlyTheEnd) {
  Lines file;
  SharedSink shared{file};
  JournalRing ring({.pool_lines = 2'000, .pool_bytes = 100'000, .bytes = 1U << 20U});
  Ticking pool(shared, ring, "default/orders");
  for (int i = 0; i < 450; ++i) {
    // Blind for long stretches and broken at times, so that what deciding remembers matters.
    ASSERT_TRUE(pool.tick(i % 40 < 25 ? std::nullopt : std::optional<std::int64_t>(30 + i), i % 90 > 60 ? 4 : 0));
  }
  EXPECT_LT(ring.lines(), file.lines.size() / 2);
  EXPECT_GT(ring.lines(), 80U);
  const Ask ask{.last = 20};
  const std::optional<Story> story = ring.story("default/orders", ask);
  ASSERT_TRUE(story);
  const std::vector<std::string> mine = told(*story);
  EXPECT_EQ(mine.size(), 20U);
  EXPECT_EQ(mine, told(file.lines, ask));
}

// The tick at the very front of what is kept: no state line is before it, and it is explained all the same.
TEST(JournalRing, KnowsWhatWasRememberedBeforeItsOldestTick) {
  Lines file;
  SharedSink shared{file};
  JournalRing ring({.pool_lines = 8, .pool_bytes = 1U << 20U, .bytes = 1U << 20U});
  Ticking pool(shared, ring, "default/orders");
  std::string oldest;
  for (int i = 0; i < 60; ++i) {
    const Result<std::string> id = pool.tick(std::nullopt, 4);
    ASSERT_TRUE(id);
    oldest = i == 56 ? *id : oldest;  // four ticks with their acts are kept
  }
  const Ask ask{.tick = oldest};
  const std::optional<Story> story = ring.story("default/orders", ask);
  ASSERT_TRUE(story && story->found());
  const Result<std::vector<Told>> kept = story->tell(pool::spec_from_json);
  ASSERT_TRUE(kept && kept->size() == 1);
  ASSERT_TRUE(kept->front().before);
  Story whole(ask);
  for (const std::string& line : file.lines) {
    whole.feed(line);
  }
  EXPECT_EQ(kept->front().before, whole.tell(pool::spec_from_json)->front().before);
  EXPECT_TRUE(kept->front().before->blind_since_ms);
}

TEST(JournalRing, StaysWithinItsBoundsAndForgetsPools) {
  Lines file;
  SharedSink shared{file};
  constexpr std::size_t most = 256U << 10U;
  JournalRing ring({.pool_lines = 100, .pool_bytes = 64U << 10U, .bytes = most});
  std::vector<std::unique_ptr<Ticking>> pools;
  for (int i = 0; i < 40; ++i) {
    pools.push_back(std::make_unique<Ticking>(shared, ring, fmt::format("default/p{}", i)));
    for (int n = 0; n < 60; ++n) {
      ASSERT_TRUE(pools.back()->tick(n));
      ASSERT_LE(ring.bytes(), most);
    }
  }
  for (int i = 0; i < 40; ++i) {  // the quiet ones have kept their last decision
    const std::optional<Story> story = ring.story(fmt::format("default/p{}", i), {});
    ASSERT_TRUE(story && story->found()) << i;
    EXPECT_NE(ring.begins_at(fmt::format("default/p{}", i)), "");
  }
  for (int i = 0; i < 40; ++i) {
    ring.forget(fmt::format("default/p{}", i));
  }
  EXPECT_EQ(ring.bytes(), 0U);
  EXPECT_EQ(ring.lines(), 0U);
  EXPECT_FALSE(ring.story("default/p1", {}));
}

TEST(JournalRing, HasNoLineThatCouldNotBeWritten) {
  Lines file;
  SharedSink shared{file};
  JournalRing ring;
  Ticking pool(shared, ring, "default/orders");
  ASSERT_TRUE(pool.tick(30));
  const std::size_t lines = ring.lines();
  file.fails = true;
  EXPECT_FALSE(pool.tick(31));
  EXPECT_EQ(ring.lines(), lines);
}

TEST(SharedSink, BeginsEachFileWithTheSpecOfEveryPool) {
  Lines file;
  SharedSink shared{file};
  JournalRing ring;
  Ticking a(shared, ring, "default/a");
  Ticking b(shared, ring, "default/b");
  ASSERT_TRUE(a.tick(31) && b.tick(31));
  file.lines.clear();
  file.start = true;  // rotated
  ASSERT_TRUE(a.tick(32) && b.tick(32) && a.tick(33));
  const auto specs = std::ranges::count_if(
      file.lines, [](const std::string& line) { return line.starts_with("{\"event\":\"pool\""); });
  EXPECT_EQ(specs, 2);
}

class Pipe {
 public:
  Pipe() { EXPECT_EQ(::pipe2(ends_.data(), O_CLOEXEC), 0); }
  ~Pipe() {
    end_reading();
    ::close(ends_[1]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  [[nodiscard]] int writer() const { return ends_[1]; }
  std::string read_some(std::size_t most) {
    std::string out(most, ' ');
    const ssize_t n = ::read(ends_[0], out.data(), most);
    out.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    return out;
  }
  void end_reading() {
    if (ends_[0] >= 0) {
      ::close(std::exchange(ends_[0], -1));
    }
  }

 private:
  std::array<int, 2> ends_{};
};

TEST(JournalStream, DoesNotWaitForAReaderAndGoesOnWhereItStopped) {
  Pipe pipe;
  JournalStream stream(pipe.writer());
  EXPECT_TRUE(stream.at_start_of_file());
  const std::string line(30'000, 'x');  // longer than what a pipe takes whole or not at all
  int written = 0;
  Result<void> last;
  while ((last = stream.write(line)).has_value()) {
    ASSERT_LT(++written, 1'000);
  }
  EXPECT_EQ(last.error().code, Code::denied);
  EXPECT_THAT(last.error().what, HasSubstr("does not keep up"));
  EXPECT_TRUE(stream.at_start_of_file());  // the next line that goes out begins anew
  EXPECT_FALSE(stream.write("y"));
  // A line that was cut is completed before the next one.
  std::string all = pipe.read_some(1U << 20U);
  ASSERT_TRUE(stream.write("z"));
  all += pipe.read_some(1U << 20U);
  std::size_t whole = 0;
  std::size_t begin = 0;
  for (std::size_t end = all.find('\n'); end != std::string::npos; end = all.find('\n', begin)) {
    const std::string one = all.substr(begin, end - begin);
    EXPECT_TRUE(one == line || one == "z") << one.size();
    ++whole;
    begin = end + 1;
  }
  EXPECT_EQ(begin, all.size());
  EXPECT_GE(whole, static_cast<std::size_t>(written) + 1);
}

TEST(JournalStream, SaysThatNobodyReadsAndThatTheDiskIsFull) {
  const auto handler = std::signal(SIGPIPE, SIG_IGN);
  Pipe pipe;
  JournalStream stream(pipe.writer());
  ASSERT_TRUE(stream.write("one"));
  pipe.end_reading();
  for (int i = 0; i < 2; ++i) {
    const Result<void> refused = stream.write("two");
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().what, HasSubstr("nobody reads it"));
  }
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(full, 0);
  JournalStream disk(full);
  EXPECT_THAT(disk.write("one").error().what, HasSubstr("No space"));
  ::close(full);
  std::signal(SIGPIPE, handler);
}

}  // namespace
}  // namespace sluice::control
