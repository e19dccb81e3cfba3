// SPDX-License-Identifier: Apache-2.0
#pragma once
// A message waits at most `max`: the fewest workers for which every message starts in time.
//
// The number is computed, not steered to: from what has arrived, what a worker does in a second and how long one takes
// to start. No threshold, window or cooldown is asked of the user; what no formula gives (how fast to catch up, how
// long to keep a worker, whether bursts last) is chosen by shadow queues, policy/lag_shadow.h. The whole of it with
// sources: docs/explanation/lag-policy.md.
#include <cstdint>
#include <optional>
#include <string>

#include "policy/lag_curve.h"
#include "policy/lag_memory.h"
#include "policy/options.h"

namespace sluice::policy {

// The parts, each of which can be taken out to see what it is worth. A pool has them all.
struct LagParts {
  bool floor = true;         // Erlang C beside the curve
  bool credibility = true;   // else every burst is believed
  bool keep = true;          // else what is not needed is let go at once
  bool choice = true;        // else the default setting for ever
  bool feasible = true;      // else what is in reach is not told from what is not
  std::size_t experts = 30;  // shadow queues
};

struct LagOptions {
  std::int64_t max_ms = 60'000;
  std::int64_t percentile_millionths = 99'000'000;  // percent of messages that must not wait longer
  std::int64_t reserve = 0;
  std::int64_t workers_min = 0;
  std::int64_t workers_max = 1'000'000;
  std::int64_t concurrency = 1;
  std::int64_t every_ms = 0;  // between two looks; 0: adaptive
  // Of the fleet, as far as it is known.
  std::int64_t slots = 4;               // workers of this pool that fit on a node
  std::int64_t places = 0;              // for workers of this pool on nodes that are always there
  std::int64_t node_idle_ms = 120'000;  // an empty node is gone after so long
  // What is believed until it has been seen.
  std::int64_t cold_ms = 60'000;        // a start that waits for a node
  std::int64_t warm_ms = 5'000;         // one that does not
  std::int64_t service_us = 1'000'000;  // a message
  std::int64_t service_weight = 2;      // counts as so many messages that were done
  LagParts parts;
};

// What it knew and what came out, for whoever explains it.
struct LagTerms {
  double service_s = 0;
  bool service_seen = false;  // measured, not believed
  double rate = 0;            // messages a second
  double ahead = 0;           // the same, as expected when a worker that is asked for now has started
  double cold_s = 0, warm_s = 0;
  double trust = 0;
  bool feasible = false;  // a worker that is asked for when a message arrives is in time for it
  LagExpert expert;
  LagNeed need;
  std::int64_t target = 0;      // with the reserve, before anything is kept
  std::int64_t kept = 0;        // the most of the keep time
  std::int64_t free = 0;        // places on nodes that are believed to be there
  std::int64_t stuck = 0;       // workers that wait for a place for three times as long as a start takes
  double last_starts_s = 0;     // the last message that waits starts after so long, at the least
  std::int64_t beforehand = 0;  // workers that had to be there for the largest burst that was seen, where not feasible
};

struct LagStep {
  Proposal proposal;
  LagMemory next;
  std::optional<LagTerms> terms;  // empty while blind
};

// Holds while the backlog or what has been published is unknown.
[[nodiscard]] LagStep lag(const LagOptions& options, const LagMemory& before, const model::Observation& seen);

}  // namespace sluice::policy
