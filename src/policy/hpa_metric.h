// SPDX-License-Identifier: Apache-2.0
#pragma once
// What one metric of an HPA asks for: the controller's replica calculator.
#include "base/result.h"
#include "policy/hpa.h"

namespace sluice::policy {

// Requires: the reading is of the metric's kind. Code::retry with the cause where the metric failed.
[[nodiscard]] Result<HpaProposal> propose(const HpaOptions& options, const HpaSeen& seen, const HpaMetric& metric,
                                          const HpaReading& reading);

// The tolerances of the whole HPA: those of its behavior, where the release has them, else the controller's.
[[nodiscard]] HpaTolerance tolerance_of(const HpaOptions& options);

}  // namespace sluice::policy
