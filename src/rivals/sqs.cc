// SPDX-License-Identifier: Apache-2.0
#include "rivals/sqs.h"

#include <fmt/core.h>

#include <algorithm>

namespace sluice::rivals {
namespace {

// The alarms' counts after one datapoint.
void count(const SqsTargetTracking& options, std::int64_t visible, std::int64_t instances,
           SqsTargetTrackingState& state) {
  const std::int64_t allowed = options.backlog_per_instance * instances;  // at most 1e9 times 1e6
  const bool above = visible > allowed;
  const bool below = visible * 100 < allowed * options.low_percent;
  state.high = above ? std::min(state.high + 1, options.high_periods) : 0;
  state.low = below ? std::min(state.low + 1, options.low_periods) : 0;
}

// ceil(capacity * metric / target), which is the visible messages over the target.
std::int64_t in_proportion(const SqsTargetTracking& options, const Bounds& bounds, std::int64_t visible) {
  const std::int64_t needed = visible / options.backlog_per_instance + (visible % options.backlog_per_instance != 0);
  return std::clamp(needed, bounds.min, bounds.max);
}

std::string act(const SqsTargetTracking& options, const Bounds& bounds, std::int64_t visible, std::int64_t at_ms,
                SqsTargetTrackingState& state) {
  const std::int64_t asked = in_proportion(options, bounds, visible);
  if (state.high == options.high_periods) {
    if (asked <= *state.capacity) {
      return fmt::format("; the high alarm asks for {}, which it has", asked);
    }
    state.capacity = asked;
    state.out_ms = at_ms;
    return fmt::format("; the high alarm sets {}", asked);
  }
  if (state.low == options.low_periods) {
    if (state.out_ms && at_ms - *state.out_ms < to_ms(options.instance_warmup)) {
      return "; the low alarm waits for instances that warm up";
    }
    state.capacity = std::min(*state.capacity, asked);
    return fmt::format("; the low alarm sets {}", *state.capacity);
  }
  return fmt::format("; {} of {} minutes above, {} of {} below", state.high, options.high_periods, state.low,
                     options.low_periods);
}

}  // namespace

policy::Proposal step(const SqsTargetTracking& options, const Bounds& bounds, const model::Observation& seen,
                      SqsTargetTrackingState& state) {
  // The group keeps its size within its bounds, alarms or not.
  state.capacity = std::clamp(state.capacity.value_or(seen.useful()), bounds.min, bounds.max);
  const std::optional<std::int64_t> visible = messages(Counts::ready, bounds, seen);
  const bool sampled = due(state.sampled_ms, options.period, seen);
  std::string said = "; the metric is of a minute";
  if (sampled) {
    state.sampled_ms = seen.at_ms;
    state.high = visible ? state.high : 0;
    state.low = visible ? state.low : 0;
  }
  if (!visible) {
    return blind(*state.capacity, seen);
  }
  if (sampled) {
    count(options, *visible, std::max<std::int64_t>(started(seen), 1), state);
    said = act(options, bounds, *visible, seen.at_ms, state);
  }
  policy::Proposal out = want(*state.capacity, fmt::format("{} messages visible{}", *visible, said), seen);
  out.again_in_ms = *state.sampled_ms + to_ms(options.period) - seen.at_ms;
  return out;
}

}  // namespace sluice::rivals
