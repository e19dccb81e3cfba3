// SPDX-License-Identifier: Apache-2.0
#include "pool/types.h"

namespace sluice::pool {

std::optional<Duration> idle_exit(const PoolSpec& spec) {
  if (spec.workers.idle_exit) {
    return spec.workers.idle_exit;
  }
  if (std::holds_alternative<LagPolicy>(spec.policy)) {
    return std::chrono::minutes{15};  // the scaler asks them to leave much sooner: this is for when it does not live
  }
  return std::chrono::seconds{10};
}

std::int64_t slots_per_node(const Workers& workers) {
  const std::optional<std::int64_t> slots = workers.process ? workers.process->nodes.slots : std::nullopt;
  return slots.value_or(workers.max);
}

const char* policy_word(const Policy& policy) {
  constexpr const char* words[] = {"threshold",     "backlogPerWorker",  "lag",        "hpa",       "kedaScaledObject",
                                   "kedaScaledJob", "sqsTargetTracking", "knativeKpa", "flinkLike", "dataflowLike"};
  static_assert(std::size(words) == std::variant_size_v<Policy>);
  return words[policy.index()];
}

Every every(const Policy& policy) {
  return std::visit(
      [](const auto& one) {
        if constexpr (requires { one.every; }) {
          return one.every;
        } else {
          return Every{one.pace()};
        }
      },
      policy);
}

}  // namespace sluice::pool
