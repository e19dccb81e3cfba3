// SPDX-License-Identifier: Apache-2.0
#include "rivals/keda_object.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>

namespace sluice::rivals {
namespace {

std::int32_t int32_of(std::int64_t n) {
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(n, 0, std::numeric_limits<std::int32_t>::max()));
}

// The cooldown has passed, strictly: lastActiveTime + cooldownPeriod is before now.
bool cooled_down(const KedaScaledObject& options, const KedaScaledObjectState& state, std::int64_t at_ms) {
  return state.active_ms ? *state.active_ms + to_ms(options.cooldown_period) < at_ms
                         : *state.created_ms + to_ms(options.initial_cooldown_period) < at_ms;
}

policy::HpaOptions hpa_of(const KedaScaledObject& options, const Bounds& bounds) {
  policy::HpaOptions out;
  out.min_replicas = std::max(int32_of(bounds.min), 1);
  out.max_replicas = std::max(int32_of(bounds.max), 1);
  out.metrics = {
      {.type = policy::HpaMetricType::external, .target_type = options.target_type, .target = options.target_milli}};
  out.behavior = options.behavior;
  out.semantics = options.semantics;
  out.scale_to_zero = false;
  return out;
}

policy::HpaReading reading_of(std::optional<std::int64_t> length) {
  if (!length) {
    return policy::HpaFailure{"the trigger failed"};
  }
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  return policy::HpaValues{{*length > most / 1000 ? most : *length * 1000}};
}

// The HPA's sync. Pods beyond spec.replicas are about to be deleted, and none of the workload's by then.
policy::HpaStep sync_hpa(const KedaScaledObject& options, const Bounds& bounds, const model::Observation& seen,
                         std::optional<std::int64_t> length, KedaScaledObjectState& state) {
  const std::int64_t pods = seen.useful() + seen.count(model::WorkerState::failing);
  policy::HpaSeen hpa;
  hpa.spec_replicas = int32_of(state.replicas);
  hpa.status_replicas = int32_of(std::min(pods, state.replicas));
  hpa.ready_pods = int32_of(std::min<std::int64_t>(started(seen), hpa.status_replicas));
  hpa.metrics = {reading_of(length)};
  hpa.at_us = seen.at_ms * 1000;
  policy::HpaStep out = policy::sync(hpa_of(options, bounds), state.hpa, hpa);
  state.hpa = out.next;
  state.replicas = out.replicas;
  state.synced_ms = seen.at_ms;
  return out;
}

std::string polled(std::optional<std::int64_t> set, const KedaScaledObjectState& state) {
  return set ? fmt::format("; KEDA sets {}", *set) : fmt::format("; KEDA leaves {}", state.replicas);
}

std::string synced(const policy::HpaStep& step) {
  if (step.metrics.empty()) {
    return "; the HPA is off at 0";
  }
  if (!step.metrics.front().replicas) {
    return "; the HPA cannot tell";
  }
  return fmt::format("; the HPA asks for {} and sets {}", *step.metrics.front().replicas, step.replicas);
}

}  // namespace

std::optional<std::int64_t> poll(const KedaScaledObject& options, const Bounds& bounds,
                                 std::optional<std::int64_t> length, std::int64_t at_ms, KedaScaledObjectState& state) {
  const bool idle_mode = options.idle_replicas.has_value();
  state.polled_ms = at_ms;
  if (length && *length > options.activation) {
    state.active_ms = at_ms;
    const bool asleep = state.replicas == 0 || (idle_mode && state.replicas < bounds.min);
    return asleep ? std::optional(std::max<std::int64_t>(bounds.min, 1)) : std::nullopt;
  }
  if (!length) {
    return std::nullopt;
  }
  const bool above_idle = idle_mode && state.replicas > *options.idle_replicas;
  if (above_idle || (state.replicas > 0 && bounds.min == 0)) {
    const std::int64_t asleep = options.idle_replicas.value_or(bounds.min);
    return cooled_down(options, state, at_ms) ? std::optional(asleep) : std::nullopt;
  }
  return !idle_mode && state.replicas < bounds.min ? std::optional(bounds.min) : std::nullopt;
}

policy::Proposal step(const KedaScaledObject& options, const Bounds& bounds, const model::Observation& seen,
                      KedaScaledObjectState& state) {
  if (!state.created_ms) {
    state.created_ms = seen.at_ms;
    state.replicas = seen.useful() + seen.count(model::WorkerState::failing);
  }
  const std::optional<std::int64_t> length = messages(options.counts, bounds, seen);
  std::string said;
  if (due(state.polled_ms, options.polling_interval, seen)) {
    const std::optional<std::int64_t> set = poll(options, bounds, length, seen.at_ms, state);
    said += polled(set, state);
    state.replicas = set.value_or(state.replicas);
  }
  if (due(state.synced_ms, options.sync_period, seen)) {
    said += synced(sync_hpa(options, bounds, seen, length, state));
  }
  if (!length) {
    return blind(state.replicas, seen);
  }
  policy::Proposal out = want(state.replicas, fmt::format("{} messages{}", *length, said), seen);
  out.again_in_ms =
      std::min(*state.polled_ms + to_ms(options.polling_interval), *state.synced_ms + to_ms(options.sync_period)) -
      seen.at_ms;
  return out;
}

}  // namespace sluice::rivals
