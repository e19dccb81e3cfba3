// SPDX-License-Identifier: Apache-2.0
#include "rivals/kpa.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "policy/hpa_numbers.h"

namespace sluice::rivals {
namespace {

constexpr std::int64_t second_ms = 1000;                         // a bucket
constexpr double target_least = 0.01;                            // autoscaling.TargetMin
constexpr std::int64_t activation_timeout_ms = 630 * second_ms;  // progress-deadline 600 s and activationTimeoutBuffer

double target_of(const KnativeKpa& options, const Bounds& bounds) {
  const auto total = static_cast<double>(options.target_milli.value_or(bounds.concurrency * 1000)) / 1000;
  return std::max(target_least, total * (static_cast<double>(options.utilization_percent) / 100));
}

double rate_of(std::int64_t percent) {
  return static_cast<double>(percent) / 100;
}

std::int32_t within(double pods, double least, double most) {
  return policy::go_int32(std::min(std::max(pods, least), most));
}

Duration panic_window(const KnativeKpa& options) {
  return options.stable_window * options.panic_window_percent / 100;
}

void record(const KnativeKpa& options, std::int64_t at_ms, std::int64_t concurrency, KnativeKpaState& state) {
  if (!state.levels.empty() && state.levels.back().at_ms == at_ms) {
    state.levels.pop_back();
  }
  state.levels.push_back({at_ms, concurrency});
  const std::int64_t from_ms = at_ms - to_ms(options.stable_window);
  while (state.levels.size() > 1 && state.levels[1].at_ms <= from_ms) {
    state.levels.erase(state.levels.begin());
  }
}

void begin(const model::Observation& seen, KnativeKpaState& state) {
  const std::int64_t ready = started(seen);
  state.first_ms = state.since_ms = seen.at_ms;
  state.replicas = seen.useful();
  state.activity = ready > 0            ? KpaActivity::active
                   : state.replicas > 0 ? KpaActivity::activating
                                        : KpaActivity::inactive;
  if (ready > 1) {  // a new autoscaler is created in panic mode
    state.panic_ms = seen.at_ms;
    state.panic_pods = ready;
  }
}

// The panic of this tick, by whether the short window is over its threshold.
void panic_or_calm(const KnativeKpa& options, bool over, std::int64_t at_ms, KnativeKpaState& state) {
  if (over) {
    state.panic_ms = at_ms;
  } else if (state.panic_ms && *state.panic_ms + to_ms(options.stable_window) < at_ms) {
    state.panic_ms.reset();
    state.panic_pods = 0;
  }
}

struct Scale {
  std::int64_t want = 0;  // -1: unknown
  bool apply = true;
};

Scale towards_zero(const KnativeKpa& options, std::int64_t at_ms, const KnativeKpaState& state) {
  const std::int64_t for_ms = at_ms - state.since_ms;
  switch (state.activity) {
    case KpaActivity::activating:
      return for_ms > activation_timeout_ms ? Scale{0, true} : Scale{-1, false};
    case KpaActivity::active:
      // At most one for the rest of the window, then inactive, which changes nothing yet.
      return for_ms >= to_ms(options.stable_window) ? Scale{0, false} : Scale{1, true};
    case KpaActivity::inactive:
      break;
  }
  return {0, for_ms >= to_ms(std::max(options.grace_period, options.pod_retention))};
}

KpaActivity activity_after(std::int64_t want, std::int64_t ready, std::int64_t least, KpaActivity before) {
  if (want == 0) {
    return KpaActivity::inactive;
  }
  if (want < 0 && before == KpaActivity::inactive) {
    return before;
  }
  return ready < least ? KpaActivity::activating : KpaActivity::active;
}

}  // namespace

double kpa_average(const KnativeKpaState& state, Duration window, std::int64_t at_ms) {
  const std::int64_t buckets =
      std::min((to_ms(window) + second_ms - 1) / second_ms, (at_ms - *state.first_ms) / second_ms + 1);
  std::int64_t sum = 0;
  auto level = state.levels.rbegin();
  for (std::int64_t i = 0; i < buckets; ++i) {
    while (level->at_ms > at_ms - i * second_ms && std::next(level) != state.levels.rend()) {
      ++level;
    }
    sum += level->concurrency;
  }
  return std::round(static_cast<double>(sum) / static_cast<double>(std::max<std::int64_t>(buckets, 1)) * 1e6) / 1e6;
}

KpaDesired kpa_desired(const KnativeKpa& options, const Bounds& bounds, double stable, double panic, std::int64_t ready,
                       std::int64_t at_ms, KnativeKpaState& state) {
  const double target = target_of(options, bounds);
  const double pods = std::max(1.0, static_cast<double>(ready));
  const double up = std::ceil(rate_of(options.max_scale_up_percent) * pods);
  const double down = std::floor(pods / rate_of(options.max_scale_down_percent));
  const double by_stable = std::ceil(stable / target);
  const double by_panic = std::ceil(panic / target);
  panic_or_calm(options, by_panic / pods >= rate_of(options.panic_threshold_percent), at_ms, state);
  KpaDesired out{.stable = stable, .panic = panic, .pods = within(by_stable, down, up)};
  if (state.panic_ms) {  // only up
    state.panic_pods = std::max<std::int64_t>({state.panic_pods, out.pods, within(by_panic, down, up)});
    out.pods = static_cast<std::int32_t>(state.panic_pods);
  }
  return out;
}

void kpa_apply(const KnativeKpa& options, const Bounds& bounds, std::int64_t desired, std::int64_t ready,
               std::int64_t at_ms, KnativeKpaState& state) {
  const Scale scale = desired == 0 ? towards_zero(options, at_ms, state) : Scale{desired, true};
  if (scale.apply) {
    state.replicas = scale.want;
  }
  const KpaActivity after = activity_after(scale.want, ready, std::max<std::int64_t>(bounds.min, 1), state.activity);
  if (after != state.activity) {
    state.activity = after;
    state.since_ms = at_ms;
  }
}

policy::Proposal step(const KnativeKpa& options, const Bounds& bounds, const model::Observation& seen,
                      KnativeKpaState& state) {
  const std::optional<std::int64_t> concurrency = messages(Counts::total, bounds, seen);
  if (!concurrency) {
    return blind(state.first_ms ? state.replicas : seen.useful(), seen);
  }
  if (!state.first_ms) {
    begin(seen, state);
  }
  record(options, seen.at_ms, *concurrency, state);
  const double stable = kpa_average(state, options.stable_window, seen.at_ms);
  const double panic = kpa_average(state, panic_window(options), seen.at_ms);
  std::string said =
      fmt::format("concurrency {} in {}, {} in {}, at {} a pod", stable, format_duration(options.stable_window), panic,
                  format_duration(panic_window(options)), target_of(options, bounds));
  if (due(state.ticked_ms, options.tick, seen)) {
    state.ticked_ms = seen.at_ms;
    const std::int64_t ready = started(seen);
    const KpaDesired desired = kpa_desired(options, bounds, stable, panic, ready, seen.at_ms, state);
    kpa_apply(options, bounds, std::clamp<std::int64_t>(desired.pods, bounds.min, bounds.max), ready, seen.at_ms,
              state);
    said += fmt::format(": {}{}", desired.pods, state.panic_ms ? ", in panic" : "");
    said += state.replicas == desired.pods ? "" : fmt::format(", set to {}", state.replicas);
  }
  return want(state.replicas, std::move(said), seen);
}

}  // namespace sluice::rivals
