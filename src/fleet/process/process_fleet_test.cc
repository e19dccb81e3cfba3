// SPDX-License-Identifier: Apache-2.0
#include "fleet/process/process_fleet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "fleet/conformance.h"
#include "fleet/process/testing_world.h"

namespace sluice::fleet::process {
namespace {

using namespace std::chrono_literals;
using model::EndKind;
using model::WorkerState;
using ::testing::HasSubstr;

}  // namespace
}  // namespace sluice::fleet::process

namespace sluice::fleet {
INSTANTIATE_TYPED_TEST_SUITE_P(Process, FleetConformance, process::ProcessWorld);
}  // namespace sluice::fleet

namespace sluice::fleet::process {
namespace {

// The suite's means without its tests.
class ProcessFleetTest : public FleetConformance<ProcessWorld> {
 protected:
  void TestBody() override {}
};

TEST_F(ProcessFleetTest, ARestartedScalerFindsItsLivingWorkersOnTheirNodes) {
  const auto before = [this]() -> aio::Task<void> {
    for (const int slot : {0, 1, 2}) {
      const auto asked = co_await world.fleet().start(slot, slot == 1, soon());
      EXPECT_TRUE(asked);
    }
    co_await until_state(world.fleet(), 2, WorkerState::ready);
  };
  world.run(before());
  const pid_t pid = world.pid_of(2);
  world.restart();
  const auto after = [&]() -> aio::Task<void> {
    const View view = co_await until_state(world.fleet(), 2, WorkerState::ready);
    EXPECT_EQ(view.workers.size(), 3U);
    EXPECT_EQ(find(view, 2)->place, "node 2");
    EXPECT_EQ(find(view, 1)->place, "node 1");
    EXPECT_EQ(view.capacity.why, "2 of 2 nodes up, 1 place left");
    EXPECT_EQ(world.pid_of(2), pid);
    world.kill(2);
    const View killed = co_await until_ended(world.fleet(), 2);
    EXPECT_EQ(end_of(killed, 2)->kind, EndKind::lost);
    EXPECT_EQ(end_of(killed, 2)->why, "gone without last words, while no scaler watched");
    world.end_well(0);
    const View left = co_await until_ended(world.fleet(), 0);
    EXPECT_EQ(end_of(left, 0)->kind, EndKind::succeeded);
    EXPECT_EQ(end_of(left, 0)->why, "idle");
  };
  world.run(after());
}

TEST_F(ProcessFleetTest, TheEndsAreKnownToTheNextScaler) {
  std::vector<model::EndedWorker> first;
  const auto before = [&]() -> aio::Task<void> {
    world.make_next_fail();
    const auto asked = co_await world.fleet().start(3, false, soon());
    EXPECT_TRUE(asked);
    const View view = co_await until_ended(world.fleet(), 3);
    first = view.ended;
  };
  world.run(before());
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].why, "exit status 1: no such queue: orders");
  world.restart();
  const auto after = [&]() -> aio::Task<void> {
    const auto view = co_await world.fleet().view(soon());
    EXPECT_EQ(view->ended.size(), 1U);
    EXPECT_EQ(view->ended.at(0).kind, EndKind::failed);
    EXPECT_EQ(view->ended.at(0).id, first[0].id);
    EXPECT_EQ(view->ended.at(0).why, first[0].why);
    EXPECT_EQ(view->ended.at(0).ended_at, first[0].ended_at);
    EXPECT_EQ(view->free_slots, (std::vector{0, 1, 2, 4, 3}));
  };
  world.run(after());
}

TEST_F(ProcessFleetTest, ACommandThatCannotRunIsAFailedStartWithItsReason) {
  world.options.command.argv = {"./no-such-program"};
  const auto body = [this]() -> aio::Task<void> {
    const auto asked = co_await world.fleet().start(0, false, soon());
    EXPECT_TRUE(asked);
    const auto view = co_await world.fleet().view(soon());
    EXPECT_TRUE(view->workers.empty());
    EXPECT_EQ(view->ended.size(), 1U);
    EXPECT_EQ(view->ended.at(0).kind, EndKind::failed);
    EXPECT_FALSE(view->ended.at(0).started);
    EXPECT_THAT(view->ended.at(0).why, HasSubstr("cannot start ./no-such-program: no such file"));
    EXPECT_EQ(view->capacity.why, "1 of 2 nodes up, 4 places left");
  };
  world.run(body());
}

