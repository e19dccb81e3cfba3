// SPDX-License-Identifier: Apache-2.0
#pragma once
// The autoscaler of the Flink Kubernetes operator, for a job that is one source vertex.
//
// Source: apache/flink-kubernetes-operator 6e9caeb4 (July 2026), flink-autoscaler: ScalingMetricCollector,
// ScalingMetricEvaluator, JobVertexScaler, DelayedScaleDown, AutoScalerOptions. "Like", since a pool is no Flink job:
// records are finished messages, the lag is what waits, a vertex's load is the share of busy workers and not that of
// the busiest subtask, workers do not restart, and the job counts as running again once all are there or `restart` has
// passed. Off by default there and absent here: effectiveness detection, observed scalability, learned restart times.
#include <cstdint>
#include <optional>
#include <vector>

#include "rivals/seen.h"

namespace sluice::rivals {

struct FlinkLike {
  std::int64_t utilization_percent = 70;  // utilization.target
  std::int64_t boundary_percent = 30;     // target.utilization.boundary
  Duration catch_up = std::chrono::minutes{30};
  Duration restart = std::chrono::minutes{5};
  Duration window = std::chrono::minutes{15};        // metrics.window
  Duration stabilization = std::chrono::minutes{5};  // stabilization.interval
  Duration scale_down_interval = std::chrono::hours{1};
  std::int64_t scale_down_max_percent = 60;               // scale-down.max-factor
  std::int64_t scale_up_max_percent = 10'000'000;         // scale-up.max-factor
  Duration backlog_threshold = std::chrono::minutes{5};   // backlog-processing.lag-threshold
  Duration observe_threshold = std::chrono::seconds{30};  // observed-true-processing-rate.lag-threshold
  std::int64_t switch_percent = 15;                       // observed-true-processing-rate.switch-threshold
  std::int64_t observations = 2;                          // observed-true-processing-rate.min-observations
  Duration interval = std::chrono::seconds{60};           // the operator's reconcile.interval
};

struct FlinkSample {
  std::int64_t at_ms = 0;
  std::int64_t records = 0;  // finished, since ever
  std::int64_t lag = 0;
  std::optional<std::int64_t> load_millionths;  // empty: no worker ran
  // Records a second while catching up, in millionths; -1: infinite; empty: not known.
  std::optional<std::int64_t> observed;
  friend bool operator==(const FlinkSample&, const FlinkSample&) = default;
};
struct FlinkRecommended {
  std::int64_t at_ms = 0;
  std::int64_t parallelism = 0;
  bool outside = false;  // of the utilization's bounds
  friend bool operator==(const FlinkRecommended&, const FlinkRecommended&) = default;
};
struct FlinkLikeState {
  std::optional<std::int64_t> parallelism;  // empty: not seen anything yet
  std::int64_t scaled_ms = 0;
  std::optional<std::int64_t> running_ms;  // since when the job runs with it
  std::optional<std::int64_t> collected_ms;
  std::vector<FlinkSample> samples;
  std::optional<std::int64_t> down_first_ms;  // the first wish to scale down
  std::vector<FlinkRecommended> down;         // falling
  friend bool operator==(const FlinkLikeState&, const FlinkLikeState&) = default;
};

// What is evaluated of the samples. NaN: not known.
struct FlinkMetrics {
  double lag = 0;
  double target_rate = 0;  // arrivals a second
  double true_rate = 0;    // what the present workers could do
  double up_threshold = 0, down_threshold = 0;
};
// Requires: two samples.
[[nodiscard]] FlinkMetrics flink_metrics(const FlinkLike& options, const std::vector<FlinkSample>& samples);
// getTargetProcessingCapacity: a whole number.
[[nodiscard]] double flink_capacity(const FlinkLike& options, double lag, double rate, double utilization,
                                    bool with_restart);
// The parallelism to change to, by one evaluation; empty: none. Keeps the delayed scale-downs of `state`.
[[nodiscard]] std::optional<std::int64_t> flink_scale(const FlinkLike& options, const Bounds& bounds,
                                                      const FlinkMetrics& metrics, std::int64_t at_ms,
                                                      FlinkLikeState& state);

[[nodiscard]] policy::Proposal step(const FlinkLike& options, const Bounds& bounds, const model::Observation& seen,
                                    FlinkLikeState& state);

}  // namespace sluice::rivals
