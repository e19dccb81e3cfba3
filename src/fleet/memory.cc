// SPDX-License-Identifier: Apache-2.0
#include "fleet/memory.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace sluice::fleet {

using model::WorkerState;

MemoryFleet::MemoryFleet(aio::Clock& clock, Random random, MemoryOptions options)
    : clock_(clock),
      random_(random),
      options_(std::move(options)),
      nodes_(options_.nodes, clock.now()),
      slots_(static_cast<std::size_t>(options_.max)),
      changed_(clock),
      work_(clock) {
  check(options_.max >= 1, "a fleet has slots");
}

aio::Task<Result<model::FleetView>> MemoryFleet::view(aio::Deadline deadline) {
  if (deadline.passed(clock_.now())) {
    co_return Error{Code::retry, "fleet: deadline passed"};
  }
  turn();
  co_return truth();
}

aio::Task<Result<void>> MemoryFleet::start(int slot, bool stays_when_idle, aio::Deadline deadline) {
  const Time now = clock_.now();
  if (deadline.passed(now)) {
    co_return Error{Code::retry, "fleet: deadline passed"};
  }
  if (slot < 0 || slot >= options_.max) {
    co_return Error{Code::invalid, fmt::format("slot {}: slots are 0..{}", slot, options_.max - 1)};
  }
  turn();
  Slot& at = slots_[static_cast<std::size_t>(slot)];
  if (at.entry) {
    co_return Result<void>{};
  }
  // The group is asked at once, so that a full one refuses here; a request delay only holds the placement back.
  if (!nodes_.add(slot, now)) {
    co_return Error{Code::throttled, nodes_.full_text(now)};
  }
  Entry entry;
  entry.worker.slot = slot;
  entry.worker.name = fmt::format("{}-w{}", options_.pool, slot);
  entry.worker.id = fmt::format("{}-{}", slot, ++starts_);
  entry.worker.created_at = now;
  entry.worker.since = now;
  entry.stays_when_idle = stays_when_idle;
  entry.next_at = now + random_.between(options_.request_low, options_.request_high);
  at.last.reset();
  at.entry = std::move(entry);
  tell(FleetEventKind::requested, slot, at.entry->worker.id);
  turn();
  work_.notify();
  co_return Result<void>{};
}

aio::Task<Result<void>> MemoryFleet::withdraw(int slot, std::string id, aio::Deadline deadline) {
  if (deadline.passed(clock_.now())) {
    co_return Error{Code::retry, "fleet: deadline passed"};
  }
  turn();
  const Result<Entry*> entry = find(slot, id);
  if (!entry) {
    co_return entry.error();
  }
  if ((*entry)->stage > Stage::waiting) {
    co_return Error{Code::conflict, fmt::format("{} has its place by now: left alone", (*entry)->worker.name)};
  }
  slots_[static_cast<std::size_t>(slot)].entry.reset();
  nodes_.remove(slot, clock_.now());
  tell(FleetEventKind::withdrawn, slot, id);
  turn();
  work_.notify();
  co_return Result<void>{};
}

aio::Task<Result<void>> MemoryFleet::drain(int slot, std::string id, aio::Deadline deadline) {
  if (deadline.passed(clock_.now())) {
    co_return Error{Code::retry, "fleet: deadline passed"};
  }
  turn();
  const Result<Entry*> entry = find(slot, id);
  if (!entry) {
    co_return entry.error();
  }
  if ((*entry)->stage != Stage::running) {
    co_return Error{Code::conflict, fmt::format("{} does not run yet", (*entry)->worker.name)};
  }
  if ((*entry)->worker.state == WorkerState::draining) {
    co_return Result<void>{};
  }
  enter(**entry, WorkerState::draining, clock_.now());
  tell(FleetEventKind::draining, slot, id);
  if (on_drain) {
    on_drain(id);
  } else {
    end(slot, EndFacts{.exit_code = 0}, "drained");
  }
  co_return Result<void>{};
}

aio::Task<void> MemoryFleet::run() {
  for (;;) {
    turn();
    const aio::Deadline until{next().value_or(Time::max())};
    co_await work_.wait(until);
  }
}