TEST_F(ProcessFleetTest, AForeignProgramHoldsItsSlotAndADrainIsASigterm) {
  world.options.command.argv = {"sleep", "1000"};
  const auto body = [this]() -> aio::Task<void> {
    const auto asked = co_await world.fleet().start(0, false, soon());
    EXPECT_TRUE(asked);
    const pid_t pid = world.pid_of(0);
    const auto again = co_await world.other().start(0, false, soon());
    EXPECT_TRUE(again);
    EXPECT_EQ(world.pid_of(0), pid);
    EXPECT_EQ(::getsid(pid), pid);  // a terminal's Ctrl-C does not reach it
    const auto view = co_await world.other().view(soon());
    EXPECT_EQ(find(*view, 0)->state, WorkerState::starting);
    const std::string id = find(*view, 0)->id;
    const auto drained = co_await world.other().drain(0, id, soon());  // no child of this scaler
    EXPECT_TRUE(drained) << drained.error().what;
    const View ended = co_await until_ended(world.fleet(), 0);
    EXPECT_EQ(end_of(ended, 0)->kind, EndKind::lost);
    EXPECT_EQ(end_of(ended, 0)->why, "killed by SIGTERM");
  };
  world.run(body());
}

TEST_F(ProcessFleetTest, WhatAWorkerLeavesBehindKeepsItsSlot) {
  world.options.command.argv = {"sh", "-c", "sleep 1000 & echo $! > \"$SLUICE_STATE/child\"; exit 3"};
  const auto body = [this]() -> aio::Task<void> {
    const auto asked = co_await world.fleet().start(0, false, soon());
    EXPECT_TRUE(asked);
    co_await until_state(world.fleet(), 0, WorkerState::terminating);
    pid_t child = 0;
    std::ifstream(world.state() + "/child") >> child;
    EXPECT_GT(child, 1);
    if (child > 1) {
      EXPECT_EQ(::kill(child, SIGKILL), 0);
    }
    const View ended = co_await until_ended(world.fleet(), 0);
    EXPECT_EQ(end_of(ended, 0)->kind, EndKind::failed);
    EXPECT_EQ(end_of(ended, 0)->why, "exit status 3");
  };
  world.run(body());
}

TEST_F(ProcessFleetTest, AWithdrawnWorkerNeverRunsAndAnotherMayTakeItsNode) {
  const auto body = [this]() -> aio::Task<void> {
    for (const int slot : {0, 1, 2, 3}) {
      const auto asked = co_await world.fleet().start(slot, false, soon());
      EXPECT_TRUE(asked);
    }
    const View waits = co_await until_state(world.fleet(), 2, WorkerState::unscheduled);
    const std::string id = find(waits, 2)->id;
    const auto early = co_await world.fleet().drain(2, id, soon());
    EXPECT_EQ(early.error().code, Code::conflict);
    const auto done = co_await world.fleet().withdraw(2, id, soon());
    EXPECT_TRUE(done);
    const View up = co_await until_state(world.fleet(), 3, WorkerState::ready);
    EXPECT_EQ(find(up, 2), nullptr);
    EXPECT_EQ(world.pid_of(2), 0);
    EXPECT_FALSE(std::filesystem::exists(world.folder().slot_path(2, "lock")));
    const std::string other = find(up, 3)->id;
    const auto late = co_await world.fleet().withdraw(3, other, soon());
    EXPECT_EQ(late.error().code, Code::conflict);
  };
  world.run(body());
}

TEST_F(ProcessFleetTest, TheWorkerGetsItsEnvironmentAndItsOutputIsKept) {
  world.options.command.argv = {"env"};
  world.options.command.env = {{"COLOUR", "blue"}, {"SLUICE_SLOT", "9"}};
  world.options.command.secrets = "/etc/secrets";
  const auto body = [this]() -> aio::Task<void> {
    const auto asked = co_await world.fleet().start(4, true, soon());
    EXPECT_TRUE(asked);
    const View view = co_await until_ended(world.fleet(), 4);
    EXPECT_EQ(end_of(view, 4)->kind, EndKind::succeeded);
    const std::string log = "\n" + world.fleet().log_tail(4);
    for (const char* line :
         {"SLUICE_WORKER=orders-w4", "SLUICE_SLOT=4", "SLUICE_IDLE_EXIT=never", "SLUICE_POOL=default/orders",
          "SLUICE_QUEUE={\"local\":{\"path\":\"q.db\"}}", "SLUICE_SECRETS=/etc/secrets", "COLOUR=blue"}) {
      EXPECT_THAT(log, HasSubstr("\n" + std::string(line) + "\n"));
    }
    EXPECT_THAT(log, HasSubstr("\nSLUICE_STATE=" + world.fleet().folder().path() + "\n"));
  };
  world.run(body());
}

TEST_F(ProcessFleetTest, ABusyWorkerHasClaimedAndASilentOneIsUnknown) {
  const auto body = [this]() -> aio::Task<void> {
    co_await started(0);
    world.signal(0, SIGUSR2);
    const View busy = co_await until_state(world.fleet(), 0, WorkerState::busy);
    EXPECT_EQ(find(busy, 0)->handling, 1);
    EXPECT_EQ(find(busy, 0)->claimed_at, find(busy, 0)->created_at);  // not earlier, whatever it says
    world.signal(0, SIGSTOP);
    const View silent = co_await until_state(world.fleet(), 0, WorkerState::unknown);
    EXPECT_THAT(find(silent, 0)->why, HasSubstr("no answer on its socket for"));
    world.signal(0, SIGCONT);
    co_await until_state(world.fleet(), 0, WorkerState::busy);
  };
  world.run(body());
}

