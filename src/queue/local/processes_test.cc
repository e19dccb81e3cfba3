// SPDX-License-Identifier: Apache-2.0
// The local queue among others: several connections, other processes, a disk that fails, a clock that jumps.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>

#include "base/check.h"
#include "base/testing_folder.h"
#include "queue/conformance_rig.h"
#include "queue/local/crash_vfs.h"
#include "queue/local/inspect.h"
#include "queue/local/local_queue.h"
#include "queue/local/scaler_lock.h"

namespace sluice::queue::local {
namespace {

using aio::Deadline;
using aio::Task;
using conformance::message;
using conformance::patience;
using namespace std::chrono_literals;

// A real clock whose wall time can be moved. Written by the loop before the thread is asked, through the channel's
// lock.
class JumpingClock final : public aio::Clock {
 public:
  explicit JumpingClock(aio::Loop& loop) : real_(loop) {}
  Time now() const override { return real_.now(); }
  WallTime wall() const override { return real_.wall() + std::chrono::milliseconds{skew_ms.load()}; }
  void wake_at(Time at, aio::Resumer resumer) override { real_.wake_at(at, std::move(resumer)); }
  std::atomic<std::int64_t> skew_ms = 0;

 private:
  aio::RealClock real_;
};

struct World {
  explicit World(std::string in = fresh_folder()) : folder(std::move(in)), path(folder + "/q.db") {}
  ~World() { std::filesystem::remove_all(folder); }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Task<std::unique_ptr<LocalQueue>> open(LocalOptions options = {}) {
    const Deadline deadline = clock.in(patience);
    Result<std::unique_ptr<LocalQueue>> queue = co_await LocalQueue::open(loop, clock, random, path, options, deadline);
    EXPECT_TRUE(queue) << (queue ? "" : queue.error().what);
    co_return queue ? std::move(*queue) : nullptr;
  }
  Task<Published> publish(LocalQueue& queue, std::string id) {
    const std::unique_ptr<Publisher> publisher = queue.publisher();
    const Deadline deadline = clock.in(patience);
    const std::vector<Message> one{message(id)};
    const std::vector<Published> answers = co_await publisher->publish(one, deadline);
    co_return answers.at(0);
  }
  Task<std::unique_ptr<Receiver>> receiver(LocalQueue& queue) {
    std::unique_ptr<Receiver> made = queue.receiver("w");
    const Deadline deadline = clock.in(patience);
    conformance::expect_done(co_await made->open(deadline));
    co_return made;
  }
  Task<std::vector<Delivery>> take(Receiver& from, std::size_t n) {
    std::vector<Delivery> all;
    const Deadline deadline = clock.in(patience);
    while (all.size() < n && !deadline.passed(clock.now())) {
      const std::size_t rest = n - all.size();
      Result<std::vector<Delivery>> some = co_await from.receive(rest, deadline);
      EXPECT_TRUE(some) << (some ? "" : some.error().what);
      if (!some) {
        break;
      }
      std::ranges::move(*some, std::back_inserter(all));
    }
    EXPECT_EQ(all.size(), n);
    all.resize(n);
    co_return all;
  }

