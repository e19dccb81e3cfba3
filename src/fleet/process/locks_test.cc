// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <optional>

#include "base/testing_folder.h"
#include "fleet/process/held_slot.h"
#include "fleet/process/scaler_lock.h"
#include "fleet/process/slot_lock.h"
#include "fleet/process/worker_command.h"
#include "fleet/worker_words.h"

namespace sluice::fleet::process {
namespace {

using ::testing::HasSubstr;

class Locks : public ::testing::Test {
 protected:
  [[nodiscard]] StateFolder folder() const { return StateFolder::open(root + "/state", true).value(); }
  static WallTime at(const char* text) { return parse_wall(text).value(); }

  const TestFolder own;
  const std::string root = own.path();
};

TEST_F(Locks, ASecondScalerIsRefusedAndToldWhoHoldsThePool) {
  const std::string path = folder().scaler_lock();
  {
    const auto first = ScalerLock::take(path, {"default/orders", 4711, at("2026-01-31T14:02:30.000Z")});
    ASSERT_TRUE(first);
    const auto second = ScalerLock::take(path, {"default/orders", 4712, at("2026-01-31T14:05:00.000Z")});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::conflict);
    EXPECT_EQ(second.error().what, "pool default/orders is scaled by pid 4711 since 14:02:30");
    const auto other = ScalerLock::take(path, {"default/mails", 4712, at("2026-01-31T14:05:00.000Z")});
    EXPECT_THAT(other.error().what,
                HasSubstr(": pool default/orders is scaled by pid 4711 since 14:02:30; one scaler a queue"));
    EXPECT_EQ(scaler_of(path).value()->pid, 4711);
  }
  EXPECT_FALSE(scaler_of(path).value());  // the content stays, the lock does not
  EXPECT_TRUE(ScalerLock::take(path, {"default/orders", 4712, at("2026-01-31T14:05:00.000Z")}));
}

TEST_F(Locks, AScalerLockThatCannotBeMadeNamesTheFileAndTheReason) {
  const auto missing = ScalerLock::take(root + "/nowhere/scaler.lock", {"default/orders", 1, {}});
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().what, HasSubstr("/nowhere/scaler.lock: cannot open: No such file or directory"));
}

TEST_F(Locks, AHeldSlotIsSeenWithoutBeingTouchedAndItsContentStaysWhenItIsFree) {
  const StateFolder state = folder();
  SlotRecord record{.worker = "orders-w2", .id = "abc", .pid = 12, .node = 3, .stays_when_idle = true};
  record.created_at = Time{std::chrono::nanoseconds{123456789}};
  record.started_at = at("2026-01-31T14:02:30.125Z");
  {
    auto lock = take_slot(state, 2).value();
    ASSERT_TRUE(lock);
    ASSERT_TRUE(lock->write(to_json(record)));
    EXPECT_FALSE(take_slot(state, 2).value());
    const SlotLook seen = look_at_slot(state, 2).value();
    EXPECT_TRUE(seen.held);
    EXPECT_EQ(seen.record, record);
    record.end =
        SlotEnd{.kind = model::EndKind::lost, .started = true, .why = "say \"no\"", .at = Time{std::chrono::hours{2}}};
    ASSERT_TRUE(lock->write(to_json(record)));
  }
  const SlotLook seen = look_at_slot(state, 2).value();
  EXPECT_FALSE(seen.held);
  EXPECT_EQ(seen.record, record);
  EXPECT_FALSE(look_at_slot(state, 7).value().record);
  EXPECT_EQ(state.slots_seen(), 3);
}

TEST_F(Locks, AShorterRecordLeavesNothingOfALongerOne) {
  auto lock = take_slot(folder(), 0).value();
  ASSERT_TRUE(lock->write(to_json({.worker = "orders-w0", .id = std::string(2000, 'x')})));
  ASSERT_TRUE(lock->write(to_json({.worker = "orders-w0", .id = "short"})));
  EXPECT_EQ(look_at_slot(folder(), 0).value().record->id, "short");
}

