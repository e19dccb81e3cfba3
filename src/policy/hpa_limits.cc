// SPDX-License-Identifier: Apache-2.0
#include "policy/hpa_limits.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "policy/hpa_numbers.h"

namespace sluice::policy {
namespace {

constexpr std::int64_t second_us = 1'000'000;
constexpr std::int32_t int32_min = std::numeric_limits<std::int32_t>::min();
constexpr std::int32_t int32_max = std::numeric_limits<std::int32_t>::max();

// The rules of one direction with every default filled in.
struct Rules {
  std::int64_t window_us = 0;
  HpaSelect select = HpaSelect::max;
  std::vector<HpaLimit> limits;
};

Rules filled(const std::optional<HpaRules>& given, Rules out) {
  if (given) {
    out.window_us = given->window_s ? *given->window_s * second_us : out.window_us;
    out.select = given->select.value_or(out.select);
    out.limits = given->limits.value_or(out.limits);
  }
  return out;
}

Rules up_rules(const HpaBehavior& behavior) {
  return filled(behavior.scale_up, {.window_us = 0,
                                    .select = HpaSelect::max,
                                    .limits = {{.percent = false, .value = 4, .period_s = 15},
                                               {.percent = true, .value = 100, .period_s = 15}}});
}

// The window that is not given is the controller's, in whole seconds.
Rules down_rules(const HpaOptions& options) {
  return filled(options.behavior->scale_down, {.window_us = options.downscale_window_us / second_us * second_us,
                                               .select = HpaSelect::max,
                                               .limits = {{.percent = true, .value = 100, .period_s = 15}}});
}

// Whether something stamped then lies before now - window. Of two times of one sync the recommendation is the earlier.
bool before(std::int64_t at_us, std::int64_t now_us, std::int64_t window_us) {
  return at_us < now_us - window_us || (window_us == 0 && at_us == now_us);
}
bool after(std::int64_t at_us, std::int64_t now_us, std::int64_t window_us) {
  return at_us > now_us - window_us;
}

// In place of the last outdated entry, else at the end: the order that the controller's log has.
void store(std::vector<HpaRecommendation>& log, std::optional<std::size_t> old, HpaRecommendation entry) {
  if (old) {
    log[*old] = entry;
  } else {
    log.push_back(entry);
  }
}

struct Bounded {
  std::int32_t replicas = 0;
  std::string reason;
};

// Without a behavior: twice the present size or 4, whatever is more.
Bounded bounded(const HpaOptions& options, std::int32_t current, std::int32_t desired) {
  const std::int32_t limit = go_int32(std::max(2.0 * static_cast<double>(current), 4.0));
  const std::int32_t high = std::min(options.max_replicas, limit);
  if (desired < options.min_replicas) {
    return {options.min_replicas, "TooFewReplicas"};
  }
  if (desired > high) {
    return {high, options.max_replicas > limit ? "ScaleUpLimit" : "TooManyReplicas"};
  }
  return {desired, "DesiredWithinRange"};
}

HpaNormalized without_behavior(const HpaOptions& options, HpaState& state, std::int32_t current, std::int32_t desired,
                               std::int64_t now_us) {
  std::vector<HpaRecommendation>& log = *state.recommendations;
  std::int32_t stabilized = desired;
  std::optional<std::size_t> old;
  for (std::size_t i = 0; i < log.size(); ++i) {
    if (before(log[i].at_us, now_us, options.downscale_window_us)) {
      old = i;
    } else {
      stabilized = std::max(stabilized, log[i].replicas);
    }
  }
  store(log, old, {now_us, desired});
  Bounded out = bounded(options, current, stabilized);
  return {.replicas = out.replicas,
          .able = stabilized != desired ? "ScaleDownStabilized" : "ReadyForNewScale",
          .limited = std::move(out.reason),
          .is_limited = out.replicas != stabilized};
}

std::int32_t change_within(const std::vector<HpaScaleEvent>& events, std::int32_t period_s, std::int64_t now_us) {
  std::int64_t sum = 0;
  for (const HpaScaleEvent& event : events) {
    if (after(event.at_us, now_us, period_s * second_us)) {
      sum = wrapped_int32(sum + event.change);
    }
  }
  return static_cast<std::int32_t>(sum);
}

// The replicas at the start of the policy's period.
std::int32_t period_start(const HpaState& state, const HpaLimit& limit, std::int32_t current, std::int64_t now_us) {
  const std::int32_t added = change_within(state.up_events, limit.period_s, now_us);
  const std::int32_t deleted = change_within(state.down_events, limit.period_s, now_us);
  return wrapped_int32(std::int64_t{current} - added + deleted);
}

std::int32_t up_limit(const HpaOptions& options, const HpaState& state, const Rules& rules, std::int32_t current,
                      std::int64_t now_us) {
  if (rules.select == HpaSelect::disabled) {
    return current;
  }
  const bool least = rules.select == HpaSelect::min;
  std::int32_t out = least ? int32_max : int32_min;
  for (const HpaLimit& limit : rules.limits) {
    const std::int32_t start = period_start(state, limit, current, now_us);
    std::int32_t proposed = wrapped_int32(std::int64_t{start} + limit.value);
    if (limit.percent) {
      const double grown = std::ceil(static_cast<double>(start) * (1 + static_cast<double>(limit.value) / 100));
      proposed = options.semantics >= HpaSemantics::v1_37 ? capped_int32(grown) : go_int32(grown);
    }
    out = least ? std::min(out, proposed) : std::max(out, proposed);
  }
  return out;
}

// The largest change is the lowest number: what Max means going down.
std::int32_t down_limit(const HpaState& state, const Rules& rules, std::int32_t current, std::int64_t now_us) {
  if (rules.select == HpaSelect::disabled) {
    return current;
  }
  const bool least = rules.select == HpaSelect::min;
  std::int32_t out = least ? int32_min : int32_max;
  for (const HpaLimit& limit : rules.limits) {
    const std::int32_t start = period_start(state, limit, current, now_us);
    std::int32_t proposed = wrapped_int32(std::int64_t{start} - limit.value);
    if (limit.percent) {
      proposed = go_int32(static_cast<double>(start) * (1 - static_cast<double>(limit.value) / 100));
    }
    out = least ? std::max(out, proposed) : std::min(out, proposed);
  }
  return out;
}

Bounded rate_limited(const HpaOptions& options, const HpaState& state, std::int32_t current, std::int32_t desired,
                     std::int64_t now_us) {
  if (desired > current) {
    const std::int32_t limit =
        std::max(up_limit(options, state, up_rules(*options.behavior), current, now_us), current);
    const std::int32_t high = std::min(options.max_replicas, limit);
    if (desired > high) {
      return {high, options.max_replicas > limit ? "ScaleUpLimit" : "TooManyReplicas"};
    }
  } else if (desired < current) {
    const std::int32_t limit = std::min(down_limit(state, down_rules(options), current, now_us), current);
    const std::int32_t low = std::max(options.min_replicas, limit);
    if (desired < low) {
      return {low, options.min_replicas < limit ? "ScaleDownLimit" : "TooFewReplicas"};
    }
  }
  return {desired, "DesiredWithinRange"};
}

HpaNormalized with_behavior(const HpaOptions& options, HpaState& state, std::int32_t current, std::int32_t desired,
                            std::int64_t now_us) {
  const std::int64_t up_window = up_rules(*options.behavior).window_us;
  const std::int64_t down_window = down_rules(options).window_us;
  std::vector<HpaRecommendation>& log = *state.recommendations;
  std::int32_t up = desired;
  std::int32_t down = desired;
  std::optional<std::size_t> old;
  for (std::size_t i = 0; i < log.size(); ++i) {
    if (after(log[i].at_us, now_us, up_window)) {
      up = std::min(up, log[i].replicas);
    }
    if (after(log[i].at_us, now_us, down_window)) {
      down = std::max(down, log[i].replicas);
    }
    if (before(log[i].at_us, now_us, up_window) && before(log[i].at_us, now_us, down_window)) {
      old = i;
    }
  }
  const std::int32_t stabilized = std::min(std::max(current, up), down);
  store(log, old, {now_us, desired});
  Bounded out = rate_limited(options, state, current, stabilized, now_us);
  const std::string held = desired >= current ? "ScaleUpStabilized" : "ScaleDownStabilized";
  return {.replicas = out.replicas,
          .able = stabilized != desired ? held : "ReadyForNewScale",
          .limited = std::move(out.reason),
          .is_limited = out.replicas != stabilized};
}

}  // namespace

HpaNormalized normalize(const HpaOptions& options, HpaState& state, std::int32_t current, std::int32_t desired,
                        std::int64_t now_us) {
  return options.behavior ? with_behavior(options, state, current, desired, now_us)
                          : without_behavior(options, state, current, desired, now_us);
}

void store_scale_event(const HpaOptions& options, HpaState& state, std::int32_t from, std::int32_t to,
                       std::int64_t now_us) {
  if (!options.behavior) {
    return;
  }
  const bool up = to > from;
  const Rules rules = up ? up_rules(*options.behavior) : down_rules(options);
  std::int32_t longest_s = 0;
  for (const HpaLimit& limit : rules.limits) {
    longest_s = std::max(longest_s, limit.period_s);
  }
  std::vector<HpaScaleEvent>& events = up ? state.up_events : state.down_events;
  const HpaScaleEvent event{.at_us = now_us,
                            .change = wrapped_int32(up ? std::int64_t{to} - from : std::int64_t{from} - to)};
  HpaScaleEvent* outdated = nullptr;
  for (HpaScaleEvent& one : events) {
    outdated = before(one.at_us, now_us, longest_s * second_us) ? &one : outdated;
  }
  if (outdated != nullptr) {
    *outdated = event;
  } else {
    events.push_back(event);
  }
}

}  // namespace sluice::policy
