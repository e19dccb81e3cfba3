// SPDX-License-Identifier: Apache-2.0
#pragma once
// The in-memory twin of a fleet: slots, nodes and workers that are only entries, under any Clock. A simulation attaches
// a real worker runtime to an entry by on_spawn and tells the fleet what became of it; without on_spawn the workers
// become ready by themselves. Faults of the calls are fleet/faulty.h's; faults of the world (crash, node loss) are
// here.
//
// Two scalers share one MemoryFleet: the slot is the fence, as a Job's name or a slot lock is.
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "aio/clock.h"
#include "aio/event.h"
#include "base/random.h"
#include "fleet/ending.h"
#include "fleet/fleet.h"
#include "fleet/node_group.h"

namespace sluice::fleet {

struct MemoryOptions {
  std::string pool = "orders";  // workers are named <pool>-w<slot>
  int max = 1;                  // slots 0..max-1
  NodeGroupOptions nodes;
  // Each uniform between the two, drawn for every start.
  Duration request_low{0}, request_high{0};  // from start() until the nodes hear of it
  Duration spawn_low{0}, spawn_high{0};      // from its place on a node until the process runs (an image to pull)
  Duration ready_low{0}, ready_high{0};      // from there until ready; only without on_spawn
};

// A worker whose process starts to run.
struct Spawned {
  int slot = 0;
  std::string name;
  std::string id;
  bool stays_when_idle = false;
};

enum class FleetEventKind { requested, placed, spawned, ready, claimed, draining, ended, withdrawn };

struct FleetEvent {
  FleetEventKind kind = FleetEventKind::requested;
  Time at;
  int slot = 0;
  std::string id;
  int live = 0;  // workers of any state, after it
};

class MemoryFleet final : public Fleet {
 public:
  MemoryFleet(aio::Clock& clock, Random random, MemoryOptions options);

  aio::Task<Result<model::FleetView>> view(aio::Deadline deadline) override;
  aio::Task<Result<void>> start(int slot, bool stays_when_idle, aio::Deadline deadline) override;
  aio::Task<Result<void>> withdraw(int slot, std::string id, aio::Deadline deadline) override;
  aio::Task<Result<void>> drain(int slot, std::string id, aio::Deadline deadline) override;

  // Boots nodes and starts workers when their time comes, until cancelled. Its owner spawns it once.
  [[nodiscard]] aio::Task<void> run();
  // Notified whenever something a scaler waits for changed: placed, ready, ended.
  [[nodiscard]] aio::Event& changed() { return changed_; }

  // Hooks, called in the middle of a change: they note or post, and await nothing.
  std::function<void(const Spawned&)> on_spawn;
  std::function<void(const std::string& id)> on_drain;  // the worker was asked to drain
  std::function<void(const std::string& id)> on_kill;   // the worker is dead as of now: crash(), lose_node()
  std::function<void(const FleetEvent&)> on_event;      // after every change

  // The worker's side. Reports of a worker that is gone are dropped, as a broken connection would drop them.
  void report_ready(const std::string& id);
  // busy, idle or draining; busy for the first time is the claim.
  void report(const std::string& id, model::WorkerState state, int handling);
  void report_end(const std::string& id, int exit_code, std::int64_t settled, const std::string& last_words);

  // The world's faults. crash() and lose_node() count the messages the worker said it settled as 0 unless told.
  void crash(int slot, int signal, std::int64_t settled);
  void lose_node(int node);
  void hide(int slot, bool hidden);  // its node does not answer: state unknown

  // For invariants: what is really there, now.
  [[nodiscard]] model::FleetView truth() const;
  [[nodiscard]] int live() const;
  [[nodiscard]] const NodeGroup& nodes() const { return nodes_; }
  // How many processes were ever spawned.
  [[nodiscard]] int spawned() const { return spawned_; }

 private:
  enum class Stage { requested, waiting, placed, running };
  struct Entry {
    model::Worker worker;
    Stage stage = Stage::requested;
    std::optional<Time> next_at;  // when it goes to its next stage by itself
    std::optional<Time> spawned_at;
    bool stays_when_idle = false;
    bool was_ready = false;
    bool hidden = false;
  };
  struct Slot {
    std::optional<Entry> entry;
    std::optional<model::EndedWorker> last;
  };

  [[nodiscard]] Entry* find(const std::string& id);
  [[nodiscard]] Result<Entry*> find(int slot, const std::string& id);
  void turn();
  void step(Entry& entry, Time now);
  void place(Entry& entry, Time now);
  void spawn_now(Entry& entry, Time now);
  void enter(Entry& entry, model::WorkerState state, Time now);
  void end(int slot, EndFacts facts, const std::string& why);
  [[nodiscard]] std::optional<Time> next() const;
  void tell(FleetEventKind kind, int slot, const std::string& id);

  aio::Clock& clock_;
  Random random_;
  MemoryOptions options_;
  NodeGroup nodes_;
  std::vector<Slot> slots_;
  aio::Event changed_;
  aio::Event work_;  // for run(): the next time may be earlier now
  int spawned_ = 0;
  std::int64_t starts_ = 0;
};

}  // namespace sluice::fleet
