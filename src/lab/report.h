// SPDX-License-Identifier: Apache-2.0
#pragma once
// One self-contained page of a sweep: no network, no library, its plots inline SVG. The same outcomes, the same bytes.
#include <string>
#include <vector>

#include "lab/outcome.h"

namespace sluice::lab {

[[nodiscard]] std::string report_html(const std::vector<Outcome>& outcomes);

}  // namespace sluice::lab
