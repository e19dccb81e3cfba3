// SPDX-License-Identifier: Apache-2.0
#pragma once
// The one place where sluice decides. Pure: (pool, state, observation) -> (decision, next state), so that the journal
// can be run again and the simulator runs the very same code.
//
// Order: what cannot be seen holds; `paused` observes only; the policy proposes; then the clamps in this order, each
// adding its reason: unknown.floor, min, max, broken, capacity, surge, leader. Nothing here ever ends a running worker:
// workers leave by themselves, or, in a Deployment and with the policy lag, when they are asked to while they have no
// work; only those that never got a place are taken back. A fleet in which nothing may be changed (FleetView::hold)
// holds. A rival is for comparisons alone: no clamp but max, and it ends workers as it would where it comes from.
#include <cstdint>
#include <optional>

#include "base/result.h"
#include "control/state.h"
#include "model/decision.h"
#include "model/observation.h"
#include "policy/lag.h"
#include "pool/types.h"

namespace sluice::control {

struct Step {
  model::Decision decision;
  ControlState next;
  // Workers that are not needed, those included that have work: at least as many as are asked to leave now.
  std::int64_t spare = 0;
  std::optional<std::int64_t> again_in_ms;  // when only time is missing: tick again then, even if not due
};

// Requires: decidable(spec). `decision.change` > 0 asks for workers, < 0 takes back workers without a place.
[[nodiscard]] Step decide(const pool::PoolSpec& spec, const ControlState& state, const model::Observation& seen);

// The same with parts of the policy lag left out, for a simulator that measures what each is worth.
[[nodiscard]] Step decide_without(const policy::LagParts& parts, const pool::PoolSpec& spec, const ControlState& state,
                                  const model::Observation& seen);

// Whether the scaler asks workers to leave that have nothing to do: of a Deployment, and with the policy lag. Elsewhere
// they leave by themselves.
[[nodiscard]] bool asked_to_leave(const pool::PoolSpec& spec);

// Whether this version has the pool's policy; Code::invalid with what it has otherwise.
[[nodiscard]] Result<void> decidable(const pool::PoolSpec& spec);

// The slots for a decision: starts in the view's order of free slots, those below `min` first; takes back the youngest
// workers without a place; asks idle workers to drain that stay (started below an earlier `min`), are a Deployment's or
// of a pool with the policy lag. There node by node, the emptiest first, as many as `spare`, of whom those with work
// are asked when they have none: a node that is empty can go, and four that are a quarter full cannot. With a rival
// that scales down: as many as it wants fewer, busy or not, as a ReplicaSet picks them; they finish what they have.
[[nodiscard]] model::Plan plan(const pool::PoolSpec& spec, const model::Decision& decision,
                               const model::FleetView& view, std::int64_t spare = 0);

}  // namespace sluice::control
