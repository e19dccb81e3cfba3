// SPDX-License-Identifier: Apache-2.0
#pragma once
// Everything a decision may look at, exactly as the journal writes it: whole messages, whole milliseconds, ages instead
// of times. Rounded when observed and not when printed, so that a replay of the journal sees the same bits.
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/fleet_view.h"
#include "model/sample.h"

namespace sluice::model {

struct SeenCount {
  std::int64_t n = 0;
  std::int64_t age_ms = 0;
  friend bool operator==(const SeenCount&, const SeenCount&) = default;
};

struct SeenAge {
  std::int64_t ms = 0;
  AgeKind kind = AgeKind::exact;
  std::int64_t age_ms = 0;
  friend bool operator==(const SeenAge&, const SeenAge&) = default;
};

struct SeenQueue {
  std::optional<SeenCount> ready, in_flight, total, delayed, dead, consumers;
  std::optional<SeenAge> oldest_age;
  std::optional<SeenCount> published_n, acked_n;
  std::optional<std::int64_t> workers_max;  // the queue serves no more; in the journal where it is so
  std::optional<std::string> error;         // why the last reading failed, or why a part of it is unknown
  friend bool operator==(const SeenQueue&, const SeenQueue&) = default;
};

struct SeenFleet {
  std::optional<std::int64_t> age_ms;  // empty: never read
  std::optional<std::string> error;
  Room capacity = Room::room;
  std::string why;
  ClaimRung claim = ClaimRung::reported;
  std::optional<std::string> hold;  // why nothing of it may be changed now; in the journal where it is so
  std::int64_t deaf = 0;            // workers that do not take a request to leave; in the journal where there are some
  friend bool operator==(const SeenFleet&, const SeenFleet&) = default;
};

// A worker that has not started yet, so that the reason can name it.
struct SeenWaiting {
  std::string worker;
  WorkerState state = WorkerState::requested;
  std::string why;
  std::int64_t for_ms = 0;
  friend bool operator==(const SeenWaiting&, const SeenWaiting&) = default;
};

struct SeenStarts {
  std::optional<std::int64_t> last_ms_ago;   // since the last worker was asked for; empty: none yet
  std::optional<std::int64_t> ready_ms_ago;  // since the last worker was seen to have started; empty: none yet
  std::int64_t failed_in_a_row = 0;
  std::int64_t ended = 0;   // of the last 10 ended workers, how many there were
  std::int64_t failed = 0;  // and how many of them failed
  std::string why;          // last words of the last one that failed
  friend bool operator==(const SeenStarts&, const SeenStarts&) = default;
};

struct Observation {
  std::int64_t at_ms = 0;  // monotonic
  SeenQueue queue;
  std::array<std::int64_t, worker_states> workers{};  // by WorkerState
  SeenFleet fleet;
  std::vector<SeenWaiting> waiting;  // at most 10
  SeenStarts starts;

  [[nodiscard]] std::int64_t count(WorkerState state) const { return workers[static_cast<std::size_t>(state)]; }
  // Not gone: what `max` counts.
  [[nodiscard]] std::int64_t live() const;
  // Live and of use: not draining, not terminating, not failing.
  [[nodiscard]] std::int64_t useful() const;
  // Has taken messages: busy or idle.
  [[nodiscard]] std::int64_t claimed() const { return count(WorkerState::busy) + count(WorkerState::idle); }
  // Asked for and not yet started: requested, unscheduled, starting, suspended.
  [[nodiscard]] std::int64_t not_started() const;
  // Asked for and not yet on a node: requested, unscheduled.
  [[nodiscard]] std::int64_t unplaced() const;
  friend bool operator==(const Observation&, const Observation&) = default;
};

}  // namespace sluice::model
