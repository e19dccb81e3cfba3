// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the lag policy remembers of a pool: whole numbers only, so that it is written down and read back exactly.
//
// It changes once a step (5 s where the longest wait is at least 30 s), and between steps only where workers come or go
// or a need rises: looks that find nothing new leave it equal, and the journal folds them.
#include <cstdint>
#include <vector>

#include "policy/lag_arrivals.h"
#include "policy/lag_shadow.h"
#include "policy/lag_window.h"

namespace sluice::policy {

// Workers that were asked for at the same time and have not started.
struct LagAsked {
  std::int64_t at_ms = 0;
  std::int64_t n = 0;
  bool cold = false;  // one of them had to wait for a node
  friend bool operator==(const LagAsked&, const LagAsked&) = default;
};

// Which count of the queue the arrivals are taken from.
enum class LagCounter { none, published, conserved };

struct LagMemory {
  static constexpr std::size_t asked_most = 24;
  static constexpr std::size_t delays_most = 30;  // the last so many starts tell how long one takes

  std::int64_t step_ms = 0;  // 0: has not seen anything yet
  std::int64_t grid_ms = 0;  // time of the newest step
  LagCounter counter = LagCounter::none;
  std::int64_t counted = 0;  // by that counter, at the newest step
  std::int64_t done = -1;    // messages that were done by then; -1: not known
  LagArrivals arrivals;
  std::int64_t last = 0;     // arrivals of the newest step
  std::int64_t waiting = 0;  // at the newest step
  LagArrivals started;       // the same curve of the messages that were taken to work

  std::int64_t dispersion_milli = 1000;
  std::int64_t busy_ms = 0;     // server time that was used, old fading
  std::int64_t done_milli = 0;  // messages done in it
  std::int64_t ended_ms = 0;    // of busy_ms what went into messages that are done, as if first begun were first done
  std::int64_t in_work_ms = 0;  // server time that went into those in work at the newest step
  std::int64_t oldest_ms = 0;   // into the one of them that began first
  // Excess that was predicted for the next start-up time against what came, old fading: the trust in bursts.
  std::int64_t predicted_realized = 0;
  std::int64_t predicted_squared = 0;
  std::int64_t predicted_milli = 0;  // how many predictions

  std::vector<LagAsked> asked;  // oldest first
  std::int64_t asked_for = 0;   // at the last look; they are among those that have not started at the next one
  std::int64_t taken_back = 0;  // of `asked`, so many were not needed any more at the last look
  std::int64_t asked_ms = -1;   // when a worker was last asked for
  std::int64_t ready_ms = -1;   // when a worker was last seen to have started
  std::vector<std::int64_t> cold_ms, warm_ms;  // how long starts took, oldest first

  LagPeaks needs;
  LagPeaks placed;  // workers that had a place: their nodes may still be there
  std::int64_t expert = 0;
  std::int64_t calm_ms = 0;  // when nothing was urgent
  std::vector<LagShadow> shadows;
  friend bool operator==(const LagMemory&, const LagMemory&) = default;
};
// Of the lists too. Issue of a bound: 64 KB with 30 shadows.
[[nodiscard]] std::size_t memory_size(const LagMemory& memory);

}  // namespace sluice::policy
