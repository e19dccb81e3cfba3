// SPDX-License-Identifier: Apache-2.0
#pragma once
// One reading of a queue. Every value is optional and carries its own time: what the broker did not say stays empty,
// and two values may be seconds apart. Not one struct of plain numbers, in which an unread field would look like an
// empty queue.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"

namespace sluice::model {

struct Reading {
  std::int64_t n = 0;
  Time observed_at;
  bool approximate = false;
  friend bool operator==(const Reading&, const Reading&) = default;
};

// How the age of the oldest waiting message is known, best first.
enum class AgeKind {
  exact,     // the broker's own head timestamp
  reported,  // the wait of the last delivery that our workers report
  estimate,  // first-in-first-out, from cumulative counts
  bound,     // "has not been empty since": the true age is at most this
};

struct OldestAge {
  Duration age{0};
  AgeKind kind = AgeKind::exact;
  Time observed_at;
  friend bool operator==(const OldestAge&, const OldestAge&) = default;
};

// Somebody who takes messages from the queue, as its broker lists it.
struct ListedConsumer {
  std::string tag;
  std::string connection = {};  // the name that its client gave the connection; empty: none
  bool active = true;           // false: waits behind the active one of a single active consumer
  friend bool operator==(const ListedConsumer&, const ListedConsumer&) = default;
};
struct ConsumerList {
  std::vector<ListedConsumer> all;
  Time observed_at;
  friend bool operator==(const ConsumerList&, const ConsumerList&) = default;
};

struct Sample {
  std::optional<Reading> ready;      // waiting, nobody has it
  std::optional<Reading> in_flight;  // delivered, not settled
  std::optional<Reading> total;
  std::optional<Reading> delayed;  // to be retried later
  std::optional<Reading> dead;     // in the dead letters
  std::optional<Reading> consumers;
  std::optional<ConsumerList> consumer_list;  // where it was asked for
  std::optional<OldestAge> oldest_age;  // of the oldest ready message never delivered before; 0: the queue is empty
  std::optional<Reading> published_n;   // cumulative
  std::optional<Reading> acked_n;       // cumulative
  // More workers than this get nothing from the queue, whatever waits; empty: it has no such limit.
  std::optional<std::int64_t> workers_max;
  std::string missing;  // why a value that was asked for is unknown; empty: nothing is missing
};

}  // namespace sluice::model
