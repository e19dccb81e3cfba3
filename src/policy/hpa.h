// SPDX-License-Identifier: Apache-2.0
#pragma once
// The Horizontal Pod Autoscaler of Kubernetes, bit for bit: one sync of its controller as a pure function.
//
// Its own quirks are kept, because the point is to give the numbers that the cluster would: status replicas instead of
// ready pods, a ceiling of a double, limits that depend on when the last sync was. Doubles in exactly its order of
// operations; what its conversions leave undefined is what they give on amd64 (policy/hpa_numbers.h).
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace sluice::policy {

// The releases between which the algorithm changed.
enum class HpaSemantics { v1_28, v1_35, v1_36, v1_37 };

enum class HpaMetricType { external, object, resource };
enum class HpaTargetType { average_value, value, utilization };
struct HpaMetric {
  HpaMetricType type = HpaMetricType::external;
  HpaTargetType target_type = HpaTargetType::average_value;
  std::int64_t target = 0;  // milli units; percent where it is a utilization
  friend bool operator==(const HpaMetric&, const HpaMetric&) = default;
};

// autoscaling/v2's behavior as written; the defaults of what is absent are applied here, as the API server does.
enum class HpaSelect { max, min, disabled };
struct HpaLimit {
  bool percent = false;  // else pods
  std::int32_t value = 0;
  std::int32_t period_s = 0;
  friend bool operator==(const HpaLimit&, const HpaLimit&) = default;
};
struct HpaRules {
  std::optional<std::int32_t> window_s;
  std::optional<HpaSelect> select;
  std::optional<std::vector<HpaLimit>> limits;  // replace the default list as a whole
  std::optional<double> tolerance;
  friend bool operator==(const HpaRules&, const HpaRules&) = default;
};
struct HpaBehavior {
  std::optional<HpaRules> scale_up, scale_down;
  friend bool operator==(const HpaBehavior&, const HpaBehavior&) = default;
};

struct HpaTolerance {
  double up = 0.1;
  double down = 0.1;
  friend bool operator==(const HpaTolerance&, const HpaTolerance&) = default;
};

// Requires: 0 <= min <= max, 1 <= max, at least one metric, targets above 0, and of min 0 an external or object metric.
struct HpaOptions {
  std::int32_t min_replicas = 1;
  std::int32_t max_replicas = 1;
  std::vector<HpaMetric> metrics;
  std::optional<HpaBehavior> behavior;  // absent and empty take different ways
  HpaSemantics semantics = HpaSemantics::v1_37;
  std::int64_t downscale_window_us = 300'000'000;
  bool scale_to_zero = false;  // the feature gate HPAScaleToZero
  HpaTolerance tolerance;      // the controller's flag; one number before 1.33
};

// What one metric answered.
struct HpaValues {
  std::vector<std::int64_t> milli;
};
struct HpaUtilization {
  std::int32_t percent = 0;
  std::int32_t pods = 0;  // ready ones with a sample; no others are missing
};
struct HpaFailure {
  std::string why;
};
using HpaReading = std::variant<HpaValues, HpaUtilization, HpaFailure>;

struct HpaCondition {
  std::string type;
  std::string status;  // True, False
  std::string reason;
  friend bool operator==(const HpaCondition&, const HpaCondition&) = default;
};

// Requires: as many readings as there are metrics, of their kinds.
struct HpaSeen {
  std::int32_t spec_replicas = 0;
  std::int32_t status_replicas = 0;
  std::optional<std::int32_t> ready_pods;  // empty: not known, and a target of type Value cannot be computed
  std::vector<HpaReading> metrics;
  std::vector<HpaCondition> conditions;  // of the last sync
  std::int64_t at_us = 0;                // of any clock that goes on
};

struct HpaRecommendation {
  std::int64_t at_us = 0;
  std::int32_t replicas = 0;
  friend bool operator==(const HpaRecommendation&, const HpaRecommendation&) = default;
};
struct HpaScaleEvent {
  std::int64_t at_us = 0;
  std::int32_t change = 0;  // above 0 in either direction
  friend bool operator==(const HpaScaleEvent&, const HpaScaleEvent&) = default;
};
// The controller's memory. It is lost when the controller restarts or its leader changes: then it is a default one.
struct HpaState {
  std::optional<std::vector<HpaRecommendation>> recommendations;  // empty: no sync yet
  std::vector<HpaScaleEvent> up_events, down_events;
  friend bool operator==(const HpaState&, const HpaState&) = default;
};

// What one metric asks for. Both empty: it failed.
struct HpaProposal {
  std::optional<std::int32_t> replicas;
  std::optional<std::int64_t> usage;  // as in the status: milli units, percent of a utilization
  friend bool operator==(const HpaProposal&, const HpaProposal&) = default;
};

struct HpaStep {
  std::int32_t replicas = 0;  // to have; the present ones where nothing is to change
  bool rescale = false;
  std::vector<HpaProposal> metrics;      // empty where they were not looked at
  std::vector<HpaCondition> conditions;  // the whole list after the sync
  std::optional<std::string> error;      // what the controller logs; it may still have scaled
  HpaState next;
};

[[nodiscard]] HpaStep sync(const HpaOptions& options, const HpaState& before, const HpaSeen& seen);

}  // namespace sluice::policy
