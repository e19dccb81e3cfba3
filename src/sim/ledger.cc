// SPDX-License-Identifier: Apache-2.0
#include "sim/ledger.h"

#include <fmt/core.h>

#include <algorithm>

namespace sluice::sim {
namespace {

using Kind = queue::MemoryEvent::Kind;
using queue::Cause;

bool has_started_or_failed(model::WorkerState state) {
  return state != model::WorkerState::requested && state != model::WorkerState::unscheduled &&
         state != model::WorkerState::starting && state != model::WorkerState::suspended;
}

}  // namespace

void Ledger::violate(std::string what) {
  if (!violation_) {
    violation_ = fmt::format("at {} ms: {}", to_ms(clock_.now()), what);
  }
}

bool Ledger::is_poison(std::string_view id) const {
  return id.starts_with("poison");
}

Ledger::MessageFacts& Ledger::facts(std::string_view id) {
  MessageFacts& out = messages_[std::string(id)];
  out.poison = is_poison(id);
  return out;
}

void Ledger::queue_event(const queue::MemoryEvent& event) {
  MessageFacts& message = facts(event.id);
  if (event.kind == Kind::published) {
    ++message.copies;
    message.attempts = 0;
  }
  if (event.attempts < message.attempts) {
    violate(fmt::format("I17 {}: attempts fell from {} to {}", event.id, message.attempts, event.attempts));
  }
  switch (event.kind) {
    case Kind::published:
      break;
    case Kind::delivered:
      ++message.deliveries;
      held_[std::string(event.who)].insert(std::string(event.id));
      if (event.cause != Cause::none) {
        ++message.labelled;
      } else if (message.deliveries - message.labelled > message.copies) {
        violate(fmt::format("I17 {}: delivery {} without a cause", event.id, message.deliveries));
      }
      if (message.retry_not_before && event.at < *message.retry_not_before) {
        violate(fmt::format("I23 {}: delivered again before its retry delay", event.id));
      }
      break;
    case Kind::begun:
    case Kind::finished:
      break;
    case Kind::acked:
      held_[std::string(event.who)].erase(std::string(event.id));
      if (!succeeded_.contains({std::string(event.who), std::string(event.id)})) {
        violate(fmt::format("I13 {}: acknowledged by {} before its handler succeeded", event.id, event.who));
      }
      break;
    case Kind::delayed:
      held_[std::string(event.who)].erase(std::string(event.id));
      if (event.cause == Cause::failed) {
        message.retry_not_before = event.at + plan_.pool.spec.retry.delays.front();
      }
      break;
    case Kind::due:
      break;
    case Kind::returned:
      held_[std::string(event.who)].erase(std::string(event.id));
      if (event.cause == Cause::lost_lease && plan_.leases_are_safe()) {
        violate(fmt::format("P5 {}: {} lost its lease although nothing went wrong", event.id, event.who));
      }
      break;
    case Kind::dead: {
      held_[std::string(event.who)].erase(std::string(event.id));
      const auto after = static_cast<std::uint32_t>(plan_.pool.spec.dead_letter.after);
      if (event.attempts < after && event.cause != Cause::permanent && event.cause != Cause::too_large) {
        violate(fmt::format("I16 {}: in the dead letters after {} attempts", event.id, event.attempts));
      }
      // An innocent needs failures or deaths of its own. Each poison message may take it along once: when nobody knows
      // yet.
      const std::uint32_t own = message.failures + message.bystander_kills + static_cast<std::uint32_t>(plan_.poison);
      if (!message.poison && own < after && plan_.leases_are_safe()) {
        violate(fmt::format("I16 {}: innocent, in the dead letters as {} ({} failures, {} deaths of its workers)",
                            event.id, queue::word(event.cause), message.failures, message.bystander_kills));
      }
      break;
    }
  }
  if (event.kind == Kind::returned && event.cause == Cause::requeued && event.attempts > message.attempts) {
    violate(fmt::format("I17 {}: handing it back cost an attempt", event.id));
  }
  if (event.kind == Kind::delayed && event.cause == Cause::retried) {
    violate(fmt::format("I17 {}: an attempt was counted though no handler asked for a retry", event.id));
  }
  message.attempts = event.attempts;
}

void Ledger::handler_started(const std::string& worker, const std::string& id, bool draining) {
  running_[worker].insert(id);
  if (draining) {
    violate(fmt::format("I18 {}: {} began a handler after it was told to drain", id, worker));
  }
}

void Ledger::handler_succeeded(const std::string& worker, const std::string& id) {
  succeeded_.insert({worker, id});
  running_[worker].erase(id);
  MessageFacts& message = facts(id);
  ++message.successes;
  if (message.successes > message.labelled + message.copies) {
    violate(
        fmt::format("P11 {}: done {} times, only {} redeliveries say why", id, message.successes, message.labelled));
  }
}

void Ledger::handler_failed(const std::string& id) {
  ++facts(id).failures;
}

void Ledger::killed(const std::string& worker, bool by_poison) {
  for (const std::string& id : running_[worker]) {
    // A poison message that runs beside others again and again is the worker's mistake, not its neighbours' misfortune.
    if (!by_poison) {
      ++facts(id).bystander_kills;
    }
  }
  running_.erase(worker);
  held_.erase(worker);
}

void Ledger::worker_left(const std::string& worker, int exit_code) {
  if (exit_code == 0 && !held_[worker].empty() && plan_.leases_are_safe()) {
    violate(fmt::format("I19 {} left with {} not settled", worker, *held_[worker].begin()));
  }
  running_.erase(worker);
}

void Ledger::fleet_event(const fleet::FleetEvent& event) {
  if (event.live > plan_.fleet.max) {
    violate(fmt::format("I1 {} live workers, max is {}", event.live, plan_.fleet.max));
  }
}

void Ledger::worker_ended(const std::string& worker) {
  if (!ended_by_chaos_.contains(worker)) {
    violate(fmt::format("I9 {}: ended by a scaler", worker));
  }
}

// I6: an error or an absent field never reads as a number.
void Ledger::check_reading(const Told& told, const control::Snapshot& snapshot) {
  const model::Observation& seen = snapshot.seen;
  const bool sample_known = told.sample && *told.sample && (*told.sample)->ready;
  if (seen.queue.ready && !sample_known) {
    violate(
        fmt::format("I6 tick {}: the backlog was not read, the decision saw {}", snapshot.tick, seen.queue.ready->n));
  }
  if (told.view && *told.view && seen.live() != static_cast<std::int64_t>((*told.view)->workers.size())) {
    violate(fmt::format("I6 tick {}: {} workers in the view, {} in the decision", snapshot.tick,
                        (*told.view)->workers.size(), seen.live()));
  }
  if (told.view && !*told.view && told.ticked && seen.live() != told.live_seen_before) {
    violate(fmt::format("I6 tick {}: a failed view changed {} workers to {}", snapshot.tick, told.live_seen_before,
                        seen.live()));
  }
}

void Ledger::check_growth(const Told& told, const control::Snapshot& snapshot) {
  const model::Decision& decision = snapshot.decision;
  const std::int64_t max = plan_.pool.spec.workers.max;
  if (decision.workers < 0 || snapshot.seen.live() + decision.change > std::max(max, snapshot.seen.live())) {
    violate(fmt::format("I7 tick {}: {} workers wanted beside {} live, max is {}", snapshot.tick, decision.change,
                        snapshot.seen.live(), max));
  }
  if (decision.change <= 0) {
    return;
  }
  if (!told.view || !*told.view) {
    violate(fmt::format("I5 tick {}: grew although the workers were not read", snapshot.tick));
    return;
  }
  if (told.last_start && (**told.view).observed_at < *told.last_start) {
    violate(fmt::format("I5 tick {}: grew on a view older than its own last start", snapshot.tick));
  }
  if (decision.workers <= plan_.pool.spec.workers.min) {
    return;  // the declared minimum needs no reading of the queue
  }
  if (!told.sample || !*told.sample) {
    violate(fmt::format("I4 tick {}: grew although the queue was not read", snapshot.tick));
    return;
  }
  const auto& ready = (**told.sample).ready;
  if (told.last_start && ready && ready->observed_at < *told.last_start) {
    violate(fmt::format("I4 tick {}: grew on a reading older than its own last start", snapshot.tick));
  }
  if (std::holds_alternative<pool::ThresholdPolicy>(plan_.pool.spec.policy)) {
    const auto& workers = (**told.view).workers;
    const auto waiting = std::ranges::find_if(workers, [](const auto& w) { return !has_started_or_failed(w.state); });
    if (waiting != workers.end()) {
      violate(fmt::format("I3 tick {}: grew while {} had not started", snapshot.tick, waiting->name));
    }
  }
}

void Ledger::decided(Told& told, const control::Snapshot& snapshot) {
  check_reading(told, snapshot);
  check_growth(told, snapshot);
  told.live_seen_before = snapshot.seen.live();
  told.ticked = true;
}

void Ledger::acted(Told& told, const control::Snapshot& snapshot) {
  const std::int64_t asked = static_cast<std::int64_t>(snapshot.plan.start.size());
  if (told.requested_in_tick > asked) {
    violate(fmt::format("P15 tick {}: {} workers came of {} that were planned", snapshot.tick, told.requested_in_tick,
                        asked));
  }
  told.requested_in_tick = 0;
}

bool Ledger::all_settled(queue::MemoryBroker& broker) const {
  return broker.count(queue::Place::ready) + broker.count(queue::Place::held) + broker.count(queue::Place::running) +
             broker.count(queue::Place::delayed) ==
         0;
}

void Ledger::final_check(queue::MemoryBroker& broker, const fleet::MemoryFleet& fleet) {
  if (violation_) {
    return;
  }
  if (!all_settled(broker)) {
    violate(fmt::format("L2 {} messages still wait long after the last fault", broker.count(queue::Place::ready)));
  }
  for (const std::string& id : confirmed_) {
    const queue::Trace* trace = broker.trace(id);
    if (trace == nullptr || trace->at(queue::Place::done) + trace->at(queue::Place::dead) == 0) {
      violate(fmt::format("I15 {}: confirmed, and neither done nor in the dead letters", id));
    } else if (trace->at(queue::Place::done) > 0 && facts(id).successes == 0) {
      violate(fmt::format("I15 {}: gone without a handler's success", id));
    }
  }
  broker.for_each([&](const std::string& id, const queue::Trace&) {
    if (!confirmed_.contains(id)) {
      violate(fmt::format("I20 {}: in the queue, and its publisher does not know it", id));
    }
  });
  if (fleet.live() > plan_.pool.spec.workers.min) {
    violate(fmt::format("L5 {} workers still there on an empty queue, min is {}", fleet.live(),
                        plan_.pool.spec.workers.min));
  }
}

}  // namespace sluice::sim
