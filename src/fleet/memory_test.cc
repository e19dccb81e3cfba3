// SPDX-License-Identifier: Apache-2.0
#include "fleet/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <utility>

#include "aio/loop.h"
#include "aio/task_group.h"
#include "fleet/conformance.h"
#include "fleet/faulty.h"

namespace sluice::fleet {
namespace {

using namespace std::chrono_literals;
using model::EndKind;
using model::WorkerState;

MemoryOptions five_slots() {
  MemoryOptions options;
  options.max = 5;
  options.nodes = {.min = 1, .max = 2, .slots = 2, .boot = 12s};
  options.spawn_low = 100ms;
  options.spawn_high = 300ms;
  options.ready_low = 10ms;
  options.ready_high = 50ms;
  return options;
}

// Runs `body` in virtual time with the fleet's own coroutine beside it.
class MemoryWorld {
 public:
  MemoryWorld()
      : clock_(loop_),
        fleet_(clock_, Random(1), five_slots()),
        other_(fleet_, clock_, [](Call, int) { return Fault{}; }) {
    fleet_.on_event = [this](const FleetEvent& event) { note(event); };
  }
  aio::VirtualClock& clock() { return clock_; }
  MemoryFleet& fleet() { return fleet_; }
  Fleet& other() { return other_; }
  void run(aio::Task<void> body) {
    const auto main = [this, &body]() -> aio::Task<void> {
      aio::TaskGroup group(loop_, clock_);
      group.spawn(fleet_.run());
      co_await std::move(body);
      group.cancel();
      co_await group.join();
    };
    clock_.run(main());
  }
  void make_next_fail() { fail_next_ = true; }
  void end_well(int slot) { fleet_.report_end(id_of(slot), 0, 1, "idle"); }
  void kill(int slot) { fleet_.crash(slot, SIGKILL, 0); }
  std::string id_of(int slot) {
    const model::FleetView view = fleet_.truth();
    for (const model::Worker& worker : view.workers) {
      if (worker.slot == slot) {
        return worker.id;
      }
    }
    return "";
  }

 private:
  void note(const FleetEvent& event) {
    if (event.kind == FleetEventKind::spawned && std::exchange(fail_next_, false)) {
      loop_.post([this, id = event.id] { fleet_.report_end(id, 1, 0, "no such queue"); });
    }
  }

