// SPDX-License-Identifier: Apache-2.0
#pragma once
// What an HPA's controller makes of the number that its metrics ask for: stabilization, rates and bounds.
#include <string>

#include "policy/hpa.h"

namespace sluice::policy {

struct HpaNormalized {
  std::int32_t replicas = 0;
  std::string able;     // reason of AbleToScale
  std::string limited;  // reason of ScalingLimited
  bool is_limited = false;
};

// Requires: state.recommendations. Stores the unstabilized `desired` in it.
[[nodiscard]] HpaNormalized normalize(const HpaOptions& options, HpaState& state, std::int32_t current,
                                      std::int32_t desired, std::int64_t now_us);

// Remembers a change for the limits of a period; only with a behavior, as nothing else looks at it.
void store_scale_event(const HpaOptions& options, HpaState& state, std::int32_t from, std::int32_t to,
                       std::int64_t now_us);

}  // namespace sluice::policy
