// SPDX-License-Identifier: Apache-2.0
#pragma once
// The policy lag for a pool: what its fleet is like, and the memory between two ticks.
#include <string>
#include <vector>

#include "control/state.h"
#include "model/observation.h"
#include "policy/lag.h"
#include "pool/types.h"

namespace sluice::control {

[[nodiscard]] policy::LagOptions lag_options(const pool::PoolSpec& spec, const pool::LagPolicy& lag);

// Holds while the backlog, or what has been published, is unknown. `memory` is empty before the first look.
[[nodiscard]] policy::Proposal propose_lag(const pool::PoolSpec& spec, const pool::LagPolicy& lag,
                                           const model::Observation& seen, const policy::LagParts& parts,
                                           LagHeld& memory);

// What was learned by then and how the number came to be, for whoever explains it.
[[nodiscard]] std::vector<std::string> lag_arithmetic(const pool::PoolSpec& spec, const pool::LagPolicy& lag,
                                                      const model::Observation& seen, const LagHeld& before);

}  // namespace sluice::control
