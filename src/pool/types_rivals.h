// SPDX-License-Identifier: Apache-2.0
#pragma once
// The rivals: policies of other autoscalers, to compare with in `sluice simulate` and `sluice decide`. What they
// compute, and of which source and version, is in src/rivals. The bounds are the pool's workers.min and workers.max.
#include <algorithm>

#include "pool/types_policy.h"

namespace sluice::pool {

enum class RivalCounts { total, ready };

struct KedaScaledObjectPolicy {
  HpaTarget target;
  std::int64_t activation = 0;
  RivalCounts counts = RivalCounts::total;
  std::optional<std::int64_t> idle_replicas;
  Duration polling_interval = std::chrono::seconds{30};
  Duration cooldown_period = std::chrono::seconds{300};
  Duration initial_cooldown_period{0};
  Duration sync_period = std::chrono::seconds{15};
  std::optional<HpaBehavior> behavior;
  [[nodiscard]] Duration pace() const { return std::min(polling_interval, sync_period); }
  friend bool operator==(const KedaScaledObjectPolicy&, const KedaScaledObjectPolicy&) = default;
};

enum class KedaStrategy { by_default, custom, accurate, eager };
struct KedaScaledJobPolicy {
  Decimal target{5'000'000};
  Decimal activation;
  RivalCounts counts = RivalCounts::total;
  KedaStrategy strategy = KedaStrategy::by_default;
  std::optional<std::int64_t> deduction;
  std::optional<std::string> percentage;
  std::optional<std::int64_t> min_replicas, max_replicas;  // absent: workers.min, workers.max
  Duration polling_interval = std::chrono::seconds{30};
  [[nodiscard]] Duration pace() const { return polling_interval; }
  friend bool operator==(const KedaScaledJobPolicy&, const KedaScaledJobPolicy&) = default;
};

struct SqsTargetTrackingPolicy {
  std::int64_t target = 100;
  Duration period = std::chrono::seconds{60};
  std::int64_t high_periods = 3;
  std::int64_t low_periods = 15;
  std::int64_t low_percent = 90;
  Duration instance_warmup = std::chrono::seconds{300};
  [[nodiscard]] Duration pace() const { return period; }
  friend bool operator==(const SqsTargetTrackingPolicy&, const SqsTargetTrackingPolicy&) = default;
};

struct KnativeKpaPolicy {
  std::optional<Decimal> target;  // absent: workers.concurrency
  std::int64_t utilization_percent = 70;
  Duration stable_window = std::chrono::seconds{60};
  std::int64_t panic_window_percent = 10;
  std::int64_t panic_threshold_percent = 200;
  Decimal max_scale_up_rate{1'000'000'000};
  Decimal max_scale_down_rate{2'000'000};
  Duration grace_period = std::chrono::seconds{30};
  Duration pod_retention{0};
  Duration tick = std::chrono::seconds{2};
  [[nodiscard]] Duration pace() const { return tick; }
  friend bool operator==(const KnativeKpaPolicy&, const KnativeKpaPolicy&) = default;
};

struct FlinkLikePolicy {
  std::int64_t utilization_percent = 70;
  std::int64_t boundary_percent = 30;
  Duration catch_up = std::chrono::minutes{30};
  Duration restart = std::chrono::minutes{5};
  Duration window = std::chrono::minutes{15};
  Duration stabilization = std::chrono::minutes{5};
  Duration scale_down_interval = std::chrono::hours{1};
  std::int64_t scale_down_max_percent = 60;
  std::int64_t scale_up_max_percent = 10'000'000;
  Duration backlog_threshold = std::chrono::minutes{5};
  Duration observe_threshold = std::chrono::seconds{30};
  std::int64_t switch_percent = 15;
  std::int64_t observations = 2;
  Duration interval = std::chrono::seconds{60};
  [[nodiscard]] Duration pace() const { return interval; }
  friend bool operator==(const FlinkLikePolicy&, const FlinkLikePolicy&) = default;
};

struct DataflowLikePolicy {
  Duration backlog_high = std::chrono::seconds{15};
  Duration backlog_low = std::chrono::seconds{10};
  Duration drain = std::chrono::seconds{150};
  std::int64_t busy_percent = 20;
  std::int64_t utilization_percent = 75;
  Duration window = std::chrono::seconds{120};
  Duration interval = std::chrono::seconds{10};
  [[nodiscard]] Duration pace() const { return interval; }
  friend bool operator==(const DataflowLikePolicy&, const DataflowLikePolicy&) = default;
};

}  // namespace sluice::pool
