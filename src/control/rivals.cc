// SPDX-License-Identifier: Apache-2.0
#include "control/rivals.h"

#include <fmt/core.h>

#include "control/hpa.h"

namespace sluice::control {
namespace {

rivals::Counts counts_of(pool::RivalCounts counts) {
  return counts == pool::RivalCounts::ready ? rivals::Counts::ready : rivals::Counts::total;
}

std::optional<std::int32_t> small(const std::optional<std::int64_t>& n) {  // bounded by the definition
  return n ? std::optional(static_cast<std::int32_t>(*n)) : std::nullopt;
}

std::int64_t percent_of(const pool::Decimal& rate) {
  return rate.millionths / 10'000;
}

rivals::KedaScaledObject options_of(const pool::KedaScaledObjectPolicy& from) {
  rivals::KedaScaledObject out;
  out.target_milli = hpa_target_milli(from.target);
  out.target_type = from.target.type == pool::HpaTargetType::value ? policy::HpaTargetType::value
                                                                   : policy::HpaTargetType::average_value;
  out.activation = from.activation;
  out.counts = counts_of(from.counts);
  out.idle_replicas = from.idle_replicas;
  out.polling_interval = from.polling_interval;
  out.cooldown_period = from.cooldown_period;
  out.initial_cooldown_period = from.initial_cooldown_period;
  out.sync_period = from.sync_period;
  if (from.behavior) {
    out.behavior = hpa_behavior(*from.behavior);
  }
  return out;
}

rivals::KedaScaledJob options_of(const pool::KedaScaledJobPolicy& from) {
  constexpr rivals::KedaStrategy strategies[] = {rivals::KedaStrategy::by_default, rivals::KedaStrategy::custom,
                                                 rivals::KedaStrategy::accurate, rivals::KedaStrategy::eager};
  rivals::KedaScaledJob out;
  out.keda.strategy = strategies[static_cast<std::size_t>(from.strategy)];
  out.keda.deduction = small(from.deduction);
  out.keda.percentage = from.percentage.value_or("");
  out.keda.min_replicas = small(from.min_replicas);
  out.keda.max_replicas = small(from.max_replicas);
  out.target = from.target.value();
  out.activation = from.activation.value();
  out.counts = counts_of(from.counts);
  out.polling_interval = from.polling_interval;
  return out;
}

rivals::SqsTargetTracking options_of(const pool::SqsTargetTrackingPolicy& from) {
  return {.backlog_per_instance = from.target,
          .period = from.period,
          .high_periods = from.high_periods,
          .low_periods = from.low_periods,
          .low_percent = from.low_percent,
          .instance_warmup = from.instance_warmup};
}

rivals::KnativeKpa options_of(const pool::KnativeKpaPolicy& from) {
  return {.target_milli = from.target ? std::optional(from.target->millionths / 1000) : std::nullopt,
          .utilization_percent = from.utilization_percent,
          .stable_window = from.stable_window,
          .panic_window_percent = from.panic_window_percent,
          .panic_threshold_percent = from.panic_threshold_percent,
          .max_scale_up_percent = percent_of(from.max_scale_up_rate),
          .max_scale_down_percent = percent_of(from.max_scale_down_rate),
          .grace_period = from.grace_period,
          .pod_retention = from.pod_retention,
          .tick = from.tick};
}

rivals::FlinkLike options_of(const pool::FlinkLikePolicy& from) {
  return {.utilization_percent = from.utilization_percent,
          .boundary_percent = from.boundary_percent,
          .catch_up = from.catch_up,
          .restart = from.restart,
          .window = from.window,
          .stabilization = from.stabilization,
          .scale_down_interval = from.scale_down_interval,
          .scale_down_max_percent = from.scale_down_max_percent,
          .scale_up_max_percent = from.scale_up_max_percent,
          .backlog_threshold = from.backlog_threshold,
          .observe_threshold = from.observe_threshold,
          .switch_percent = from.switch_percent,
          .observations = from.observations,
          .interval = from.interval};
}

rivals::DataflowLike options_of(const pool::DataflowLikePolicy& from) {
  return {.backlog_high = from.backlog_high,
          .backlog_low = from.backlog_low,
          .drain = from.drain,
          .busy_percent = from.busy_percent,
          .utilization_percent = from.utilization_percent,
          .window = from.window,
          .interval = from.interval};
}

template <class State, class Policy>
policy::Proposal step_of(const pool::PoolSpec& spec, const Policy& policy, const model::Observation& seen,
                         std::optional<rivals::RivalState>& memory) {
  if (!memory || !std::holds_alternative<State>(*memory)) {
    memory = State{};
  }
  const pool::Workers& workers = spec.workers;
  const rivals::Bounds bounds{.min = workers.min, .max = workers.max, .concurrency = workers.concurrency};
  return rivals::step(options_of(policy), bounds, seen, std::get<State>(*memory));
}

// Which of them count what waits alone.
bool needs_ready(const pool::Policy& policy) {
  if (const auto* object = std::get_if<pool::KedaScaledObjectPolicy>(&policy)) {
    return object->counts == pool::RivalCounts::ready;
  }
  if (const auto* job = std::get_if<pool::KedaScaledJobPolicy>(&policy)) {
    return job->counts == pool::RivalCounts::ready;
  }
  return is_rival(policy) && !std::holds_alternative<pool::KnativeKpaPolicy>(policy);
}

}  // namespace

bool is_rival(const pool::Policy& policy) {
  return policy.index() >= pool::rivals_from;
}

Result<void> rival_decidable(const pool::PoolSpec& spec) {
  if (std::holds_alternative<pool::PubsubQueue>(spec.queue) && needs_ready(spec.policy)) {
    return Error{Code::invalid,
                 fmt::format("{} needs to know what waits, and Pub/Sub counts what is in work as well; accepted: "
                             "knativeKpa, or KEDA with counts: total",
                             pool::policy_word(spec.policy))};
  }
  return {};
}

policy::Proposal propose_rival(const pool::PoolSpec& spec, const model::Observation& seen,
                               std::optional<rivals::RivalState>& memory) {
  if (const auto* object = std::get_if<pool::KedaScaledObjectPolicy>(&spec.policy)) {
    return step_of<rivals::KedaScaledObjectState>(spec, *object, seen, memory);
  }
  if (const auto* job = std::get_if<pool::KedaScaledJobPolicy>(&spec.policy)) {
    return step_of<rivals::KedaScaledJobState>(spec, *job, seen, memory);
  }
  if (const auto* sqs = std::get_if<pool::SqsTargetTrackingPolicy>(&spec.policy)) {
    return step_of<rivals::SqsTargetTrackingState>(spec, *sqs, seen, memory);
  }
  if (const auto* kpa = std::get_if<pool::KnativeKpaPolicy>(&spec.policy)) {
    return step_of<rivals::KnativeKpaState>(spec, *kpa, seen, memory);
  }
  if (const auto* flink = std::get_if<pool::FlinkLikePolicy>(&spec.policy)) {
    return step_of<rivals::FlinkLikeState>(spec, *flink, seen, memory);
  }
  return step_of<rivals::DataflowLikeState>(spec, std::get<pool::DataflowLikePolicy>(spec.policy), seen, memory);
}

}  // namespace sluice::control