// Everything that is due by now, in order of slots; what that makes due in turn is done too.
void MemoryFleet::turn() {
  const Time now = clock_.now();
  for (bool again = true; again;) {
    again = false;
    nodes_.advance(now);  // who got a place is asked of each waiting one below: a request may still be on its way
    for (Slot& slot : slots_) {
      if (!slot.entry) {
        continue;
      }
      const bool due = slot.entry->next_at && *slot.entry->next_at <= now;
      const bool has_place = slot.entry->stage == Stage::waiting && nodes_.node_of(slot.entry->worker.slot);
      if (due || has_place) {
        step(*slot.entry, now);
        again = true;
      }
    }
  }
}

void MemoryFleet::step(Entry& entry, Time now) {
  entry.next_at.reset();
  switch (entry.stage) {
    case Stage::requested:
      if (!nodes_.node_of(entry.worker.slot)) {
        entry.stage = Stage::waiting;
        enter(entry, WorkerState::unscheduled, now);
        return;
      }
      [[fallthrough]];
    case Stage::waiting:
      place(entry, now);
      return;
    case Stage::placed:
      spawn_now(entry, now);
      return;
    case Stage::running:
      report_ready(std::string(entry.worker.id));
      return;
  }
}

void MemoryFleet::place(Entry& entry, Time now) {
  entry.stage = Stage::placed;
  entry.worker.place = fmt::format("node {}", *nodes_.node_of(entry.worker.slot));
  entry.next_at = now + random_.between(options_.spawn_low, options_.spawn_high);
  enter(entry, WorkerState::starting, now);
  tell(FleetEventKind::placed, entry.worker.slot, entry.worker.id);
  changed_.notify();
}

void MemoryFleet::spawn_now(Entry& entry, Time now) {
  entry.stage = Stage::running;
  entry.spawned_at = now;
  ++spawned_;
  tell(FleetEventKind::spawned, entry.worker.slot, entry.worker.id);
  if (on_spawn) {
    on_spawn({entry.worker.slot, entry.worker.name, entry.worker.id, entry.stays_when_idle});
  } else {
    entry.next_at = now + random_.between(options_.ready_low, options_.ready_high);
  }
}

void MemoryFleet::report_ready(const std::string& id) {
  Entry* entry = find(id);
  if (entry == nullptr || entry->stage != Stage::running || entry->was_ready) {
    return;
  }
  entry->was_ready = true;
  if (entry->worker.state == WorkerState::starting) {
    enter(*entry, WorkerState::ready, clock_.now());
  }
  tell(FleetEventKind::ready, entry->worker.slot, id);
  changed_.notify();
}

void MemoryFleet::report(const std::string& id, WorkerState state, int handling) {
  check(state == WorkerState::busy || state == WorkerState::idle || state == WorkerState::draining,
        "a worker reports busy, idle or draining");
  report_ready(id);
  Entry* entry = find(id);
  if (entry == nullptr || entry->stage != Stage::running) {
    return;
  }
  entry->worker.handling = handling;
  const bool claims = handling > 0 && !entry->worker.claimed_at;
  if (claims) {
    entry->worker.claimed_at = clock_.now();
  }
  const bool drains = entry->worker.state == WorkerState::draining;  // nobody comes back from it
  if (entry->worker.state != state && !drains) {
    enter(*entry, state, clock_.now());
    if (state == WorkerState::draining) {
      tell(FleetEventKind::draining, entry->worker.slot, id);
    }
  }
  if (claims) {
    tell(FleetEventKind::claimed, entry->worker.slot, id);
  }
}

void MemoryFleet::report_end(const std::string& id, int exit_code, std::int64_t settled,
                             const std::string& last_words) {
  const Entry* entry = find(id);
  if (entry == nullptr || entry->stage != Stage::running) {
    return;
  }
  const std::string why = last_words.empty() ? fmt::format("exit status {}", exit_code) : last_words;
  end(entry->worker.slot, EndFacts{.exit_code = exit_code, .settled = settled}, why);
}

void MemoryFleet::crash(int slot, int signal, std::int64_t settled) {
  const Slot& at = slots_.at(static_cast<std::size_t>(slot));
  if (!at.entry || at.entry->stage != Stage::running) {
    return;  // nothing runs there that could crash
  }
  const std::string id = at.entry->worker.id;
  if (on_kill) {
    on_kill(id);
  }
  end(slot, EndFacts{.signal = signal, .settled = settled}, fmt::format("killed by signal {}", signal));
}

