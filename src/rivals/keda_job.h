// SPDX-License-Identifier: Apache-2.0
#pragma once
// KEDA's ScaledJob, integer for integer: how many Jobs one poll creates.
//
// Source: kedacore/keda 8b4f083c (August 2026, 2.20): pkg/scaling/scaledjob/metrics.go, pkg/scaling/executor/
// scale_jobs.go and apis/keda/v1alpha1/scaledjob_types.go. What is wrong in them is kept: `custom` caps the new Jobs
// and not the running ones, `eager` subtracts the pending ones twice, and a percentage that is no number is `default`.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rivals/seen.h"

namespace sluice::rivals {

enum class KedaStrategy { by_default, custom, accurate, eager };
enum class KedaCalculation { max, min, avg, sum };  // over several triggers

struct KedaJobOptions {
  KedaStrategy strategy = KedaStrategy::by_default;
  std::optional<std::int32_t> deduction;  // customScalingQueueLengthDeduction
  std::string percentage;                 // customScalingRunningJobPercentage: a float as text
  KedaCalculation calculation = KedaCalculation::max;
  std::optional<std::int32_t> min_replicas, max_replicas;  // absent and given differ: see jobs_max()
};

struct KedaTrigger {
  double queue_length = 0;
  double target = 0;
  bool active = false;
};

// A trigger that failed is not listed: the others decide.
struct KedaJobSeen {
  std::vector<KedaTrigger> triggers;
  std::int64_t running = 0;  // Jobs that are neither complete nor failed, the pending ones too
  std::int64_t pending = 0;  // of those, without a pod that runs or has succeeded
};

struct KedaJobAnswer {
  std::int64_t create = 0;
  std::int64_t queue_length = 0;
  std::int64_t max_scale = 0;
  std::int64_t effective_max_scale = 0;  // as the strategy gives it: may be below 0
  std::int64_t scale_to = 0;             // the same: messages, or the most Jobs for `eager`
};

[[nodiscard]] KedaJobAnswer jobs_to_create(const KedaJobOptions& options, const KedaJobSeen& seen);

// The bounds that a ScaledJob computes with.
[[nodiscard]] std::int64_t jobs_min(const KedaJobOptions& options);
[[nodiscard]] std::int64_t jobs_max(const KedaJobOptions& options);
// Go's strconv.ParseFloat(text, 64); empty where it fails.
[[nodiscard]] std::optional<double> go_float(const std::string& text);

// A ScaledJob of a pool: one trigger, polled. Its bounds are the pool's where it has none.
struct KedaScaledJob {
  KedaJobOptions keda;
  double target = 5;      // messages a Job: the default of KEDA's queues
  double activation = 0;  // active above so many
  Counts counts = Counts::total;
  Duration polling_interval = std::chrono::seconds{30};
};
struct KedaScaledJobState {
  std::optional<std::int64_t> polled_ms;
  friend bool operator==(const KedaScaledJobState&, const KedaScaledJobState&) = default;
};

// A live worker is a Job, one that has not started a pending one. Never fewer than there are: Jobs end by themselves.
[[nodiscard]] policy::Proposal step(const KedaScaledJob& options, const Bounds& bounds, const model::Observation& seen,
                                    KedaScaledJobState& state);

}  // namespace sluice::rivals