TEST_F(Locks, AWorkerStartedByHandTakesAFreeSlotOrIsRefused) {
  const StateFolder state = folder();
  const auto zero = take_slot(state, 0).value();
  SlotRecord record{.id = "hand", .pid = 77};
  const auto taken = take_free_slot(state, "orders", 2, record);
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->slot, 1);
  EXPECT_EQ(taken->worker, "orders-w1");
  EXPECT_EQ(look_at_slot(state, 1).value().record->pid, 77);
  const auto refused = take_free_slot(state, "orders", 2, record);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::conflict);
  EXPECT_THAT(refused.error().what, HasSubstr("all 2 slots have a live worker"));
}

TEST_F(Locks, AnInheritedLockIsClosedOnExecAndAnythingElseIsRefused) {
  const int fd = ::open((root + "/x").c_str(), O_CREAT | O_RDWR, 0644);
  const auto lock = LockFile::inherited(fd);
  ASSERT_TRUE(lock);
  EXPECT_EQ(::fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  EXPECT_FALSE(LockFile::inherited(-1));
  EXPECT_FALSE(LockFile::inherited(1));
  EXPECT_FALSE(LockFile::inherited(987));
}

TEST_F(Locks, AWorkerHoldsTheSlotItWasGivenAndLeavesItsLastWords) {
  const StateFolder state = StateFolder::open(root + "/state", true).value();
  std::map<std::string, std::string> variables;
  const auto environment = [&variables](const std::string& name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
  EXPECT_FALSE(HeldSlot::inherited(environment).value());
  const int fd = ::open(state.slot_path(2, "lock").c_str(), O_CREAT | O_RDWR, 0644);
  variables = {{"SLUICE_SLOT_FD", std::to_string(fd)},
               {"SLUICE_SLOT", "2"},
               {"SLUICE_STATE", root + "/state"},
               {"SLUICE_WORKER", "orders-w2"}};
  const auto held = HeldSlot::inherited(environment);
  ASSERT_TRUE(held && *held);
  EXPECT_EQ((*held)->worker(), "orders-w2");
  EXPECT_EQ((*held)->socket(), state.slot_path(2, "sock"));
  EXPECT_TRUE((*held)->last_words("{}"));
  EXPECT_EQ(state.tail(2, "last", 10), "{}");
  variables["SLUICE_SLOT"] = "two";
  EXPECT_EQ(HeldSlot::inherited(environment).error().what,
            "SLUICE_SLOT is \"two\"; a scaler sets it to a whole number");
}

TEST_F(Locks, AMissingStateFolderIsGoneUnlessItMayBeMade) {
  const auto missing = StateFolder::open(root + "/none", false);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::gone);
  std::ofstream(root + "/file") << "x";
  const auto blocked = StateFolder::open(root + "/file", true);
  ASSERT_FALSE(blocked);
  EXPECT_THAT(blocked.error().what, HasSubstr("/file/slots: cannot make the state folder"));
}

TEST_F(Locks, ALogIsReadFromItsEndAndEmptiedWhenTooLong) {
  const StateFolder state = folder();
  std::ofstream(state.slot_path(0, "log")) << "0123456789";
  EXPECT_EQ(state.tail(0, "log", 4), "6789");
  EXPECT_EQ(state.tail(0, "log", 100), "0123456789");
  EXPECT_EQ(state.tail(1, "log", 100), "");
  state.bound(0, "log", 10);
  EXPECT_EQ(state.tail(0, "log", 100), "0123456789");
  state.bound(0, "log", 9);
  EXPECT_EQ(state.tail(0, "log", 100), "");
}

TEST(SlotRecord, IsReadFromNothingButARecord) {
  for (const char* text : {"", "x", "[]", "{}", R"({"id":"a"})", R"({"id":1,"worker":"w"})"}) {
    EXPECT_FALSE(parse_record(text)) << text;
  }
  EXPECT_EQ(parse_record(R"({"id":"a","worker":"w","node":99999999999})")->node, 10000);
  EXPECT_FALSE(parse_record(R"({"id":"a","worker":"w","ended":{"kind":"odd"}})")->end);
}

TEST(WorkerWords, AreReadAsTheContractHasThem) {
  const auto words = parse_words(R"({"v":1,"worker":"orders-w3","state":"busy","handling":2,)"
                                 R"("first_claim_at":"2026-01-31T14:02:30.125Z","done":3,"retried":1,"failed":1,)"
                                 R"("dead_lettered":1,"requeued":9,"wait_s":{"count":0},"reason":null})");
  ASSERT_TRUE(words);
  EXPECT_EQ(words->state, model::WorkerState::busy);
  EXPECT_EQ(words->worker, "orders-w3");
  EXPECT_EQ(words->handling, 2);
  EXPECT_EQ(words->settled, 6);  // what was requeued is not settled
  EXPECT_TRUE(words->first_claim_at);
  EXPECT_EQ(words->reason, "");
  ASSERT_TRUE(words->tally);
  EXPECT_EQ(*words->tally, (model::Tally{.done = 3, .retried = 1, .failed = 1, .dead_lettered = 1, .requeued = 9}));
  EXPECT_EQ(parse_words(R"({"state":"gone"})")->tally, nullptr);
  EXPECT_EQ(parse_words(R"({"state":"gone"})")->state, model::WorkerState::terminating);
  EXPECT_EQ(parse_words(R"({"state":"ready","done":-5,"handling":99999999999})")->settled, 0);
  for (const char* text : {"", "{}", "[]", R"({"state":"starting"})", R"({"state":7})", "<html>"}) {
    EXPECT_FALSE(parse_words(text)) << text;
  }
}

TEST(WorkerWords, TakeHistogramsOfAnyBoundsAndGuessNothing) {
  const auto waits = [](const std::string& text) {
    return parse_words(R"({"state":"gone","done":4,"wait_s":)" + text + "}")->tally->wait;
  };
  const model::Durations own = waits(R"({"count":4,"sum":1.25,"le":[[0.01,0],[0.05,1],[1,3]]})");
  EXPECT_EQ(own.count, 4);
  EXPECT_EQ(own.sum_ms, 1250);
  EXPECT_EQ(own.at_most[1], 1);  // 50 ms
  EXPECT_EQ(own.at_most[4], 3);  // 1 s
  EXPECT_EQ(own.at_most.back(), 3);
  const model::Durations foreign = waits(R"({"count":4,"sum":1,"le":[[0.7,2]]})");
  EXPECT_EQ(foreign.at_most[3], 0);  // 500 ms: 700 ms may be more
  EXPECT_EQ(foreign.at_most[4], 2);
  for (const char* const text : {"7", "{}", R"({"count":4})", R"({"count":4,"sum":-1})", R"({"count":4,"sum":1e300})",
                                 R"({"count":4,"sum":1,"le":[[1]]})", R"({"count":4,"sum":1,"le":[["a",1]]})"}) {
    EXPECT_EQ(waits(text), model::Durations{}) << text;
  }
  EXPECT_EQ(waits(R"({"count":4,"sum":1,"le":[[1,99]]})").at_most[4], 4) << "never more than there are";
}

TEST(LastLine, IsOneCleanLine) {
  EXPECT_EQ(last_line("connecting\nno such queue\n\n"), "no such queue");
  EXPECT_EQ(last_line(""), "");
  EXPECT_EQ(last_line(" \n"), "");
  EXPECT_EQ(last_line("\x1b[31mred"), "?[31mred");
  EXPECT_EQ(last_line("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(last_line("bad \xc3"), "bad ?");
  EXPECT_EQ(last_line(std::string(1000, 'x')).size(), 300U);
}

TEST(WorkerCommand, SluiceMeansTheScalersOwnProgramAndTheLaterVariableWins) {
  WorkerCommand command;
  command.argv = {"sluice", "work", "--exec", "./handle"};
  command.binary = "/opt/sluice";
  EXPECT_EQ(argv_of(command), (std::vector<std::string>{"/opt/sluice", "work", "--exec", "./handle"}));
  const std::vector<std::string> inherited = {"A=0", "C=3"};
  command.inherited = &inherited;
  command.environment = {"A=1", "B=1", "SLUICE_SECRETS=/other", "SLUICE_SLOT=7", "broken"};
  command.env = {{"B", "2"}};
  const std::vector<std::string> all = environment_of(command, {"orders-w0", 0, false, "/state", 5});
  EXPECT_THAT(all, ::testing::IsSupersetOf({"A=1", "B=2", "C=3", "SLUICE_SLOT=0", "SLUICE_SLOT_FD=5"}));
  EXPECT_THAT(all, ::testing::Not(::testing::Contains(::testing::StartsWith("SLUICE_SECRETS="))));
}

}  // namespace
}  // namespace sluice::fleet::process
