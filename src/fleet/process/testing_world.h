// SPDX-License-Identifier: Apache-2.0
#pragma once
// A process fleet in a folder of its own, for tests: real workers, real time, everything gone at the end.
#include <fcntl.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <sys/types.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "aio/loop.h"
#include "aio/task_group.h"
#include "base/testing_folder.h"
#include "fleet/process/process_fleet.h"

namespace sluice::fleet::process {

class ProcessWorld {
 public:
  ProcessWorld() : clock_(loop_) {
    // Deeper than a socket address is long, so that every test shows that this does not matter.
    state_ = root() + "/" + std::string(60, 'a') + "/" + std::string(60, 'b');
    options.max = 5;
    options.nodes = {.min = 1, .max = 2, .slots = 2, .boot = std::chrono::milliseconds{1500}};
    options.command.argv = {"sluice"};
    options.command.binary = "/proc/self/exe";
    options.command.environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "SLUICE_TEST_WORKER=1"};
    options.command.pool_id = "default/orders";
    options.command.queue_json = R"({"local":{"path":"q.db"}})";
    options.command.idle_exit = "10s";
    options.silence_allowed = std::chrono::milliseconds{200};
  }
  ~ProcessWorld() { kill_all(); }
  ProcessWorld(const ProcessWorld&) = delete;
  ProcessWorld& operator=(const ProcessWorld&) = delete;

  aio::RealClock& clock() { return clock_; }
  aio::Loop& loop() { return loop_; }
  [[nodiscard]] StateFolder folder() const { return StateFolder::open(state_, true).value(); }
  [[nodiscard]] const std::string& state() const { return state_; }
  [[nodiscard]] const std::string& root() const { return root_.path(); }

  // The fleets open the folder when first asked for, with `options` as they are then.
  ProcessFleet& fleet() { return get(fleet_); }
  ProcessFleet& other() { return get(other_); }
  // Forgets the first fleet, as a scaler that ends does; the next fleet() is a new scaler's.
  void restart() { fleet_.reset(); }

  void run(aio::Task<void> body) {
    const auto main = [this, &body]() -> aio::Task<void> {
      aio::TaskGroup group(loop_, clock_);
      group.spawn(fleet().run());
      co_await std::move(body);
      group.cancel();
      co_await group.join();
    };
    loop_.run(main());
  }

  void make_next_fail() {
    fleet();
    const aio::Fd file(::open((state_ + "/fail").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    EXPECT_TRUE(file);
  }
  void end_well(int slot) { signal(slot, SIGUSR1); }
  void kill(int slot) { signal(slot, SIGKILL); }
  void signal(int slot, int number) {
    const pid_t pid = pid_of(slot);
    ASSERT_GT(pid, 1);
    ASSERT_EQ(::kill(pid, number), 0);
  }
  // Of the living worker there; 0 for none.
  [[nodiscard]] pid_t pid_of(int slot) const {
    const Result<SlotLook> seen = look_at_slot(folder(), slot);
    return seen && seen->held && seen->record ? seen->record->pid : 0;
  }

  ProcessFleetOptions options;

 private:
  ProcessFleet& get(std::unique_ptr<ProcessFleet>& fleet) {
    if (!fleet) {
      fleet = ProcessFleet::open(loop_, clock_, Random(++seed_), folder(), options).value();
    }
    return *fleet;
  }
  void kill_all() {
    for (int slot = 0; slot < 10; ++slot) {
      if (const pid_t pid = pid_of(slot); pid > 1) {
        ::kill(-pid, SIGKILL);  // a session of its own: with what it started
      }
    }
  }

  aio::Loop loop_;
  aio::RealClock clock_;
  TestFolder root_;
  std::string state_;
  std::unique_ptr<ProcessFleet> fleet_;
  std::unique_ptr<ProcessFleet> other_;
  std::uint64_t seed_ = 0;
};

}  // namespace sluice::fleet::process
