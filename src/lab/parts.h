// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the policy lag is without some of its parts, to see what each is worth. For runs alone: no pool can say so.
#include <string>

#include "base/result.h"
#include "lab/scenario.h"
#include "policy/lag.h"

namespace sluice::lab {

// "choice, credibility, feasible, floor, keep, slope"
[[nodiscard]] std::string part_names();

// All but those that the contender is `without`. Code::invalid says "what is wrong; accepted: what would be right":
// no such part, or a policy that has none.
[[nodiscard]] Result<policy::LagParts> parts_of(const Contender& contender);

}  // namespace sluice::lab
