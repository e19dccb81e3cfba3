// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a run is judged by, and what its pictures are drawn from.
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "lab/agenda.h"

namespace sluice::lab {

struct Measures {
  std::int64_t published = 0;
  std::int64_t done = 0;
  std::int64_t late = 0;        // began later than the scenario allows, or still waits and will
  std::int64_t unfinished = 0;  // at the end of the run
  std::int64_t expired = 0;
  std::int64_t purged = 0;
  std::int64_t redelivered = 0;  // came back because their worker died
  std::int64_t twice = 0;        // done a second time: the first was done, and not acknowledged
  Us worker_us = 0;              // from a place on a node to the end
  Us busy_us = 0;
  std::int64_t starts = 0;
  std::int64_t refused = 0;  // starts
  std::int64_t crashes = 0;
  std::int64_t flaps = 0;   // starts within a minute after a worker had left that nobody needed
  std::int64_t peak = 0;    // workers at once
  std::int64_t unused = 0;  // workers that ended without ever having had a message
  Us last_done = 0;         // when the last message was
  // Of each message from its arrival until its work began, in milliseconds rounded up, in the order in which they
  // began; those that never began last.
  std::vector<std::uint32_t> waits_ms;
};

// Adds up all counts; leaves the waits alone.
void add(Measures& to, const Measures& one);

// Of many waits, in milliseconds: what so many percent do not exceed; 0 of none.
struct Waits {
  std::int64_t p50 = 0, p95 = 0, p99 = 0, most = 0;
};
// Takes them over, since it has to sort them.
[[nodiscard]] Waits waits_of(std::vector<std::uint32_t> waits_ms);

// Marks of a run's course. One for each of its equal parts, of which there are `parts`.
inline constexpr std::size_t parts = 240;
struct Mark {
  std::int64_t published = 0, done = 0;  // since the beginning
  std::int64_t ready = 0, in_flight = 0;
  std::int64_t waiting = 0, starting = 0, idle = 0, busy = 0, draining = 0;  // workers
  std::size_t begun = 0;                                                     // messages, since the beginning
  Waits waits;                                                               // of those that began in this part
};
struct NodeMark {
  std::int64_t booting = 0, up = 0;
};
using Marks = std::vector<Mark>;

// A decision that changed something, or gave a new kind of reason.
struct Said {
  Us at = 0;
  std::int64_t workers = 0;
  std::string reason;
};

}  // namespace sluice::lab
