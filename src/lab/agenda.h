// SPDX-License-Identifier: Apache-2.0
#pragma once
// What happens next in a simulated world: a heap of events by time, then by the order in which they were entered. Whole
// microseconds, so that sums of times are exact and the same everywhere.
//
// An event is never taken out again: what it was for has moved on when its generation no longer fits.
#include <cstdint>
#include <limits>
#include <vector>

namespace sluice::lab {

using Us = std::int64_t;  // microseconds since the world began, or a span of them
inline constexpr Us never = std::numeric_limits<Us>::max();

enum class Happens : std::uint8_t {
  arrival,     // a message comes; subject: none
  lane,        // a unit of work ends; subject: lane
  started,     // a worker takes messages from now on; subject: worker
  crash,       // a worker dies; subject: worker
  idle,        // has a worker been idle for long enough to leave? subject: worker
  back,        // messages of a worker that died are waiting again; subject: bundle
  expiry,      // the oldest waiting message is too old
  purge,       // somebody empties the queue
  probe,       // the metrics take a reading
  counters,    // the broker restarts: cumulative counts begin anew
  booted,      // subject: node
  node_empty,  // has a node been empty for long enough to go? subject: node
  node_lost,   // a spot node is taken away; subject: node
  picture,     // the state of everything, for the report
};

struct Event {
  Us at = 0;
  std::uint64_t order = 0;
  std::uint32_t subject = 0;
  std::uint32_t generation = 0;
  std::uint16_t pool = 0;
  Happens what = Happens::arrival;
};

class Agenda {
 public:
  [[nodiscard]] Us now() const { return now_; }
  // Past times count as now.
  void enter(Us at, Happens what, std::uint16_t pool = 0, std::uint32_t subject = 0, std::uint32_t generation = 0);
  [[nodiscard]] Us next_at() const { return heap_.empty() ? never : heap_.front().at; }
  // Requires: next_at() != never. Time is then the event's.
  [[nodiscard]] Event take();
  // Time passes without an event. Requires: at >= now().
  void pass(Us at) { now_ = at; }
  [[nodiscard]] std::uint64_t taken() const { return taken_; }

 private:
  static bool before(const Event& a, const Event& b) { return a.at != b.at ? a.at < b.at : a.order < b.order; }
  std::vector<Event> heap_;  // of four children each: half as deep as a binary one
  Us now_ = 0;
  std::uint64_t order_ = 0;
  std::uint64_t taken_ = 0;
};

}  // namespace sluice::lab