  aio::Loop loop;
  JumpingClock clock{loop};
  Random random{5};
  std::string folder;
  std::string path;
};

Task<void> take_into(World& w, Receiver& from, std::vector<Delivery>& out) {
  out = co_await w.take(from, 1);
}

TEST(LocalQueueProcesses, AMessageOfAnotherConnectionIsHeardOfWithoutPolling) {
  World world;
  const auto main = [](World& w) -> Task<void> {
    // Looks are an hour apart: only the change of the file itself can wake the receiver.
    const auto here = co_await w.open({.look_every = 1h, .vfs = {}});
    const auto there = co_await w.open();
    const auto receiver = co_await w.receiver(*here);
    std::vector<Delivery> got;
    aio::TaskGroup group(w.loop, w.clock);
    group.spawn(take_into(w, *receiver, got));
    co_await w.clock.sleep_for(30ms);
    const Time before = w.clock.now();
    const Published sent = co_await w.publish(*there, "a");
    EXPECT_EQ(sent.state, PublishState::confirmed) << sent.why;
    co_await group.join();
    EXPECT_EQ(got[0].message.id, "a");
    EXPECT_LT(w.clock.now() - before, patience / 2);
    const Deadline deadline = w.clock.in(patience);
    conformance::expect_done(co_await receiver->close(deadline));
  };
  world.loop.run(main(world));
}

Task<void> publish_many(World& w, LocalQueue& queue, std::string prefix, int& confirmed) {
  for (int i = 0; i < 25; ++i) {
    const Published sent = co_await w.publish(queue, prefix + std::to_string(i));
    EXPECT_EQ(sent.state, PublishState::confirmed) << sent.why;
    confirmed += sent.state == PublishState::confirmed ? 1 : 0;
  }
}

TEST(LocalQueueProcesses, ThreeConnectionsThatWriteWithoutAPauseAllGetTheirTurn) {
  World world;
  const auto main = [](World& w) -> Task<void> {
    const auto one = co_await w.open();
    const auto two = co_await w.open();
    const auto three = co_await w.open();
    int confirmed = 0;
    aio::TaskGroup group(w.loop, w.clock);
    group.spawn(publish_many(w, *one, "a", confirmed));
    group.spawn(publish_many(w, *two, "b", confirmed));
    group.spawn(publish_many(w, *three, "c", confirmed));
    co_await group.join();
    EXPECT_EQ(confirmed, 75);
    const auto source = one->source();
    const Deadline deadline = w.clock.in(patience);
    const auto sample = co_await source->sample(deadline);
    EXPECT_EQ(sample ? sample->ready->n : -1, 75);
  };
  world.loop.run(main(world));
}

// The child: takes three, begins two, finishes one, says so on the pipe, and waits to be killed.
Task<void> doomed(World& w, int pipe) {
  const auto queue = co_await w.open();
  for (const char* id : {"1 finished", "2 begun", "3 held"}) {
    const Published sent = co_await w.publish(*queue, id);
    check(sent.state == PublishState::confirmed, "the child cannot publish");
  }
  const auto receiver = co_await w.receiver(*queue);
  const auto got = co_await w.take(*receiver, 3);
  const Deadline deadline = w.clock.in(patience);
  const Result<void> one = co_await receiver->begin(got[0].tag, deadline);
  const Result<void> two = co_await receiver->begin(got[1].tag, deadline);
  receiver->finished(got[0].tag);
  check(one && two && ::write(pipe, "x", 1) == 1, "the child cannot begin");
  co_await w.clock.sleep_for(1h);
}

TEST(LocalQueueProcesses, AKilledProcessGivesBackWhatItHadWithTheCauses) {
  const std::string folder = fresh_folder();
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const pid_t child = ::fork();  // before there is a loop or a thread, of which the two would share parts
  ASSERT_GE(child, 0);
  World world(folder);
  if (child == 0) {
    world.loop.run(doomed(world, pipe[1]));
    ::_exit(1);
  }
  ::close(pipe[1]);
  char ready = 0;
  ASSERT_EQ(::read(pipe[0], &ready, 1), 1) << "the child failed";
  const auto main = [child](World& w) -> Task<void> {
    const auto queue = co_await w.open();
    const auto receiver = co_await w.receiver(*queue);
    const Deadline soon = w.clock.in(400ms);
    const auto none = co_await receiver->receive(10, soon);
    EXPECT_TRUE(none && none->empty()) << "a living process keeps what it has";
    ::kill(child, SIGKILL);
    auto got = co_await w.take(*receiver, 3);
    std::ranges::sort(got, {}, [](const Delivery& d) { return d.message.id; });
    EXPECT_EQ(got[0].cause, Cause::ack_unknown);
    EXPECT_EQ(got[1].cause, Cause::crash);
    EXPECT_EQ(got[2].cause, Cause::requeued);
    EXPECT_EQ(got[0].attempts + got[1].attempts * 10 + got[2].attempts * 100, 11U);
    const Deadline deadline = w.clock.in(patience);
    conformance::expect_done(co_await receiver->close(deadline));
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(w.path + "-workers"), {}), 2)
        << "only the locks of making and of turns stay";
  };
  world.loop.run(main(world));
  int status = 0;
  ::waitpid(child, &status, 0);
  ::close(pipe[0]);
}

TEST(LocalQueueProcesses, WithItsNotesLostADeadWorkersMessagesComeBackAsCrashed) {
  World world;
  const auto main = [](World& w) -> Task<void> {
    const auto queue = co_await w.open();
    const Published sent = co_await w.publish(*queue, "a");
    EXPECT_EQ(sent.state, PublishState::confirmed);
    auto receiver = co_await w.receiver(*queue);
    (void)co_await w.take(*receiver, 1);
    receiver.reset();
    std::filesystem::remove(w.path + "-workers/1");  // as a machine that went down may leave it
    const auto next = co_await w.receiver(*queue);
    const auto got = co_await w.take(*next, 1);
    EXPECT_EQ(got[0].cause, Cause::crash);
    EXPECT_EQ(got[0].attempts, 1U);
    const Deadline deadline = w.clock.in(patience);
    conformance::expect_done(co_await next->close(deadline));
  };
  world.loop.run(main(world));
}

