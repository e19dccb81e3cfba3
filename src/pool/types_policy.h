// SPDX-License-Identifier: Apache-2.0
#pragma once
// The policies that pools have, as values; see pool/types.h.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"

namespace sluice::pool {

// The time between two looks at the queue. Without a period: adaptive, at most 10 polls a second while work is due.
struct Every {
  std::optional<Duration> period;
  [[nodiscard]] bool adaptive() const { return !period; }
  friend bool operator==(const Every&, const Every&) = default;
};

// A decimal fraction, exact: what a user writes as 99.9 or 0.1.
struct Decimal {
  std::int64_t millionths = 0;
  [[nodiscard]] double value() const { return static_cast<double>(millionths) / 1e6; }
  friend auto operator<=>(const Decimal&, const Decimal&) = default;
};

struct ThresholdPolicy {  // at least one of messages, age
  std::optional<std::int64_t> messages;
  std::optional<Duration> age;
  std::int64_t step = 1;
  Every every{std::chrono::seconds{10}};
  friend bool operator==(const ThresholdPolicy&, const ThresholdPolicy&) = default;
};

struct BacklogPerWorkerPolicy {
  std::int64_t messages = 0;
  Every every;
  friend bool operator==(const BacklogPerWorkerPolicy&, const BacklogPerWorkerPolicy&) = default;
};

struct LagPolicy {
  Duration max{0};
  Decimal percentile{99'000'000};
  std::int64_t reserve = 0;  // workers kept beyond what is needed now
  Every every;
  friend bool operator==(const LagPolicy&, const LagPolicy&) = default;
};

// autoscaling/v2's HPAScalingRules. What is absent takes the HPA's own default, which the policy knows.
enum class HpaPolicyType { pods, percent };
enum class HpaSelect { max, min, disabled };
struct HpaScalingPolicy {
  HpaPolicyType type = HpaPolicyType::pods;
  std::int64_t value = 0;
  std::int64_t period_seconds = 0;
  friend bool operator==(const HpaScalingPolicy&, const HpaScalingPolicy&) = default;
};
struct HpaScalingRules {
  std::optional<std::int64_t> stabilization_window_seconds;
  std::optional<HpaSelect> select_policy;
  std::vector<HpaScalingPolicy> policies;  // empty: the default list
  std::optional<Decimal> tolerance;
  friend bool operator==(const HpaScalingRules&, const HpaScalingRules&) = default;
};
struct HpaBehavior {
  std::optional<HpaScalingRules> scale_up, scale_down;
  friend bool operator==(const HpaBehavior&, const HpaBehavior&) = default;
};

enum class HpaTargetType { average_value, value };
struct HpaTarget {
  HpaTargetType type = HpaTargetType::average_value;
  std::string value;  // a Kubernetes quantity greater than zero: "100", "500m"
  friend bool operator==(const HpaTarget&, const HpaTarget&) = default;
};

struct HpaPolicy {
  HpaTarget target;
  std::optional<HpaBehavior> behavior;  // absent and empty differ, as in Kubernetes
  Decimal tolerance{100'000};
  Every every{std::chrono::seconds{15}};
  friend bool operator==(const HpaPolicy&, const HpaPolicy&) = default;
};

}  // namespace sluice::pool
