// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where the workers of a pool are, at one moment. A fleet that cannot be read is an Error, never an empty view.
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "model/tally.h"

namespace sluice::model {

// The life of a worker, in order. All of them count as live against `max`.
enum class WorkerState {
  requested,    // asked for, not seen yet
  unscheduled,  // no node has room for it yet
  starting,     // on a node: booting, pulling, connecting
  ready,        // may take messages, has not claimed any that we know of
  busy,         // has claimed and works
  idle,         // has claimed before, has nothing now
  draining,     // finishes what it has, takes nothing new
  terminating,  // told to end, not gone
  suspended,    // held by somebody else (Kueue)
  failing,      // crash loop, image that cannot be pulled: will not become ready by waiting
  unknown,      // its node does not answer
};
inline constexpr std::size_t worker_states = 11;
[[nodiscard]] std::string_view word(WorkerState state);

struct Worker {
  int slot = 0;
  std::string name;  // orders-w3
  std::string id;    // this start of the slot: a uid or a process's start; two lives of one slot differ here
  WorkerState state = WorkerState::requested;
  std::string why;                 // what it waits for, when it waits
  Time since;                      // in this state
  Time created_at;                 // asked for
  std::optional<Time> claimed_at;  // first claim, if known
  int handling = 0;                // messages it has now, if it says so
  std::string place;               // node it runs on or waits for, for people
  bool stays_when_idle = false;    // started with idle exit off, because its slot was below `min`
  bool silent = false;             // runs, and says nothing of messages: whether it takes any the broker has to tell
  bool deaf = false;               // does not take a request to leave: nobody asks it again
  SaidTally tally = nullptr;       // what it says it has done
};

enum class EndKind {
  succeeded,  // exit 0
  failed,     // ended in error without having settled one message, or never became ready
  lost,       // killed from outside, evicted, node gone, or ended in error after it settled something
};

struct EndedWorker {
  int slot = 0;
  std::string name;
  std::string id;
  EndKind kind = EndKind::succeeded;
  bool started = true;  // was ready, or succeeded, or ran at least 10 s
  std::string why;      // last words, exit status
  Time ended_at;
  SaidTally tally = nullptr;  // as it last said
};

enum class Room {
  room,     // a new worker would start at once, or nothing says otherwise
  waiting,  // some workers are not yet placed
  full,     // no place, and none is on its way
};

struct Capacity {
  Room room = Room::room;
  std::string why;
};

// How a claim is known, best first (design: accounting by claim).
enum class ClaimRung { reported, readiness, broker, consumers, after };
[[nodiscard]] std::string_view word(ClaimRung rung);
[[nodiscard]] std::string_view word(Room room);
[[nodiscard]] std::string_view word(EndKind kind);

struct FleetView {
  std::vector<Worker> workers;  // every live one, by slot
  std::vector<EndedWorker>
      ended;  // those whose end is still remembered, oldest first; the same end may be shown many times
  std::vector<int> free_slots;  // where a worker may be started, the one to use first in front
  Capacity capacity;
  std::string hold;  // why nothing of it may be changed now, in words; empty: it may
  ClaimRung claim = ClaimRung::reported;
  Time observed_at;
};

}  // namespace sluice::model
