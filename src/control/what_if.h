// SPDX-License-Identifier: Apache-2.0
#pragma once
// What would have led to another number of workers. Every sentence has been tried: the tick is decided again with just
// that change, and what changes nothing is not said.
#include <string>
#include <vector>

#include "control/decide.h"

namespace sluice::control {

// At most 4 sentences, most useful first; empty when the tick does not decide the same again (another version wrote
// it).
[[nodiscard]] std::vector<std::string> what_if(const pool::PoolSpec& spec, const ControlState& before,
                                               const model::Observation& seen, const model::Decision& decided);

}  // namespace sluice::control