void MemoryFleet::lose_node(int node) {
  for (const int slot : nodes_.lose(node, clock_.now())) {
    const Slot& at = slots_[static_cast<std::size_t>(slot)];
    if (on_kill && at.entry->stage == Stage::running) {
      on_kill(std::string(at.entry->worker.id));
    }
    end(slot, EndFacts{.from_outside = true}, fmt::format("node {} is gone", node));
  }
  turn();
  work_.notify();
}

void MemoryFleet::hide(int slot, bool hidden) {
  if (Slot& at = slots_.at(static_cast<std::size_t>(slot)); at.entry) {
    at.entry->hidden = hidden;
  }
}

model::FleetView MemoryFleet::truth() const {
  const Time now = clock_.now();
  model::FleetView view;
  std::vector<FreeSlot> free;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (slot.last) {
      view.ended.push_back(*slot.last);
    }
    if (!slot.entry) {
      free.push_back({static_cast<int>(i), slot.last ? std::optional(slot.last->ended_at) : std::nullopt});
      continue;
    }
    model::Worker worker = slot.entry->worker;
    if (worker.state == WorkerState::unscheduled) {
      worker.why = nodes_.why(worker.slot, now);
    }
    if (slot.entry->hidden) {
      worker.state = WorkerState::unknown;
      worker.why = fmt::format("{} does not answer", worker.place.empty() ? "the fleet" : worker.place);
    }
    view.workers.push_back(std::move(worker));
  }
  std::ranges::sort(view.ended, {}, [](const model::EndedWorker& one) { return std::pair(one.ended_at, one.slot); });
  view.free_slots = in_order_of_use(std::move(free));
  view.capacity = nodes_.capacity(now);
  view.observed_at = now;
  return view;
}

int MemoryFleet::live() const {
  return static_cast<int>(std::ranges::count_if(slots_, [](const Slot& slot) { return slot.entry.has_value(); }));
}

MemoryFleet::Entry* MemoryFleet::find(const std::string& id) {
  for (Slot& slot : slots_) {
    if (slot.entry && slot.entry->worker.id == id) {
      return &*slot.entry;
    }
  }
  return nullptr;
}

Result<MemoryFleet::Entry*> MemoryFleet::find(int slot, const std::string& id) {
  if (slot < 0 || slot >= options_.max) {
    return Error{Code::invalid, fmt::format("slot {}: slots are 0..{}", slot, options_.max - 1)};
  }
  Slot& at = slots_[static_cast<std::size_t>(slot)];
  if (!at.entry || at.entry->worker.id != id) {
    return Error{Code::gone, fmt::format("{}-w{}: that worker is gone", options_.pool, slot)};
  }
  return &*at.entry;
}

void MemoryFleet::enter(Entry& entry, WorkerState state, Time now) {
  entry.worker.state = state;
  entry.worker.since = now;
}

void MemoryFleet::end(int slot, EndFacts facts, const std::string& why) {
  const Time now = clock_.now();
  Slot& at = slots_[static_cast<std::size_t>(slot)];
  facts.was_ready = at.entry->was_ready;
  facts.ran = at.entry->spawned_at ? now - *at.entry->spawned_at : Duration{0};
  const model::Worker worker = std::move(at.entry->worker);
  at.entry.reset();
  at.last = model::EndedWorker{.slot = slot,
                               .name = worker.name,
                               .id = worker.id,
                               .kind = end_kind(facts),
                               .started = has_started(facts),
                               .why = why,
                               .ended_at = now};
  nodes_.remove(slot, now);
  tell(FleetEventKind::ended, slot, worker.id);
  work_.notify();
  changed_.notify();
}

std::optional<Time> MemoryFleet::next() const {
  std::optional<Time> first = nodes_.next();
  for (const Slot& slot : slots_) {
    if (slot.entry && slot.entry->next_at) {
      first = first ? std::min(*first, *slot.entry->next_at) : *slot.entry->next_at;
    }
  }
  return first;
}

void MemoryFleet::tell(FleetEventKind kind, int slot, const std::string& id) {
  if (on_event) {
    on_event({kind, clock_.now(), slot, id, live()});
  }
}

}  // namespace sluice::fleet
