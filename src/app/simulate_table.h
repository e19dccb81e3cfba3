// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "lab/outcome.h"

namespace sluice::app {

// A scenario's policies side by side, the winner bold and marked; with what was assumed. Lines with ends.
[[nodiscard]] std::string outcome_table(const lab::Outcome& outcome, bool colour);

}  // namespace sluice::app
