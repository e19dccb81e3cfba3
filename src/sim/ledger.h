// SPDX-License-Identifier: Apache-2.0
#pragma once
// The safety invariants, checked after every event. The first violation is kept; the world ends then. Names I1.. are
// the project's list of invariants in docs/explanation/simulation.md.
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include "control/controller.h"
#include "fleet/memory.h"
#include "queue/memory.h"
#include "sim/plan.h"

namespace sluice::sim {

// What a scaler was really told, before any planted bug, and what it did about it.
struct Told {
  std::optional<Result<model::FleetView>> view;
  std::optional<Result<model::Sample>> sample;
  std::optional<Time> last_start;      // its last attempt to start a worker
  std::int64_t requested_in_tick = 0;  // workers that came to be by its calls since it decided
  std::int64_t live_seen_before = 0;   // sum of its last observation's workers
  bool ticked = false;
};

class Ledger {
 public:
  Ledger(const Plan& plan, aio::Clock& clock) : plan_(plan), clock_(clock) {}

  // --- the queue's side
  void confirmed(const std::string& id) { confirmed_.insert(id); }
  void queue_event(const queue::MemoryEvent& event);
  // --- a worker's side
  void handler_started(const std::string& worker, const std::string& id, bool draining);
  void handler_succeeded(const std::string& worker, const std::string& id);
  void handler_failed(const std::string& id);
  // Killed by chaos or by a poison message while these ran.
  void killed(const std::string& worker, bool by_poison);
  void worker_left(const std::string& worker, int exit_code);
  // --- the fleet's side
  void fleet_event(const fleet::FleetEvent& event);
  // A worker was ended: chaos says so before it does it.
  void chaos_will_end(const std::string& worker) { ended_by_chaos_.insert(worker); }
  void worker_ended(const std::string& worker);
  // --- a scaler's side
  void decided(Told& told, const control::Snapshot& snapshot);
  void acted(Told& told, const control::Snapshot& snapshot);
  // --- the end
  void final_check(queue::MemoryBroker& broker, const fleet::MemoryFleet& fleet);
  [[nodiscard]] bool all_settled(queue::MemoryBroker& broker) const;

  void violate(std::string what);
  [[nodiscard]] const std::optional<std::string>& violation() const { return violation_; }

 private:
  struct MessageFacts {
    std::uint32_t attempts = 0;  // the largest seen
    std::uint32_t copies = 0;    // sent again after an unknown answer, when the first copy was done already
    std::uint32_t deliveries = 0;
    std::uint32_t labelled = 0;  // deliveries that carried a cause
    std::uint32_t successes = 0;
    std::uint32_t failures = 0;         // the handler said so
    std::uint32_t bystander_kills = 0;  // its worker died by chaos while it ran
    bool poison = false;
    std::optional<Time> retry_not_before;
  };
  [[nodiscard]] MessageFacts& facts(std::string_view id);
  [[nodiscard]] bool is_poison(std::string_view id) const;
  void check_growth(const Told& told, const control::Snapshot& snapshot);
  void check_reading(const Told& told, const control::Snapshot& snapshot);

  const Plan& plan_;
  aio::Clock& clock_;
  std::set<std::string> confirmed_;
  std::unordered_map<std::string, MessageFacts> messages_;
  std::map<std::string, std::set<std::string>, std::less<>> held_;     // by worker: deliveries not settled
  std::map<std::string, std::set<std::string>, std::less<>> running_;  // by worker: handlers that run
  std::set<std::pair<std::string, std::string>> succeeded_;            // (worker, id)
  std::set<std::string> ended_by_chaos_;
  std::optional<std::string> violation_;
};

}  // namespace sluice::sim