  aio::Loop loop_;
  aio::VirtualClock clock_;
  MemoryFleet fleet_;
  FaultyFleet other_;
  bool fail_next_ = false;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Memory, FleetConformance, MemoryWorld);

TEST(MemoryFleet, HonoursTheBootTimeToTheInstant) {
  MemoryWorld world;
  std::vector<std::pair<int, Duration>> placed;
  const Time start = world.clock().now();
  world.fleet().on_event = [&](const FleetEvent& event) {
    if (event.kind == FleetEventKind::placed) {
      placed.emplace_back(event.slot, event.at - start);
    }
  };
  const auto body = [&]() -> aio::Task<void> {
    for (const int slot : {0, 1, 2}) {
      const auto asked = co_await world.fleet().start(slot, false, world.clock().in(1s));
      EXPECT_TRUE(asked);
    }
    co_await world.clock().sleep_for(1min);
  };
  world.run(body());
  EXPECT_EQ(placed, (std::vector<std::pair<int, Duration>>{{0, 0s}, {1, 0s}, {2, 12s}}));
}

TEST(MemoryFleet, AttachedRuntimesReportReadinessClaimAndEnd) {
  MemoryWorld world;
  std::vector<Spawned> spawned;
  world.fleet().on_spawn = [&](const Spawned& worker) { spawned.push_back(worker); };
  const auto body = [&]() -> aio::Task<void> {
    MemoryFleet& fleet = world.fleet();
    const auto asked = co_await fleet.start(2, true, world.clock().in(1s));
    EXPECT_TRUE(asked);
    co_await world.clock().sleep_for(1s);
    EXPECT_EQ(spawned.size(), 1U);
    EXPECT_EQ(spawned.at(0).name, "orders-w2");
    EXPECT_TRUE(spawned.at(0).stays_when_idle);
    const std::string id = spawned.at(0).id;
    EXPECT_EQ(fleet.truth().workers.at(0).state, WorkerState::starting);
    fleet.report_ready(id);
    EXPECT_EQ(fleet.truth().workers.at(0).state, WorkerState::ready);
    fleet.report(id, WorkerState::busy, 1);
    const Time claimed = world.clock().now();
    co_await world.clock().sleep_for(1s);
    fleet.report(id, WorkerState::idle, 0);
    EXPECT_EQ(fleet.truth().workers.at(0).state, WorkerState::idle);
    EXPECT_EQ(fleet.truth().workers.at(0).claimed_at, claimed);
    fleet.report_end(id, 1, 3, "broker gone");
    EXPECT_EQ(fleet.truth().ended.at(0).kind, EndKind::lost);  // it had settled something
    fleet.report(id, WorkerState::busy, 1);                    // too late: nobody hears it
    EXPECT_EQ(fleet.live(), 0);
  };
  world.run(body());
}

TEST(MemoryFleet, ALostNodeLosesItsWorkers) {
  MemoryWorld world;
  std::vector<std::string> killed;
  world.fleet().on_kill = [&](const std::string& id) { killed.push_back(id); };
  const auto body = [&]() -> aio::Task<void> {
    MemoryFleet& fleet = world.fleet();
    for (const int slot : {0, 1, 2}) {
      const auto asked = co_await fleet.start(slot, false, world.clock().in(1s));
      EXPECT_TRUE(asked);
    }
    co_await world.clock().sleep_for(1s);
    fleet.lose_node(1);
    const model::FleetView view = fleet.truth();
    EXPECT_EQ(killed.size(), 2U);
    EXPECT_EQ(view.ended.size(), 2U);
    EXPECT_EQ(view.ended.at(0).kind, EndKind::lost);
    EXPECT_EQ(view.ended.at(0).why, "node 1 is gone");
    EXPECT_EQ(view.workers.size(), 1U);
  };
  world.run(body());
}

TEST(MemoryFleet, AHiddenWorkerIsUnknownAndStillThere) {
  MemoryWorld world;
  const auto body = [&]() -> aio::Task<void> {
    const auto asked = co_await world.fleet().start(0, false, world.clock().in(1s));
    EXPECT_TRUE(asked);
    world.fleet().hide(0, true);
    const auto view = co_await world.fleet().view(world.clock().in(1s));
    EXPECT_EQ(view->workers.at(0).state, WorkerState::unknown);
    EXPECT_EQ(view->workers.at(0).why, "node 1 does not answer");
  };
  world.run(body());
}

TEST(FaultyFleet, ALostReplyStartedTheWorkerAndARetryStartsNoSecond) {
  MemoryWorld world;
  Fault next{.fail_after = true};
  FaultyFleet faulty(world.fleet(), world.clock(), [&](Call, int) { return std::exchange(next, Fault{}); });
  const auto body = [&]() -> aio::Task<void> {
    const auto lost = co_await faulty.start(0, false, world.clock().in(1s));
    EXPECT_FALSE(lost);
    EXPECT_EQ(lost.error().code, Code::retry);
    EXPECT_EQ(world.fleet().live(), 1);
    const auto retried = co_await faulty.start(0, false, world.clock().in(1s));
    EXPECT_TRUE(retried);
    EXPECT_EQ(world.fleet().live(), 1);
  };
  world.run(body());
  EXPECT_EQ(world.fleet().spawned(), 0);  // cancelled before the image was pulled
}

TEST(FaultyFleet, AFailureBeforeStartsNothing) {
  MemoryWorld world;
  FaultyFleet faulty(world.fleet(), world.clock(), [&](Call, int) { return Fault{.fail_before = true}; });
  const auto body = [&]() -> aio::Task<void> {
    const auto lost = co_await faulty.start(0, false, world.clock().in(1s));
    EXPECT_FALSE(lost);
    const auto view = co_await faulty.view(world.clock().in(1s));
    EXPECT_FALSE(view);
  };
  world.run(body());
  EXPECT_EQ(world.fleet().live(), 0);
}

TEST(FaultyFleet, AStaleOrLateViewKeepsItsTrueTime) {
  MemoryWorld world;
  Fault next;
  FaultyFleet faulty(world.fleet(), world.clock(), [&](Call, int) { return next; });
  const auto body = [&]() -> aio::Task<void> {
    const Time first = world.clock().now();
    const auto fresh = co_await faulty.view(world.clock().in(1s));
    EXPECT_TRUE(fresh);
    co_await world.clock().sleep_for(10s);
    const auto asked = co_await world.fleet().start(0, false, world.clock().in(1s));
    EXPECT_TRUE(asked);
    next = Fault{.stale = 1};
    const auto stale = co_await faulty.view(world.clock().in(1s));
    EXPECT_EQ(stale->observed_at, first);
    EXPECT_TRUE(stale->workers.empty());
    next = Fault{.delay_after = 3s};
    const Time before = world.clock().now();
    const auto late = co_await faulty.view(world.clock().in(5s));
    EXPECT_EQ(late->observed_at, before);
    EXPECT_EQ(world.clock().now(), before + 3s);
    next = Fault{.delay_before = 3s};
    const auto too_late = co_await faulty.view(world.clock().in(1s));
    EXPECT_FALSE(too_late);
  };
  world.run(body());
}

}  // namespace
}  // namespace sluice::fleet
