// SPDX-License-Identifier: Apache-2.0
#pragma once
// Shadow queues: what each of some settings would have cost, and how late it would have been, on the arrivals that
// really came. Each is a fluid copy of the queue with workers and nodes of its own, and is never set right by the real
// one: it has to rank the settings, not to predict.
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "policy/lag_curve.h"
#include "policy/lag_window.h"

namespace sluice::policy {

// One setting of what no formula gives.
struct LagExpert {
  double catch_up = 1;            // times the usual time to work off what waits
  std::int64_t keep_ms = 20'000;  // a worker that is not needed stays for so long
  bool trust = true;              // bursts are believed as far as they have come true before
};
// 30 of them, or 12, or the default alone; the default is the first.
[[nodiscard]] std::span<const LagExpert> lag_experts(std::size_t most);

struct LagShadow {
  std::int64_t waiting_milli = 0;
  std::int64_t working_milli = 0;
  std::int32_t workers = 0;
  std::int32_t nodes = 0;
  std::int64_t cost_milli = 0;  // seconds of node places, old ones fading
  std::int64_t late_milli = 0;  // messages, old ones fading
  LagComing pending;            // workers; in fifths of a step, as the two below
  LagComing booting;            // nodes
  LagComing spare;              // nodes without work, until they are gone
  LagPeaks needs;
  friend bool operator==(const LagShadow&, const LagShadow&) = default;
};

// The settings' own part of the curves, by how fast they catch up and by trust.
struct LagCurves {
  static constexpr std::array<double, 3> catch_ups = {1, 0.5, 2};
  std::array<std::array<LagCurve, 2>, catch_ups.size()> cold;
  std::array<LagCurve, 2> warm;
  [[nodiscard]] const LagCurve& cold_of(const LagExpert& expert) const;
  [[nodiscard]] const LagCurve& warm_of(const LagExpert& expert) const { return warm[expert.trust ? 1 : 0]; }
};

// What all shadows have in common in one step.
struct LagWorld {
  static constexpr std::int32_t parts = 5;  // of a step, in which a shadow moves
  double step = 5;                          // seconds
  double arrived = 0;                       // in this step
  double due = 0, due_before = 0;           // messages whose longest wait has ended by now, and one step ago
  double all = 0;                           // that ever arrived
  std::int32_t cold = 60, warm = 5;         // start-up times in parts of a step
  std::int32_t node_idle = 120;             // an empty node is gone after so many parts
  std::int32_t slots = 4;                   // workers of a node
  std::int32_t reserve = 0;
  std::int32_t workers_max = 1'000'000;
  double fade = 1;    // of what is a step older
  double finish = 0;  // the share of running messages that end within a part
  LagService service;
};
// One step of one shadow. `keep`: the setting's keep time in steps.
void lag_shadow(LagShadow& shadow, const LagWorld& world, const LagCurve& cold, const LagCurve& warm,
                std::int32_t keep);

}  // namespace sluice::policy
