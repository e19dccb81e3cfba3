// SPDX-License-Identifier: Apache-2.0
#pragma once
// The rivals for a pool of a simulation: from the words of a file to the arithmetic of src/rivals.
#include <optional>

#include "base/result.h"
#include "model/observation.h"
#include "policy/options.h"
#include "pool/types.h"
#include "rivals/state.h"

namespace sluice::control {

[[nodiscard]] bool is_rival(const pool::Policy& policy);
// Whether what the rival counts can be known of the pool's queue.
[[nodiscard]] Result<void> rival_decidable(const pool::PoolSpec& spec);
// Requires: is_rival(spec.policy). `memory` is empty before the first look.
[[nodiscard]] policy::Proposal propose_rival(const pool::PoolSpec& spec, const model::Observation& seen,
                                             std::optional<rivals::RivalState>& memory);

}  // namespace sluice::control
