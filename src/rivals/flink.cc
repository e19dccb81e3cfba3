// SPDX-License-Identifier: Apache-2.0
#include "rivals/flink.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace sluice::rivals {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinite = std::numeric_limits<double>::infinity();
constexpr std::int64_t observed_infinite = -1;

double seconds(Duration d) {
  const std::int64_t whole = to_ms(d) / 1000;  // toSeconds() truncates
  return static_cast<double>(whole);
}
double share(std::int64_t percent) {
  return static_cast<double>(percent) / 100;
}

// getRate: the last value against the first, in units a second.
double rate_of(const std::vector<FlinkSample>& samples, std::int64_t FlinkSample::* member) {
  const std::int64_t ms = std::max<std::int64_t>(samples.back().at_ms - samples.front().at_ms, 1);
  return 1000 * static_cast<double>(samples.back().*member - samples.front().*member) / static_cast<double>(ms);
}

double load_of(const std::vector<FlinkSample>& samples) {
  double sum = 0;
  std::int64_t n = 0;
  for (const FlinkSample& one : samples) {
    sum += static_cast<double>(one.load_millionths.value_or(0)) / 1e6;
    n += one.load_millionths ? 1 : 0;
  }
  return n == 0 ? nan : sum / static_cast<double>(n);
}

// getAverage of OBSERVED_TPR.
double observed_of(const FlinkLike& options, const std::vector<FlinkSample>& samples) {
  double sum = 0;
  std::int64_t n = 0;
  bool any_infinite = false;
  for (const FlinkSample& one : samples) {
    if (!one.observed) {
      continue;
    }
    if (*one.observed == observed_infinite) {
      any_infinite = true;
      continue;
    }
    sum += static_cast<double>(*one.observed) / 1e6;
    ++n;
  }
  if (n == 0) {
    return any_infinite ? infinite : nan;
  }
  return n < options.observations ? nan : sum / static_cast<double>(n);
}

// computeTrueProcessingRate: by the busy time, unless what was observed while catching up is that much less.
double true_rate(const FlinkLike& options, const std::vector<FlinkSample>& samples, double rate) {
  const double by_load = rate == 0 ? infinite : rate / load_of(samples);
  const double observed = observed_of(options, samples);
  if (std::isnan(observed)) {
    return by_load;
  }
  const bool no_load = std::isinf(by_load) || std::isnan(by_load);
  return no_load || by_load > observed * (1 + share(options.switch_percent)) ? observed : by_load;
}

// OBSERVED_TPR of a sample: measured while the lag is more than some seconds' worth, else what it was on average.
std::optional<std::int64_t> observe(const FlinkLike& options, const std::vector<FlinkSample>& before,
                                    const FlinkSample& now) {
  if (before.empty()) {
    return std::nullopt;
  }
  const double rate = rate_of({before.back(), now}, &FlinkSample::records);
  if (rate == 0) {
    return observed_infinite;
  }
  const bool catching_up = static_cast<double>(now.lag) >= seconds(options.observe_threshold) * rate;
  const double is = catching_up ? rate : observed_of(options, before);
  if (std::isnan(is)) {
    return std::nullopt;
  }
  return std::isinf(is) ? observed_infinite : std::llround(is * 1e6);
}

// Remembers a wish to scale down; empty while none was held for long enough, else the highest of the interval.
std::optional<FlinkRecommended> delayed(const FlinkLike& options, FlinkRecommended wish, FlinkLikeState& state) {
  if (to_ms(options.scale_down_interval) <= 0) {
    return wish;
  }
  state.down_first_ms = state.down_first_ms.value_or(wish.at_ms);
  while (!state.down.empty() && state.down.back().parallelism <= wish.parallelism) {
    state.down.pop_back();
  }
  state.down.push_back(wish);
  const std::int64_t from_ms = wish.at_ms - to_ms(options.scale_down_interval);
  if (from_ms < *state.down_first_ms) {
    return std::nullopt;
  }
  std::erase_if(state.down, [from_ms](const FlinkRecommended& one) { return one.at_ms < from_ms; });
  return state.down.front();
}

void forget_down(FlinkLikeState& state) {
  state.down_first_ms.reset();
  state.down.clear();
}

// Whether the job runs with its parallelism; begins to collect anew when it has just begun to.
bool running(const FlinkLike& options, const model::Observation& seen, FlinkLikeState& state) {
  if (!state.running_ms) {
    if (started(seen) < *state.parallelism && seen.at_ms - state.scaled_ms < to_ms(options.restart)) {
      return false;
    }
    state.running_ms = seen.at_ms;
    state.samples.clear();
    state.collected_ms.reset();
  }
  return true;
}

// Whether the window is full of samples since the job is stable.
bool collect(const FlinkLike& options, FlinkSample now, FlinkLikeState& state) {
  const std::int64_t stable_ms = *state.running_ms + to_ms(options.stabilization);
  const auto first =
      std::ranges::find_if(state.samples, [=](const FlinkSample& one) { return one.at_ms >= stable_ms; });
  const std::int64_t from_ms = first == state.samples.end() ? now.at_ms : first->at_ms;
  now.observed = observe(options, state.samples, now);
  state.samples.push_back(now);
  if (now.at_ms < from_ms + to_ms(options.window)) {
    return false;
  }
  const std::int64_t trim_ms = now.at_ms - to_ms(options.window);
  std::erase_if(state.samples, [trim_ms](const FlinkSample& one) { return one.at_ms < trim_ms; });
  return state.samples.size() >= 2;
}

