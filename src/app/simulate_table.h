// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

#include "lab/outcome.h"

namespace sluice::app {

// A scenario's policies side by side, the winner bold and marked; with what was assumed. Lines with ends.
[[nodiscard]] std::string outcome_table(const lab::Outcome& outcome, bool colour);

// For tables like it: the first row is the head, `best` the row behind it that is bold and marked.
using TableRow = std::vector<std::string>;
[[nodiscard]] std::string aligned(const std::vector<TableRow>& rows, std::size_t best, bool colour);
[[nodiscard]] std::string wait_text(double s);
[[nodiscard]] std::string percent_text(double share);

}  // namespace sluice::app
