// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the lag policy learns from looking: service time, start-up times, arrivals, trust in bursts, and the shadows.
#include <optional>

#include "policy/lag.h"

namespace sluice::policy {

// What has been estimated by now. Times in seconds.
struct LagEstimates {
  LagService service;
  double step = 5;
  double dispersion = 1;
  double cold = 60, warm = 5;
  double trust = 1;
  LagRate rate;
  double limit = 48;  // the longest wait that is aimed at
  bool feasible = false;
};
[[nodiscard]] LagEstimates lag_estimates(const LagOptions& options, const LagMemory& memory);

// Takes in one look: starts and ends at once, the rest when a step has passed. False: what has been published is not
// known and never was.
[[nodiscard]] bool lag_learn(const LagOptions& options, LagMemory& memory, const model::Observation& seen);

// Arrived since the newest step; 0 where that cannot be read now.
[[nodiscard]] std::int64_t lag_fresh(const LagMemory& memory, const model::Observation& seen);

// The starts of the past, for lag_need_exact(). Valid as long as `memory`.
[[nodiscard]] LagStarts lag_starts(const LagMemory& memory, const model::Observation& seen);

// Messages in work and the servers that could take some.
struct LagWork {
  std::int64_t working = 0;
  std::int64_t servers = 0;
  std::int64_t workers = 0;
};
[[nodiscard]] LagWork lag_work(const LagOptions& options, const model::Observation& seen);

// Who has not started yet and when each will be there, the next one first. Those that have waited for a place too long
// are left out and counted.
struct LagPending {
  std::array<LagReady, LagMemory::asked_most + 2> ready;
  std::size_t size = 0;
  std::int64_t workers = 0;
  std::int64_t stuck = 0;
};
[[nodiscard]] LagPending lag_pending(const LagMemory& memory, const LagEstimates& known,
                                     const model::Observation& seen);

// The curve of one setting. `since`: seconds since the newest step.
struct LagNow {
  double since = 0;
  std::int64_t fresh = 0;
};
[[nodiscard]] LagCurves lag_curves(const LagOptions& options, const LagMemory& memory, const LagEstimates& known,
                                   const LagNow& now);

// How long a setting keeps a worker, in steps, and the longest that any does.
[[nodiscard]] std::int32_t lag_keep(const LagOptions& options, const LagMemory& memory, const LagEstimates& known,
                                    std::int64_t keep_ms);
[[nodiscard]] std::int32_t lag_keep_longest(const LagOptions& options, const LagMemory& memory,
                                            const LagEstimates& known);
[[nodiscard]] std::int32_t lag_node_idle(const LagOptions& options, const LagMemory& memory);

}  // namespace sluice::policy