TEST_F(ProcessFleetTest, ChangedIsNotifiedWhenAWorkerBecomesReadyAndWhenItEnds) {
  const auto body = [this]() -> aio::Task<void> {
    aio::Event& changed = world.fleet().changed();
    const auto asked = co_await world.fleet().start(0, false, soon());
    EXPECT_TRUE(asked);
    const auto first = co_await changed.wait(soon());  // it got its place
    const auto second = co_await changed.wait(soon());
    EXPECT_EQ(first, aio::Wake::ready);
    EXPECT_EQ(second, aio::Wake::ready);
    const auto ready = co_await world.fleet().view(soon());
    EXPECT_EQ(find(*ready, 0)->state, WorkerState::ready);
    world.kill(0);
    const auto third = co_await changed.wait(soon());
    EXPECT_EQ(third, aio::Wake::ready);
    const auto ended = co_await world.fleet().view(soon());
    EXPECT_EQ(find(*ended, 0), nullptr);
  };
  world.run(body());
}

// The moments at which a scaler may be killed: what it leaves is a free slot or a worker that is found.
TEST_F(ProcessFleetTest, AScalerKilledAfterExecLeavesAWorkerThatIsFound) {
  const StateFolder folder = world.folder();
  auto lock = take_slot(folder, 1).value().value();
  ASSERT_TRUE(lock.write(to_json(SlotRecord{.worker = "orders-w1", .id = "abc", .node = 2})));
  aio::SpawnOptions spawn;
  spawn.argv = {"/proc/self/exe"};
  spawn.environment = environment_of(world.options.command, {"orders-w1", 1, false, folder.path(), lock.fd()});
  spawn.keep_fds = {lock.fd()};
  const auto process = aio::Process::spawn(world.loop(), world.clock(), spawn);
  ASSERT_TRUE(process);
  lock.close();
  const auto body = [this]() -> aio::Task<void> {
    const View view = co_await until_state(world.fleet(), 1, WorkerState::ready);
    EXPECT_EQ(find(view, 1)->id, "abc");
    EXPECT_EQ(find(view, 1)->place, "node 2");
    const auto drained = co_await world.fleet().drain(1, "abc", soon());
    EXPECT_TRUE(drained);
    const View ended = co_await until_ended(world.fleet(), 1);
    EXPECT_EQ(end_of(ended, 1)->kind, EndKind::succeeded);
  };
  world.run(body());
}

TEST_F(ProcessFleetTest, AHeldSlotWithoutARecordIsLive) {
  const StateFolder folder = world.folder();
  auto lock = take_slot(folder, 0).value().value();
  const auto body = [&]() -> aio::Task<void> {
    const auto asked = co_await world.fleet().start(0, false, soon());
    EXPECT_TRUE(asked);
    const auto view = co_await world.fleet().view(soon());
    EXPECT_EQ(view->workers.size(), 1U);
    EXPECT_EQ(view->workers.at(0).state, WorkerState::starting);
    EXPECT_TRUE(view->workers.at(0).id.empty());
    lock.close();
    const auto free = co_await world.fleet().view(soon());
    EXPECT_TRUE(free->workers.empty());
  };
  world.run(body());
}

TEST_F(ProcessFleetTest, DrainAllWithdrawsThoseWhoWaitAndAsksTheOthers) {
  const auto body = [this]() -> aio::Task<void> {
    for (const int slot : {0, 1, 2}) {
      const auto asked = co_await world.fleet().start(slot, false, soon());
      EXPECT_TRUE(asked);
    }
    co_await until_state(world.fleet(), 1, WorkerState::ready);
    co_await until_state(world.fleet(), 0, WorkerState::ready);
    const int left = co_await world.fleet().drain_all(soon());
    EXPECT_LE(left, 2);
    const auto empty = [](const View& view) { return view.workers.empty(); };
    const View view = co_await until(world.fleet(), "all left", empty);
    EXPECT_EQ(end_of(view, 2), nullptr);
    EXPECT_EQ(end_of(view, 1)->kind, EndKind::succeeded);
  };
  world.run(body());
}

TEST_F(ProcessFleetTest, ObservingNotesNothing) {
  const auto body = [this]() -> aio::Task<void> {
    co_await started(0);
    world.kill(0);
    co_await until_ended(world.fleet(), 0);
  };
  world.run(body());
  SlotRecord record = look_at_slot(world.folder(), 0).value().record.value();
  record.end.reset();
  ASSERT_TRUE(take_slot(world.folder(), 0).value().value().write(to_json(record)));
  world.restart();
  world.options.observe_only = true;
  const auto look = [this]() -> aio::Task<void> {
    const auto view = co_await world.fleet().view(soon());
    EXPECT_EQ(end_of(*view, 0)->kind, EndKind::lost);
  };
  world.run(look());
  EXPECT_EQ(look_at_slot(world.folder(), 0).value().record, record);
}

}  // namespace
}  // namespace sluice::fleet::process