FlinkSample sample_of(const model::Observation& seen, std::int64_t lag) {
  FlinkSample out{
      .at_ms = seen.at_ms, .records = seen.queue.acked_n->n, .lag = lag, .load_millionths = {}, .observed = {}};
  if (const std::int64_t there = started(seen); there > 0) {
    out.load_millionths = seen.count(model::WorkerState::busy) * 1'000'000 / there;
  }
  return out;
}

}  // namespace

double flink_capacity(const FlinkLike& options, double lag, double rate, double utilization, bool with_restart) {
  const double catch_up_s = seconds(options.catch_up);
  utilization = std::clamp(utilization, 0.0, 1.0);
  if (std::isnan(rate)) {
    return nan;
  }
  if (utilization == 0) {
    return infinite;
  }
  const double catch_up_rate = catch_up_s == 0 ? 0 : lag / catch_up_s;
  const double restart_rate = !with_restart || catch_up_s == 0 ? 0 : rate * seconds(options.restart) / catch_up_s;
  return std::floor(catch_up_rate + restart_rate + rate / utilization + 0.5);  // Math.round
}

FlinkMetrics flink_metrics(const FlinkLike& options, const std::vector<FlinkSample>& samples) {
  const double rate = rate_of(samples, &FlinkSample::records);
  FlinkMetrics out;
  out.lag = static_cast<double>(samples.back().lag);
  out.target_rate = std::max(0.0, rate + rate_of(samples, &FlinkSample::lag));
  out.true_rate = true_rate(options, samples, rate);
  // Behind by so much, it may run at full load, and does not scale down. No lag over no rate is not behind.
  const bool behind = out.lag / rate > seconds(options.backlog_threshold);
  const double target = share(options.utilization_percent);
  const double boundary = share(options.boundary_percent);
  out.up_threshold = flink_capacity(options, out.lag, out.target_rate, behind ? 1 : target + boundary, false);
  out.down_threshold = flink_capacity(options, out.lag, out.target_rate, behind ? 0 : target - boundary, true);
  return out;
}

std::optional<std::int64_t> flink_scale(const FlinkLike& options, const Bounds& bounds, const FlinkMetrics& metrics,
                                        std::int64_t at_ms, FlinkLikeState& state) {
  const std::int64_t current = *state.parallelism;
  const double capacity =
      flink_capacity(options, metrics.lag, metrics.target_rate, share(options.utilization_percent), true);
  if (std::isnan(metrics.true_rate) || std::isnan(capacity)) {
    return std::nullopt;
  }
  const double factor = std::clamp(capacity / metrics.true_rate, 1 - share(options.scale_down_max_percent),
                                   1 + share(options.scale_up_max_percent));
  const double raw = std::min(std::ceil(factor * static_cast<double>(current)), 2147483647.0);
  const std::int64_t low = std::min(current, std::max<std::int64_t>(bounds.min, 1));
  const std::int64_t next = std::clamp(static_cast<std::int64_t>(raw), low, std::max(current, bounds.max));
  if (next >= current) {
    forget_down(state);
  }
  if (next == current) {
    return std::nullopt;
  }
  const bool outside = metrics.true_rate < metrics.up_threshold || metrics.true_rate > metrics.down_threshold;
  FlinkRecommended change{.at_ms = at_ms, .parallelism = next, .outside = outside};
  if (next < current) {
    const std::optional<FlinkRecommended> held = delayed(options, change, state);
    if (!held) {
      return std::nullopt;
    }
    change = *held;
  }
  if (!change.outside) {
    return std::nullopt;
  }
  forget_down(state);
  return change.parallelism;
}

policy::Proposal step(const FlinkLike& options, const Bounds& bounds, const model::Observation& seen,
                      FlinkLikeState& state) {
  if (!state.parallelism) {  // a job has one at the least
    state.parallelism =
        std::clamp(seen.useful(), std::max<std::int64_t>(bounds.min, 1), std::max<std::int64_t>(bounds.max, 1));
    state.scaled_ms = seen.at_ms;
  }
  const std::optional<std::int64_t> lag = messages(Counts::ready, bounds, seen);
  if (!lag || !seen.queue.acked_n) {
    policy::Proposal out = blind(*state.parallelism, seen);
    out.sentence = lag ? "the count of finished messages is unknown" : out.sentence;
    return out;
  }
  std::string said = *lag == 1 ? "1 message lags" : fmt::format("{} messages lag", *lag);
  if (!running(options, seen, state)) {
    return want(*state.parallelism, said + "; the job restarts", seen);
  }
  if (!due(state.collected_ms, options.interval, seen)) {
    return want(*state.parallelism, std::move(said), seen);
  }
  state.collected_ms = seen.at_ms;
  if (!collect(options, sample_of(seen, *lag), state)) {
    return want(*state.parallelism, said + "; the window is not full", seen);
  }
  const FlinkMetrics metrics = flink_metrics(options, state.samples);
  const std::optional<std::int64_t> next = flink_scale(options, bounds, metrics, seen.at_ms, state);
  said += fmt::format(", {:.3g} come a second, {} can do {:.3g}", metrics.target_rate, *state.parallelism,
                      metrics.true_rate);
  if (next) {
    state.parallelism = next;
    state.scaled_ms = seen.at_ms;
    state.running_ms.reset();
  }
  return want(*state.parallelism, said + fmt::format(": {}", *state.parallelism), seen);
}

}  // namespace sluice::rivals
