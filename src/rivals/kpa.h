// SPDX-License-Identifier: Apache-2.0
#pragma once
// Knative's pod autoscaler on concurrency, with its panic mode and its way to zero.
//
// Source: knative/serving 98e5ef90 (August 2026): pkg/autoscaler/scaling/autoscaler.go (Scale), pkg/autoscaler/
// aggregation/bucketing.go (WindowAverage), pkg/reconciler/autoscaling/kpa/scaler.go (handleScaleToZero) and kpa.go
// (computeActiveCondition), defaults of config/core/configmaps/autoscaler.yaml. The concurrency is what waits or is in
// work, as its activator and queue proxies would hold it; a tick's value stands for the scrapes of every second until
// the next. Not here: scale-down-delay, activation-scale, initial-scale and burst capacity, all neutral by default.
#include <cstdint>
#include <optional>
#include <vector>

#include "rivals/seen.h"

namespace sluice::rivals {

struct KnativeKpa {
  std::optional<std::int64_t> target_milli;  // concurrency of a pod; empty: what a worker takes at once
  std::int64_t utilization_percent = 70;
  Duration stable_window = std::chrono::seconds{60};
  std::int64_t panic_window_percent = 10;
  std::int64_t panic_threshold_percent = 200;
  std::int64_t max_scale_up_percent = 100'000;
  std::int64_t max_scale_down_percent = 200;
  Duration grace_period = std::chrono::seconds{30};
  Duration pod_retention{0};
  Duration tick = std::chrono::seconds{2};
};

enum class KpaActivity { inactive, activating, active };

struct KpaLevel {
  std::int64_t at_ms = 0;
  std::int64_t concurrency = 0;
  friend bool operator==(const KpaLevel&, const KpaLevel&) = default;
};
struct KnativeKpaState {
  std::optional<std::int64_t> first_ms;  // of the first level; empty: not seen anything yet
  std::vector<KpaLevel> levels;          // of the stable window and the one before it
  std::optional<std::int64_t> ticked_ms;
  std::optional<std::int64_t> panic_ms;
  std::int64_t panic_pods = 0;
  KpaActivity activity = KpaActivity::inactive;
  std::int64_t since_ms = 0;  // in that activity
  std::int64_t replicas = 0;
  friend bool operator==(const KnativeKpaState&, const KnativeKpaState&) = default;
};

// The average over the last `window`, of as much of it as there are levels. Requires: state.levels.
[[nodiscard]] double kpa_average(const KnativeKpaState& state, Duration window, std::int64_t at_ms);

struct KpaDesired {
  double stable = 0, panic = 0;  // averages
  std::int32_t pods = 0;         // before bounds and zero
};
// Scale() with these averages; keeps the panic of `state`.
[[nodiscard]] KpaDesired kpa_desired(const KnativeKpa& options, const Bounds& bounds, double stable, double panic,
                                     std::int64_t ready, std::int64_t at_ms, KnativeKpaState& state);
// handleScaleToZero() and computeActiveCondition(); sets state.replicas, activity and since_ms. Requires: `desired`
// within bounds.
void kpa_apply(const KnativeKpa& options, const Bounds& bounds, std::int64_t desired, std::int64_t ready,
               std::int64_t at_ms, KnativeKpaState& state);

[[nodiscard]] policy::Proposal step(const KnativeKpa& options, const Bounds& bounds, const model::Observation& seen,
                                    KnativeKpaState& state);

}  // namespace sluice::rivals
