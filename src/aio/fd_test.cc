// SPDX-License-Identifier: Apache-2.0
#include "aio/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>

#include "aio/signals.h"
#include "aio/task_group.h"

namespace sluice::aio {
namespace {

using namespace std::chrono_literals;

TEST(Fd, OwnsAndCloses) {
  int number = -1;
  {
    Result<Pipe> pipe = make_pipe();
    number = pipe->read_end.get();
    EXPECT_NE(::fcntl(number, F_GETFD) & FD_CLOEXEC, 0);
    Fd moved = std::move(pipe->read_end);
    EXPECT_FALSE(pipe->read_end);
    EXPECT_EQ(moved.get(), number);
  }
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
}

TEST(Watch, IsReadyWhenThereIsSomethingAndKeepsBeingReady) {
  Loop loop;
  RealClock clock(loop);
  Result<Pipe> pipe = make_pipe();
  const auto main = [&]() -> Task<void> {
    Watch watch(loop, clock, pipe->read_end.get());
    EXPECT_EQ(co_await watch.readable(clock.in(2ms)), Wake::timeout);
    EXPECT_EQ(::write(pipe->write_end.get(), "x", 1), 1);
    EXPECT_EQ(co_await watch.readable(clock.in(20s)), Wake::ready);
    EXPECT_EQ(co_await watch.readable(clock.in(20s)), Wake::ready) << "not only on the edge";
  };
  loop.run(main());
}

TEST(Watch, WaitsForBothDirectionsAtOnceAndCanBeCancelled) {
  Loop loop;
  RealClock clock(loop);
  Result<Pipe> pipe = make_pipe();
  const auto forever = [](Watch& watch) -> Task<void> {
    const Wake why = co_await watch.readable(Deadline{});
    ADD_FAILURE() << "woke: " << static_cast<int>(why);
  };
  const auto main = [&]() -> Task<void> {
    Watch watch(loop, clock, pipe->read_end.get());
    TaskGroup group(loop, clock);
    group.spawn(forever(watch));
    co_await group.join_or_cancel(clock.in(2ms));
    EXPECT_EQ(co_await watch.readable(clock.in(2ms)), Wake::timeout);
    pipe->write_end.reset();
    EXPECT_EQ(co_await watch.readable(clock.in(20s)), Wake::ready) << "the end of a stream is something to read";
  };
  loop.run(main());
}

TEST(Watch, ARegularFileIsAlwaysReady) {
  Loop loop;
  RealClock clock(loop);
  const Fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  const auto main = [&]() -> Task<void> {
    Watch watch(loop, clock, file.get());
    EXPECT_EQ(co_await watch.readable(clock.in(20s)), Wake::ready);
  };
  loop.run(main());
}

TEST(Watch, TimesOutInVirtualTime) {
  Loop loop;
  VirtualClock clock(loop);
  Result<Pipe> pipe = make_pipe();
  const auto main = [&]() -> Task<void> {
    Watch watch(loop, clock, pipe->read_end.get());
    EXPECT_EQ(co_await watch.readable(clock.in(1h)), Wake::timeout);
  };
  clock.run(main());
}

TEST(WriteAll, GivesUpAtTheDeadlineWhenNobodyReads) {
  Loop loop;
  VirtualClock clock(loop);
  Result<Pipe> pipe = make_pipe();
  const auto main = [&]() -> Task<void> {
    std::string body(1U << 20U, 'x');
    const Result<void> wrote =
        co_await write_all(loop, clock, pipe->write_end.get(), std::move(body), false, clock.in(10s));
    EXPECT_EQ(wrote.error().code, Code::retry);
    EXPECT_EQ(wrote.error().what, "not written in time: 65536 of 1048576 bytes taken");
  };
  clock.run(main());
}

TEST(WriteAll, SaysWhatIsWrongWithTheDescriptor) {
  Loop loop;
  VirtualClock clock(loop);
  const auto main = [&]() -> Task<void> {
    const Result<void> closed = co_await write_all(loop, clock, 999, "x", false, Deadline{});
    EXPECT_EQ(closed.error().what, "descriptor 999: Bad file descriptor");
    const Result<std::string> none = co_await read_some(loop, clock, 999, 10, Deadline{});
    EXPECT_EQ(none.error().what, "descriptor 999: Bad file descriptor");
  };
  clock.run(main());
}

TEST(Signals, ComeInOrderAndDoNotEndTheProcess) {
  Loop loop;
  RealClock clock(loop);
  const auto main = [&]() -> Task<void> {
    Signals signals(loop, clock, {SIGUSR1, SIGUSR2});
    ::raise(SIGUSR2);  // before anybody waits
    ::raise(SIGUSR1);
    EXPECT_EQ(co_await signals.next(clock.in(20s)), SIGUSR2);
    EXPECT_EQ(co_await signals.next(clock.in(20s)), SIGUSR1);
    EXPECT_EQ(co_await signals.next(clock.in(2ms)), 0);
  };
  loop.run(main());
}

TEST(SignalsDeathTest, EndTheProcessAgainAfterwards) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto after = [] {
    Loop loop;
    RealClock clock(loop);
    {
      const Signals signals(loop, clock, {SIGUSR1});
    }
    ::raise(SIGUSR1);
  };
  EXPECT_EXIT(after(), testing::KilledBySignal(SIGUSR1), "");
}

}  // namespace
}  // namespace sluice::aio
