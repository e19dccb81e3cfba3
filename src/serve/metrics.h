// SPDX-License-Identifier: Apache-2.0
#pragma once
// Every metric there is, as one table: /metrics writes from it, and the reference page is made of it. What is not known
// has no series, never a 0.
#include <string>

#include "base/time.h"
#include "serve/board.h"

namespace sluice::serve {

// `now` is the time on the clock that the pools tick by.
[[nodiscard]] std::string metrics_text(const Board& board, Time now);
// docs/reference/metrics.md.
[[nodiscard]] std::string metrics_page();

}  // namespace sluice::serve
