// SPDX-License-Identifier: Apache-2.0
#pragma once
// The fleet of one machine: real worker processes in their own sessions, on an imagined node group, so that "wait for
// the node", "full" and "workers leave" happen for real on a laptop.
//
// What is true is in the slots' locks (slot_lock.h), not in this object: a restarted scaler finds its living workers by
// looking, and a second one cannot start a second worker in a slot. This object remembers only what nobody else can
// know: who waits for a node, and the exit status of its own children.
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "aio/clock.h"
#include "aio/event.h"
#include "aio/http.h"
#include "aio/process.h"
#include "aio/task_group.h"
#include "base/random.h"
#include "fleet/ending.h"
#include "fleet/fleet.h"
#include "fleet/node_group.h"
#include "fleet/process/slot_lock.h"
#include "fleet/process/state_folder.h"
#include "fleet/process/worker_command.h"
#include "fleet/worker_words.h"

namespace sluice::fleet::process {

struct ProcessFleetOptions {
  std::string pool = "orders";  // workers are named <pool>-w<slot>
  int max = 1;                  // slots 0..max-1; workers in higher ones, left from a higher max, stay in view
  NodeGroupOptions nodes;
  WorkerCommand command;
  Duration silence_allowed = std::chrono::seconds{2};  // chosen: ten missed answers; then a worker's state is unknown
  bool observe_only = false;                           // for status and doctor: notes nothing in the state folder
};

class ProcessFleet final : public Fleet {
 public:
  // Finds the living workers of the state folder and puts them back on their nodes.
  static Result<std::unique_ptr<ProcessFleet>> open(aio::Loop& loop, aio::Clock& clock, Random random,
                                                    StateFolder folder, ProcessFleetOptions options);

  aio::Task<Result<model::FleetView>> view(aio::Deadline deadline) override;
  aio::Task<Result<void>> start(int slot, bool stays_when_idle, aio::Deadline deadline) override;
  aio::Task<Result<void>> withdraw(int slot, std::string id, aio::Deadline deadline) override;
  // POST /drain on the worker's socket; a program that has none gets SIGTERM, once.
  aio::Task<Result<void>> drain(int slot, std::string id, aio::Deadline deadline) override;

  // Boots nodes, starts workers when their place is there, sees them become ready and end; until cancelled, which
  // leaves the workers running. Its owner spawns it once.
  [[nodiscard]] aio::Task<void> run();
  // Notified when a worker got its place, became ready or ended: a tick is due.
  [[nodiscard]] aio::Event& changed() { return changed_; }

  // Withdraws those who wait and asks all others to drain. Returns how many still live.
  [[nodiscard]] aio::Task<int> drain_all(aio::Deadline deadline);
  // The last 4 kB that the worker of a slot, or the last one there, wrote to stdout and stderr.
  [[nodiscard]] std::string log_tail(int slot) const { return folder_.tail(slot, "log", 4096); }
  [[nodiscard]] const NodeGroup& nodes() const { return nodes_; }
  [[nodiscard]] const StateFolder& folder() const { return folder_; }

 private:
  struct Waiting {
    std::string id;
    Time created_at;
    bool stays_when_idle = false;
    Time retry_at;  // not before, after the machine refused
  };
  struct Live {
    SlotRecord record;
    std::shared_ptr<aio::Process> process;  // our own child; empty for one found alive
    bool watched = false;
    model::WorkerState state = model::WorkerState::starting;
    Time since;
    std::string why;
    std::optional<Time> claimed_at;
    int handling = 0;
    model::SaidTally tally;
    bool was_ready = false;
    Time answered_at;
    bool asked_by_signal = false;
  };
  struct Answer {
    int slot = 0;
    std::string id;
    std::optional<WorkerWords> words;
    Time at;
  };

  ProcessFleet(aio::Loop& loop, aio::Clock& clock, Random random, StateFolder folder, ProcessFleetOptions options);

  // What the slots' locks say now; an Error if one cannot be read.
  Result<void> scan();
  Result<void> scan_slot(int slot, Time now);
  void meet(int slot, const std::optional<SlotRecord>& record, Time now);
  void part(int slot, SlotRecord record, Time now);
  [[nodiscard]] SlotEnd end_of(const Live* live, int slot, const SlotRecord& record, Time now) const;
  void note_end(int slot, const SlotRecord& record);
  void remember_end(int slot, const SlotRecord& record);
  [[nodiscard]] model::SaidTally said_last(int slot, const std::string& id) const;

  // What the workers themselves say.
  [[nodiscard]] aio::Task<void> ask_all(bool starting_only, aio::Deadline deadline);
  [[nodiscard]] aio::Task<void> ask(Answer* answer, aio::Deadline deadline);
  void hear(const Answer& answer, Time now);
  void enter(Live& live, model::WorkerState state, Time now);

  void spawn_placed();
  Result<void> spawn(int slot);
  Result<void> exec(int slot, LockFile& lock, SlotRecord record);
  [[nodiscard]] aio::Task<void> serve(aio::TaskGroup* group);
  [[nodiscard]] aio::Task<void> watch(std::shared_ptr<aio::Process> process);
  [[nodiscard]] aio::Deadline next_look() const;

  [[nodiscard]] Result<void> check_slot(int slot, aio::Deadline deadline) const;
  [[nodiscard]] Error gone(int slot) const;
  Result<void> ask_by_signal(int slot);
  [[nodiscard]] model::FleetView assemble(Time observed_at) const;

  aio::Loop& loop_;
  aio::Clock& clock_;
  Random random_;
  StateFolder folder_;
  ProcessFleetOptions options_;
  NodeGroup nodes_;
  aio::http::Client client_;
  aio::Event changed_;
  aio::Event work_;  // for run(): look again
  int slots_ = 0;    // how many are looked at: at least max
  std::map<int, Waiting> waiting_;
  std::map<int, Live> live_;
  std::map<int, model::EndedWorker> ended_;  // of free slots
};

}  // namespace sluice::fleet::process
