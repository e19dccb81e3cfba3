// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <boost/system/system_error.hpp>
#include <string>
#include <vector>

#include "aio/clock.h"
#include "aio/event.h"
#include "aio/loop.h"
#include "aio/task_group.h"

namespace sluice::aio {
namespace {

using namespace std::chrono_literals;

Task<void> note_after(Clock& clock, Duration d, std::vector<std::string>& out, std::string word) {
  co_await clock.sleep_for(d);
  out.push_back(word);
}

TEST(VirtualClock, RunsAnHourInNoTimeAndInOrder) {
  Loop loop;
  VirtualClock clock(loop);
  std::vector<std::string> out;
  const auto main = [&]() -> Task<void> {
    TaskGroup group(loop, clock);
    group.spawn(note_after(clock, 1h, out, "c"));
    group.spawn(note_after(clock, 1s, out, "a"));
    group.spawn(note_after(clock, 1min, out, "b"));
    co_await group.join();
  };
  const Time start = clock.now();
  clock.run(main());
  EXPECT_EQ(out, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(clock.now() - start, 1h);
}

TEST(VirtualClock, ADeadlineBeyondTheEndOfTimeIsForEver) {
  Loop loop;
  VirtualClock clock(loop);
  EXPECT_EQ(clock.in(Duration::max()).at, Time::max());
  EXPECT_EQ(clock.in(1s).at, clock.now() + 1s);
}

TEST(RealClock, Sleeps) {
  Loop loop;
  RealClock clock(loop);
  const auto main = [&]() -> Task<void> { co_await clock.sleep_for(5ms); };
  const Time start = clock.now();
  loop.run(main());
  EXPECT_GE(clock.now() - start, 5ms);
}

TEST(Event, WakesWaitersRemembersOneNotifyAndTimesOut) {
  Loop loop;
  VirtualClock clock(loop);
  Event event(clock);
  std::vector<Wake> out;
  const auto main = [&]() -> Task<void> {
    event.notify();
    out.push_back(co_await event.wait(clock.in(1s)));
    out.push_back(co_await event.wait(clock.in(1s)));
  };
  const Time start = clock.now();
  clock.run(main());
  EXPECT_EQ(out, (std::vector<Wake>{Wake::ready, Wake::timeout}));
  EXPECT_EQ(clock.now() - start, 1s);
}

Task<void> fail_after(Clock& clock, Duration d) {
  co_await clock.sleep_for(d);
  throw std::runtime_error("broken");
}

TEST(TaskGroup, TheFirstFailureCancelsTheOthersAndComesOutOfJoin) {
  Loop loop;
  VirtualClock clock(loop);
  std::vector<std::string> out;
  const auto main = [&]() -> Task<void> {
    TaskGroup group(loop, clock);
    group.spawn(note_after(clock, 1h, out, "never"));
    group.spawn(fail_after(clock, 1s));
    co_await group.join();
  };
  const Time start = clock.now();
  EXPECT_THROW(clock.run(main()), std::runtime_error);
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(clock.now() - start, 1s);
}

TEST(TaskGroup, OneTaskIsCancelledAloneAndNobodyByTheNumberOfOneThatEnded) {
  Loop loop;
  VirtualClock clock(loop);
  std::vector<std::string> out;
  const auto main = [&]() -> Task<void> {
    TaskGroup group(loop, clock);
    const std::uint64_t first = group.spawn(note_after(clock, 1s, out, "first"));
    const std::uint64_t second = group.spawn(note_after(clock, 1h, out, "never"));
    group.spawn(note_after(clock, 3s, out, "third"));
    co_await clock.sleep_for(2s);
    group.cancel(first);
    group.cancel(second);
    co_await group.join();
  };
  const Time start = clock.now();
  clock.run(main());
  EXPECT_EQ(out, (std::vector<std::string>{"first", "third"}));
  EXPECT_EQ(clock.now() - start, 3s);
}

TEST(TaskGroup, JoinOrCancelEndsWhatDoesNotEnd) {
  Loop loop;
  VirtualClock clock(loop);
  std::vector<std::string> out;
  const auto main = [&]() -> Task<void> {
    TaskGroup group(loop, clock);
    group.spawn(note_after(clock, 1h, out, "never"));
    co_await group.join_or_cancel(clock.in(10s));
    EXPECT_EQ(group.size(), 0U);
  };
  const Time start = clock.now();
  clock.run(main());
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(clock.now() - start, 10s);
}

Task<void> outer(Loop& loop, Clock& clock, std::vector<std::string>& out) {
  TaskGroup inner(loop, clock);
  inner.spawn(note_after(clock, 1h, out, "never"));
  co_await inner.join();
  out.push_back("not reached");
}

TEST(TaskGroup, CancellingTheJoinerCancelsItsChildrenFirst) {
  Loop loop;
  VirtualClock clock(loop);
  std::vector<std::string> out;
  const auto main = [&]() -> Task<void> {
    TaskGroup group(loop, clock);
    group.spawn(outer(loop, clock, out));
    co_await clock.sleep_for(1s);
    group.cancel();
    co_await group.join();
    out.push_back("joined");
  };
  clock.run(main());
  EXPECT_EQ(out, std::vector<std::string>{"joined"});
}

Task<void> wait_then_fill_a_group(Loop& loop, Clock& clock, Event& event, std::vector<std::string>& out) {
  co_await event.wait(Deadline{});
  out.push_back("woken");
  TaskGroup inner(loop, clock);
  inner.spawn(note_after(clock, 1h, out, "never"));
  co_await inner.join();
  out.push_back("not reached");
}

TEST(TaskGroup, ATaskCancelledBetweenBeingWokenAndGoingOnStillJoinsTheGroupItFills) {
  Loop loop;
  VirtualClock clock(loop);
  Event event(clock);
  std::vector<std::string> out;
  const auto main = [&]() -> Task<void> {
    TaskGroup group(loop, clock);
    group.spawn(wait_then_fill_a_group(loop, clock, event, out));
    co_await clock.sleep_for(1s);
    event.notify();
    group.cancel();
    co_await group.join();
  };
  const Time start = clock.now();
  clock.run(main());
  EXPECT_EQ(out, std::vector<std::string>{"woken"});
  EXPECT_EQ(clock.now() - start, 1s);
}

TEST(Loop, PostFromAnywhereRunsOnTheLoop) {
  Loop loop;
  RealClock clock(loop);
  Event event(clock);
  bool ran = false;
  const auto main = [&]() -> Task<void> {
    loop.post([&] {
      ran = true;
      event.notify();
    });
    EXPECT_EQ(co_await event.wait(clock.in(10s)), Wake::ready);
  };
  loop.run(main());
  EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace sluice::aio
