// SPDX-License-Identifier: Apache-2.0
#pragma once
// An EC2 Auto Scaling group that tracks the backlog per instance of an SQS queue, with the delays of its alarms.
//
// Source: Amazon EC2 Auto Scaling user guide, "Scaling policy based on Amazon SQS" and "Target tracking scaling
// policies" (2026): a custom metric of one minute, visible messages over instances in service; two alarms that the
// service makes, high after 3 of 3 minutes above the target, low after 15 of 15 minutes below 90 % of it; capacity in
// proportion. What AWS does not write down is chosen here: an alarm acts every minute that it stays in ALARM, a minute
// without data begins both counts again, and no instance counts as one, where the real metric has no value and the
// group is stuck.
#include <cstdint>
#include <optional>

#include "rivals/seen.h"

namespace sluice::rivals {

struct SqsTargetTracking {
  std::int64_t backlog_per_instance = 100;  // acceptable latency over the time of a message; AWS's example
  Duration period = std::chrono::seconds{60};
  std::int64_t high_periods = 3;
  std::int64_t low_periods = 15;
  std::int64_t low_percent = 90;                         // of the target
  Duration instance_warmup = std::chrono::seconds{300};  // no scaling in so soon after scaling out
};

struct SqsTargetTrackingState {
  std::optional<std::int64_t> sampled_ms;
  std::int64_t high = 0;  // minutes in a row above the target
  std::int64_t low = 0;   // minutes in a row below the low threshold
  std::optional<std::int64_t> out_ms;
  std::optional<std::int64_t> capacity;  // the desired one; empty: not seen anything yet
  friend bool operator==(const SqsTargetTrackingState&, const SqsTargetTrackingState&) = default;
};

[[nodiscard]] policy::Proposal step(const SqsTargetTracking& options, const Bounds& bounds,
                                    const model::Observation& seen, SqsTargetTrackingState& state);

}  // namespace sluice::rivals
