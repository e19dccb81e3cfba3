// SPDX-License-Identifier: Apache-2.0
#pragma once
// KEDA's ScaledObject: a poll that wakes a workload and puts it to sleep, and the stock HPA between one and many.
//
// Source: kedacore/keda 8b4f083c (August 2026, 2.20): pkg/scaling/executor/scale_scaledobjects.go (RequestScale),
// apis/keda/v1alpha1/scaledobject_types.go; the HPA is policy/hpa.h, with minReplicas max(1, min) and without the gate
// HPAScaleToZero, so that a workload at zero is KEDA's alone. One trigger, no fallback and no annotations: a trigger
// that fails holds.
#include <cstdint>
#include <optional>
#include <string>

#include "policy/hpa.h"
#include "rivals/seen.h"

namespace sluice::rivals {

struct KedaScaledObject {
  std::int64_t target_milli = 5000;  // messages a pod, or in all where the target is a Value
  policy::HpaTargetType target_type = policy::HpaTargetType::average_value;
  std::int64_t activation = 0;  // active above so many
  Counts counts = Counts::total;
  std::optional<std::int64_t> idle_replicas;
  Duration polling_interval = std::chrono::seconds{30};
  Duration cooldown_period = std::chrono::seconds{300};
  Duration initial_cooldown_period{0};
  Duration sync_period = std::chrono::seconds{15};  // the HPA controller's
  std::optional<policy::HpaBehavior> behavior;
  policy::HpaSemantics semantics = policy::HpaSemantics::v1_37;
};

struct KedaScaledObjectState {
  std::optional<std::int64_t> created_ms;  // empty: not seen anything yet
  std::optional<std::int64_t> polled_ms, synced_ms;
  std::optional<std::int64_t> active_ms;  // lastActiveTime
  std::int64_t replicas = 0;              // spec.replicas of the workload
  policy::HpaState hpa;
  friend bool operator==(const KedaScaledObjectState&, const KedaScaledObjectState&) = default;
};

// One poll: KEDA's own decision, before the HPA. Empty: nothing is written. `length` is empty where the trigger failed.
// Sets state.active_ms.
[[nodiscard]] std::optional<std::int64_t> poll(const KedaScaledObject& options, const Bounds& bounds,
                                               std::optional<std::int64_t> length, std::int64_t at_ms,
                                               KedaScaledObjectState& state);

// A poll where one is due, then a sync of the HPA where one is due, with the same reading.
[[nodiscard]] policy::Proposal step(const KedaScaledObject& options, const Bounds& bounds,
                                    const model::Observation& seen, KedaScaledObjectState& state);

}  // namespace sluice::rivals
