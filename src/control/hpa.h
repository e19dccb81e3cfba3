// SPDX-License-Identifier: Apache-2.0
#pragma once
// The policy hpa: the stock HPA's numbers for a pool's Deployment. The metric is what waits or is in work; the bounds
// are the pool's.
//
// The HPA is asked once every `every`, as its limits go by syncs; between them what it said stands. It sees the size
// that it has set itself, and no pods beyond it: workers that it wants to be gone and that have yet to finish do not
// count, so that its numbers are those it would have where pods are simply deleted.
#include "control/state.h"
#include "model/observation.h"
#include "policy/options.h"
#include "pool/types.h"

namespace sluice::control {

// Holds while the backlog is unknown. `memory` is empty before the first sync, and where nothing was acted on since.
[[nodiscard]] policy::Proposal propose_hpa(const pool::PoolSpec& spec, const pool::HpaPolicy& hpa,
                                           const model::Observation& seen, std::optional<HpaMemory>& memory);

// The proposal of the metric alone, before limits and stabilization, for whoever explains it. Requires:
// policy::backlog_of(seen).
[[nodiscard]] std::string hpa_arithmetic(const pool::PoolSpec& spec, const pool::HpaPolicy& hpa,
                                         const model::Observation& seen);

// What it takes from a pool's words, for whoever else has an HPA inside.
[[nodiscard]] std::int64_t hpa_target_milli(const pool::HpaTarget& target);
[[nodiscard]] policy::HpaBehavior hpa_behavior(const pool::HpaBehavior& given);

}  // namespace sluice::control
