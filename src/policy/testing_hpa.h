// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the HPA's tests are written in. Section numbers in their names and comments are those of the description of the
// algorithm in docs/reference/hpa.md.
#include <algorithm>
#include <string>

#include "policy/hpa.h"

namespace sluice::policy::testing {

inline constexpr HpaSemantics every_release[] = {HpaSemantics::v1_28, HpaSemantics::v1_35, HpaSemantics::v1_36,
                                                 HpaSemantics::v1_37};

inline HpaMetric metric(HpaTargetType target_type, std::int64_t target_milli,
                        HpaMetricType type = HpaMetricType::external) {
  return {.type = type, .target_type = target_type, .target = target_milli};
}

// One external metric with AverageValue "100", 1 to 100 replicas.
inline HpaOptions options_of(HpaSemantics semantics = HpaSemantics::v1_36) {
  HpaOptions out;
  out.max_replicas = 100;
  out.metrics = {metric(HpaTargetType::average_value, 100'000)};
  out.semantics = semantics;
  return out;
}

// Everything in order: as many pods as spec.replicas says, all of them ready.
inline HpaSeen seen_of(std::int32_t replicas, std::int64_t value, std::int64_t at_s = 0) {
  HpaSeen out;
  out.spec_replicas = out.status_replicas = replicas;
  out.ready_pods = replicas;
  out.metrics = {HpaValues{{value * 1000}}};
  out.at_us = at_s * 1'000'000;
  return out;
}

// A workload under an HPA, one sync after the other.
struct Workload {
  HpaOptions options;
  std::int32_t replicas = 1;
  std::vector<HpaCondition> conditions = {};
  HpaState state = {};
  HpaStep last = {};

  std::int32_t at(std::int64_t at_s, std::int64_t value) {
    HpaSeen seen = seen_of(replicas, value, at_s);
    seen.conditions = conditions;
    return follow(sync(options, state, seen));
  }
  std::int32_t follow(HpaStep step) {
    last = std::move(step);
    state = last.next;
    conditions = last.conditions;
    replicas = last.replicas;
    return replicas;
  }
  [[nodiscard]] std::string condition(std::string_view type) const {
    const auto found = std::ranges::find(conditions, type, &HpaCondition::type);
    return found == conditions.end() ? "none" : found->status + " " + found->reason;
  }
};

}  // namespace sluice::policy::testing
