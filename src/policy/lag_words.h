// SPDX-License-Identifier: Apache-2.0
#pragma once
// The sentences of the lag policy: what waits, what bound the number, and what cannot be met.
#include <string>
#include <vector>

#include "policy/lag.h"

namespace sluice::policy {

struct LagSaid {
  std::int64_t waiting = 0;
  std::int64_t working = 0;
  std::int64_t useful = 0;  // workers there are
};
[[nodiscard]] std::string lag_sentence(const LagOptions& options, const LagTerms& terms, const LagSaid& said);
// What was learned and how the number came to be, a line each.
[[nodiscard]] std::vector<std::string> lag_arithmetic(const LagOptions& options, const LagTerms& terms);

}  // namespace sluice::policy