TEST(LocalQueueProcesses, ADiskThatFailsRefusesCleanlyAndWorksAgainAfterwards) {
  World world;
  const auto main = [](World& w) -> Task<void> {
    const auto queue = co_await w.open({.vfs = crash::vfs()});
    const Published before = co_await w.publish(*queue, "before");
    EXPECT_EQ(before.state, PublishState::confirmed);
    for (const int error : {SQLITE_FULL, SQLITE_IOERR_WRITE}) {
      crash::recorder().fail(0, error, true);
      const Published refused = co_await w.publish(*queue, "refused");
      crash::recorder().fail(-1, SQLITE_OK, false);
      EXPECT_EQ(refused.state, PublishState::failed) << refused.why;
      EXPECT_NE(refused.why.find(w.path), std::string::npos) << refused.why;
      EXPECT_NE(refused.why.find(error == SQLITE_FULL ? "disk is full" : "disk reports an error"), std::string::npos)
          << refused.why;
    }
    // Each call of a commit fails once: never a confirmed message that is not there, never a wrong word.
    for (int step = 0; step < 12; ++step) {
      crash::recorder().fail(step, SQLITE_IOERR_FSYNC, false);
      const Published sent = co_await w.publish(*queue, "at step " + std::to_string(step));
      crash::recorder().fail(-1, SQLITE_OK, false);
      const Published again = co_await w.publish(*queue, "at step " + std::to_string(step));
      EXPECT_EQ(again.state, PublishState::confirmed) << again.why;
      EXPECT_TRUE(sent.state == PublishState::confirmed || !sent.why.empty());
    }
    const auto source = queue->source();
    const Deadline deadline = w.clock.in(patience);
    const auto sample = co_await source->sample(deadline);
    EXPECT_EQ(sample ? sample->ready->n : -1, 13) << "before and the twelve, each once";
  };
  world.loop.run(main(world));
}

TEST(LocalQueueProcesses, AFileRemovedInUseIsNoticedBeforeAnythingIsConfirmedIntoIt) {
  World world;
  const auto main = [](World& w) -> Task<void> {
    const auto queue = co_await w.open();
    std::filesystem::remove(w.path);
    const Published lost = co_await w.publish(*queue, "a");
    EXPECT_EQ(lost.state, PublishState::failed);
    EXPECT_NE(lost.why.find("removed or replaced"), std::string::npos) << lost.why;
    const Published again = co_await w.publish(*queue, "a");
    EXPECT_EQ(again.state, PublishState::confirmed) << again.why;
    EXPECT_TRUE(std::filesystem::exists(w.path));
  };
  world.loop.run(main(world));
}

TEST(LocalQueueProcesses, AWallClockSetBackMakesNoNegativeAgeAndNoEndlessDelay) {
  World world;
  const auto main = [](World& w) -> Task<void> {
    const auto queue = co_await w.open();
    (void)co_await w.publish(*queue, "a");
    (void)co_await w.publish(*queue, "b");
    const auto receiver = co_await w.receiver(*queue);
    const auto got = co_await w.take(*receiver, 1);
    const Deadline deadline = w.clock.in(patience);
    conformance::expect_done(co_await receiver->retry(got[0].tag, 50ms, Cause::retried, "later", deadline));
    w.clock.skew_ms = -24LL * 3600 * 1000;
    const auto source = queue->source();
    const auto sample = co_await source->sample(deadline);
    EXPECT_EQ(sample ? sample->oldest_age->age : -1s, 0s);
    const auto both = co_await w.take(*receiver, 2);
    EXPECT_EQ(both[0].waited, 0s);
    EXPECT_EQ(both[1].message.id, "a");
    conformance::expect_done(co_await receiver->close(deadline));
  };
  world.loop.run(main(world));
}

TEST(ScalerLock, ASecondScalerIsRefusedWithWhoHoldsItUntilTheFirstEnds) {
  World world;
  const WallTime now{std::chrono::sys_days{std::chrono::year{2026} / 1 / 1}};
  {
    const Result<ScalerLock> first = ScalerLock::take(world.path, "default/orders", now);
    ASSERT_TRUE(first) << first.error().what;
    std::filesystem::create_symlink(world.path, world.folder + "/other-name.db");
    crash::spit(world.path, "");
    for (const std::string& name : {world.path, world.folder + "/other-name.db"}) {
      const Result<ScalerLock> second = ScalerLock::take(name, "default/other", now);
      ASSERT_FALSE(second);
      EXPECT_EQ(second.error().code, Code::conflict);
      EXPECT_EQ(second.error().what,
                "queue file " + name + " already has a scaler: pid " + std::to_string(::getpid()) +
                    ", pool default/orders, since 2026-01-01T00:00:00.000Z; end that one first, or use "
                    "another queue file");
    }
  }
  EXPECT_TRUE(ScalerLock::take(world.path, "default/other", now));
}

TEST(Inspect, NetworkFilesystemsAreKnownByTheirNumber) {
  EXPECT_STREQ(network_filesystem(0x6969), "NFS");
  EXPECT_STREQ(network_filesystem(0xfe534d42), "SMB2");
  EXPECT_STREQ(network_filesystem(0xfffffffffe534d42ULL), "SMB2") << "sign-extended, as some kernels report it";
  EXPECT_STREQ(network_filesystem(0x01021997), "9p");
  EXPECT_STREQ(network_filesystem(0x65735546), "FUSE");
  EXPECT_STREQ(network_filesystem(0x00c36400), "Ceph");
  EXPECT_EQ(network_filesystem(0xef53), nullptr);      // ext4
  EXPECT_EQ(network_filesystem(0x01021994), nullptr);  // tmpfs
  EXPECT_EQ(network_filesystem(0x794c7630), nullptr);  // overlayfs
}

}  // namespace
}  // namespace sluice::queue::local
