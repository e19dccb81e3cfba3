// SPDX-License-Identifier: Apache-2.0
#pragma once
// The rivals' part of the definition; see pool/definition.h. The reference page is docs/reference/rivals.md.
#include <array>

#include "pool/definition_policy.h"
#include "pool/types_rivals.h"

namespace sluice::pool {

inline constexpr std::array<std::string_view, 2> rival_counts_words = {"total", "ready"};
inline constexpr std::array<std::string_view, 4> keda_strategy_words = {"default", "custom", "accurate", "eager"};

inline constexpr std::int64_t rival_percent_limit = 1'000'000'000;
inline constexpr Field rival_counts_field{.doc = "What the metric counts: waiting and in work, or only waiting.",
                                          .words = rival_counts_words};

constexpr Field rival_time(std::string_view doc, Duration shortest = std::chrono::milliseconds{100}) {
  return {.doc = doc, .shortest = shortest, .longest = wait_longest};
}
constexpr Field rival_number(std::string_view doc, std::int64_t min, std::int64_t max) {
  return {.doc = doc, .min = min, .max = max};
}

template <class V, Is<KedaScaledObjectPolicy> T>
void describe(V& v, T& o) {
  v.about("KEDA's ScaledObject.");
  v.field("target", o.target, {.doc = "The trigger's metricType and value.", .required = true});
  v.field("activation", o.activation, rival_number("Active above so many messages.", 0, messages_limit));
  v.field("counts", o.counts, rival_counts_field);
  v.field("idleReplicaCount", o.idle_replicas,
          {.doc = "Replicas while inactive.", .max = workers_limit, .default_text = "none"});
  v.field("pollingInterval", o.polling_interval, rival_time("From poll to poll."));
  v.field("cooldownPeriod", o.cooldown_period, rival_time("From the last activity to sleep.", Duration{0}));
  v.field("initialCooldownPeriod", o.initial_cooldown_period, rival_time("The first of them.", Duration{0}));
  v.field("syncPeriod", o.sync_period, rival_time("The HPA controller's."));
  v.field("behavior", o.behavior, {.doc = "The HPA's.", .default_text = "none given"});
}

template <class V, Is<KedaScaledJobPolicy> T>
void describe(V& v, T& o) {
  v.about("KEDA's ScaledJob.");
  v.field("target", o.target, {.doc = "The trigger's value: messages a Job.", .max = messages_limit * 1'000'000});
  v.field("activation", o.activation, {.doc = "Active above so many messages.", .max = messages_limit * 1'000'000});
  v.field("counts", o.counts, rival_counts_field);
  v.field("strategy", o.strategy, {.doc = "scalingStrategy.strategy.", .words = keda_strategy_words});
  v.field("customScalingQueueLengthDeduction", o.deduction,
          {.doc = "Only of custom.", .max = messages_limit, .default_text = "0"});
  v.field("customScalingRunningJobPercentage", o.percentage,
          {.doc = "Only of custom; no number makes it default.", .form = Form::argument, .default_text = "none"});
  v.field("minReplicaCount", o.min_replicas, {.doc = "KEDA's.", .max = workers_limit, .default_text = "workers.min"});
  v.field(
      "maxReplicaCount", o.max_replicas,
      {.doc = "KEDA's, which caps less than workers.max does.", .max = workers_limit, .default_text = "workers.max"});
  v.field("pollingInterval", o.polling_interval, rival_time("From poll to poll."));
}

template <class V, Is<SqsTargetTrackingPolicy> T>
void describe(V& v, T& o) {
  v.about("Target tracking of the backlog per instance, with the delays of its alarms.");
  v.field("target", o.target, rival_number("Visible messages an instance.", 1, messages_limit));
  v.field("period", o.period, rival_time("Of the metric."));
  v.field("highPeriods", o.high_periods, rival_number("Periods above the target before it adds.", 1, 1000));
  v.field("lowPeriods", o.low_periods, rival_number("Periods below before it removes.", 1, 1000));
  v.field("lowPercent", o.low_percent, rival_number("Of the target: below is low.", 1, 100));
  v.field("instanceWarmup", o.instance_warmup, rival_time("No removal so soon after adding.", Duration{0}));
}

template <class V, Is<KnativeKpaPolicy> T>
void describe(V& v, T& o) {
  v.about("Knative's pod autoscaler on concurrency.");
  v.field("target", o.target,
          {.doc = "Messages a pod has at once.",
           .min = 10'000,
           .max = messages_limit * 1'000'000,
           .default_text = "workers.concurrency"});
  v.field("targetUtilizationPercentage", o.utilization_percent, rival_number("Of the target.", 1, 100));
  v.field("stableWindow", o.stable_window, rival_time("The average it scales by.", std::chrono::seconds{6}));
  v.field("panicWindowPercentage", o.panic_window_percent, rival_number("Of the stable window.", 1, 100));
  v.field("panicThresholdPercentage", o.panic_threshold_percent,
          rival_number("Of what is ready: panic from here on.", 110, 1000));
  v.field("maxScaleUpRate", o.max_scale_up_rate,
          {.doc = "Times what is ready.", .min = 1'010'000, .max = rival_percent_limit * 1'000'000});
  v.field("maxScaleDownRate", o.max_scale_down_rate,
          {.doc = "Part of what is ready.", .min = 1'010'000, .max = rival_percent_limit * 1'000'000});
  v.field("scaleToZeroGracePeriod", o.grace_period, rival_time("Before zero."));
  v.field("scaleToZeroPodRetentionPeriod", o.pod_retention, rival_time("The last pod's.", Duration{0}));
  v.field("tick", o.tick, rival_time("From decision to decision."));
}

template <class V, Is<FlinkLikePolicy> T>
void describe(V& v, T& o) {
  v.about("Like the autoscaler of Flink's Kubernetes operator.");
  v.field("utilizationPercent", o.utilization_percent, rival_number("utilization.target", 1, 100));
  v.field("boundaryPercent", o.boundary_percent, rival_number("The band around it.", 0, 100));
  v.field("catchUp", o.catch_up, rival_time("catch-up.duration", Duration{0}));
  v.field("restart", o.restart, rival_time("restart.time", Duration{0}));
  v.field("window", o.window, rival_time("metrics.window"));
  v.field("stabilization", o.stabilization, rival_time("stabilization.interval", Duration{0}));
  v.field("scaleDownInterval", o.scale_down_interval, rival_time("scale-down.interval", Duration{0}));
  v.field("scaleDownMaxPercent", o.scale_down_max_percent, rival_number("scale-down.max-factor", 1, 100));
  v.field("scaleUpMaxPercent", o.scale_up_max_percent, rival_number("scale-up.max-factor", 1, rival_percent_limit));
  v.field("backlogThreshold", o.backlog_threshold, rival_time("backlog-processing.lag-threshold"));
  v.field("observeThreshold", o.observe_threshold, rival_time("observed-true-processing-rate.lag-threshold"));
  v.field("switchPercent", o.switch_percent, rival_number("observed-true-processing-rate.switch-threshold", 0, 1000));
  v.field("observations", o.observations, rival_number("observed-true-processing-rate.min-observations", 1, 1000));
  v.field("interval", o.interval, rival_time("reconcile.interval"));
}

template <class V, Is<DataflowLikePolicy> T>
void describe(V& v, T& o) {
  v.about("Like Dataflow's streaming autoscaling.");
  v.field("backlogHigh", o.backlog_high, rival_time("More backlog than this: up."));
  v.field("backlogLow", o.backlog_low, rival_time("Less than this: down.", Duration{0}));
  v.field("drain", o.drain, rival_time("How long a backlog may take."));
  v.field("busyPercent", o.busy_percent, rival_number("Up only above it.", 0, 100));
  v.field("utilizationPercent", o.utilization_percent, rival_number("The hint: down only below it.", 1, 100));
  v.field("window", o.window, rival_time("How long it must have been so."));
  v.field("interval", o.interval, rival_time("From sample to sample."));
}

}  // namespace sluice::pool
