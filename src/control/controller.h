// SPDX-License-Identifier: Apache-2.0
#pragma once
// One pool's loop: observe, decide, record, act; then wait until the next look is due.
//
// Level, not edge: an event only makes the pool due, the tick looks at the whole picture again. Everything it touches
// comes in through the constructor, so production and simulation run this very code.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "aio/event.h"
#include "base/log.h"
#include "control/decide.h"
#include "control/journal.h"
#include "control/observe.h"
#include "control/poll_budget.h"
#include "fleet/fleet.h"
#include "queue/backlog_source.h"

namespace sluice::control {

struct ControllerOptions {
  bool dry_run = false;  // decides and records, acts on nothing
  Duration tick_deadline =
      std::chrono::seconds{5};  // for reading and for acting each; chosen: below the least `every`s a human sets
  ControlState initial{.fresh = true};
  std::shared_ptr<PollBudget> budget = std::make_shared<PollBudget>();  // shared by all pools of one broker
  // Replaced only by tests that plant bugs.
  std::function<Step(const pool::PoolSpec&, const ControlState&, const model::Observation&)> decide = control::decide;
};

// What the last tick saw, decided and did; for screens and status. Of a tick that could not be recorded: what it saw, a
// decision to hold that says why, and the last recorded tick's id.
struct Snapshot {
  std::string tick;
  bool recorded = true;
  WallTime at;
  Duration took{0};         // reading, deciding and acting
  Duration stale_after{0};  // older than this a reading of the queue counts for nothing
  model::Observation seen;
  model::Decision decision;
  model::Plan plan;
  ActRecord did;
  std::optional<model::FleetView> view;
};

class Controller {
 public:
  // All references outlive the controller. `due` is notified by whoever knows that looking again is worth it.
  Controller(aio::Loop& loop, aio::Clock& clock, aio::Event& due, queue::BacklogSource& source, fleet::Fleet& fleet,
             Journal& journal, const Log& log, const pool::Pool& pool, ControllerOptions options);

  // Ticks until cancelled. `after_tick`, if set, is called after each.
  [[nodiscard]] aio::Task<void> run();
  [[nodiscard]] aio::Task<void> tick();
  [[nodiscard]] const Snapshot& snapshot() const { return snapshot_; }
  [[nodiscard]] const ControlState& state() const { return state_; }
  std::function<void(const Snapshot&)> after_tick;

 private:
  // What to do about what was read, recorded; false: it could not be recorded, and nothing may be done.
  [[nodiscard]] bool judge(const Result<model::FleetView>& fleet, const Result<model::Sample>& sample);
  [[nodiscard]] Snapshot unrecorded(WallTime at, const model::Observation& seen, const Error& why) const;
  // What the snapshot plans, recorded.
  [[nodiscard]] aio::Task<void> act();
  struct Started {
    int slot = 0;
    Result<void> done = Error{};
  };
  [[nodiscard]] aio::Task<void> start_one(Started* one, aio::Deadline deadline);
  [[nodiscard]] aio::Task<void> start_all(std::vector<Started>& batch, aio::Deadline deadline);
  [[nodiscard]] aio::Task<void> apply(model::Plan plan, aio::Deadline deadline);
  [[nodiscard]] Time next_due(Time started);
  [[nodiscard]] std::string worker_id(int slot) const;
  void note(std::vector<std::string>& done, int slot, const Result<void>& result);

  aio::Loop& loop_;
  aio::Clock& clock_;
  aio::Event& due_;
  queue::BacklogSource& source_;
  fleet::Fleet& fleet_;
  Journal& journal_;
  const Log& log_;
  const pool::Pool& pool_;
  ControllerOptions options_;
  PollBudget::Share share_;
  Observer observer_;
  ControlState state_;
  Snapshot snapshot_;
  std::optional<std::int64_t> again_in_ms_;
  std::optional<Time> last_work_;  // work was due or seen: an adaptive pool looks often for ten minutes after
};

}  // namespace sluice::control
