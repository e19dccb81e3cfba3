// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the pool's workers have settled for good since a moment: how an old count of all messages is brought up to now.
//
// A count that is minutes old still has what was done since. Believed as it is, it has workers started for messages
// that are gone. What was published since is not known here, so the corrected count may be too low by that; never by
// anything that was in the old one.
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>

#include "model/fleet_view.h"

namespace sluice::control {

class Settled {
 public:
  void see(const model::FleetView& view);
  // Messages known to be done, or dead letters, since then. What was before the first view is not known and not told.
  [[nodiscard]] std::int64_t since(Time at) const;

 private:
  struct Life {
    std::int64_t told = 0;
    Time seen;
  };
  void take(const std::string& id, const model::SaidTally& tally, Time now);

  std::map<std::string, Life> lives_;                  // by the worker's id
  std::deque<std::pair<Time, std::int64_t>> history_;  // the sum at the times it grew
  std::int64_t sum_ = 0;
  bool begun_ = false;
};

// A count of all messages, in work included, of that time, and what is known since: never fewer than are in work now.
[[nodiscard]] std::int64_t brought_up(std::int64_t total, std::int64_t settled_since, const model::FleetView* view);

}  // namespace sluice::control
