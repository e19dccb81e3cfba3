// SPDX-License-Identifier: Apache-2.0
#include "rivals/keda_job.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "policy/hpa_numbers.h"
#include "policy/words.h"

namespace sluice::rivals {
namespace {

using policy::go_int64;
using policy::wrapping_sum;

constexpr std::int64_t max_when_absent = 100;  // defaultScaledJobMaxReplicaCount

struct Length {
  double queue = 0;
  double max_value = 0;
  bool active = false;
};

// CalculateQueueLengthAndMaxValue.
Length length_of(const KedaTrigger& trigger, std::int64_t most) {
  const double value =
      trigger.target != 0 ? std::min(trigger.queue_length / trigger.target, static_cast<double>(most)) : 0;
  return {trigger.queue_length, value, trigger.active};
}

// Whether an active trigger takes the place of what was found so far. A length of 0 counts as nothing found yet.
bool replaces(KedaCalculation calculation, const Length& found, const Length& one) {
  return calculation == KedaCalculation::min ? found.queue == 0 || one.queue < found.queue : one.queue > found.queue;
}

// IsScaledJobActive, before the bounds.
Length of_all(const KedaJobOptions& options, const KedaJobSeen& seen, std::int64_t most) {
  const bool adds = options.calculation == KedaCalculation::avg || options.calculation == KedaCalculation::sum;
  Length out;
  std::int64_t active = 0;
  for (const KedaTrigger& trigger : seen.triggers) {
    const Length one = length_of(trigger, most);
    if (!one.active) {
      continue;
    }
    if (adds) {
      out = {out.queue + one.queue, out.max_value + one.max_value, true};
      ++active;
    } else if (replaces(options.calculation, out, one)) {
      out = one;
    }
  }
  if (options.calculation == KedaCalculation::avg && active > 0) {
    out.queue /= static_cast<double>(active);
    out.max_value /= static_cast<double>(active);
  }
  return out;
}

std::int64_t custom(const KedaJobOptions& options, double percentage, std::int64_t max_scale, std::int64_t running,
                    std::int64_t most) {
  const std::int64_t deduction = options.deduction.value_or(0);
  const std::int64_t share = go_int64(static_cast<double>(running) * percentage);
  const auto negative = static_cast<std::int64_t>(-static_cast<std::uint64_t>(share));  // Go's wraps
  return std::min(wrapping_sum(max_scale - deduction, negative), most);
}

// GetEffectiveMaxScale of the strategies. `running` is without those that the minimum stands for.
std::int64_t effective(const KedaJobOptions& options, std::int64_t max_scale, std::int64_t running,
                       std::int64_t pending, std::int64_t most) {
  switch (options.strategy) {
    case KedaStrategy::custom:
      if (const std::optional<double> percentage = go_float(options.percentage)) {
        return custom(options, *percentage, max_scale, running, most);
      }
      break;
    case KedaStrategy::accurate:
      return max_scale + running - pending > most ? most - running : max_scale - pending;
    case KedaStrategy::eager:
      return std::min(most - running - pending, max_scale);
    case KedaStrategy::by_default:
      break;
  }
  return max_scale - running;
}

const char* strategy_word(KedaStrategy strategy) {
  constexpr const char* words[] = {"default", "custom", "accurate", "eager"};
  return words[static_cast<std::size_t>(strategy)];
}

std::optional<double> infinite_or_nan(std::string word) {
  std::ranges::transform(word, word.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (word == "nan") {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return word == "inf" || word == "infinity" ? std::optional(std::numeric_limits<double>::infinity()) : std::nullopt;
}

}  // namespace

std::int64_t jobs_min(const KedaJobOptions& options) {
  const std::int64_t min = options.min_replicas.value_or(0);
  return options.max_replicas && min > *options.max_replicas ? *options.max_replicas : min;
}

std::int64_t jobs_max(const KedaJobOptions& options) {
  if (!options.max_replicas) {
    return max_when_absent;
  }
  const bool crossed = options.min_replicas && *options.min_replicas > *options.max_replicas;
  return crossed ? *options.max_replicas : *options.max_replicas - jobs_min(options);
}

std::optional<double> go_float(const std::string& text) {
  const bool negative = text.starts_with('-');
  std::string digits = text.substr(negative || text.starts_with('+') ? 1 : 0);
  const double sign = negative ? -1 : 1;
  if (const std::optional<double> special = infinite_or_nan(digits)) {
    return sign * *special;
  }
  const bool hex = digits.starts_with("0x") || digits.starts_with("0X");
  // Go wants the exponent of a hexadecimal number and from_chars does without; neither takes a second sign.
  if (digits.empty() || digits.front() == '-' || (hex && digits.find_first_of("pP") == std::string::npos)) {
    return std::nullopt;
  }
  digits.erase(0, hex ? 2 : 0);
  double out = 0;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), out,
                                             hex ? std::chars_format::hex : std::chars_format::general);
  if (failed != std::errc{} || end != digits.data() + digits.size() || !std::isfinite(out)) {
    return std::nullopt;
  }
  return sign * out;
}

KedaJobAnswer jobs_to_create(const KedaJobOptions& options, const KedaJobSeen& seen) {
  const std::int64_t least = jobs_min(options);
  const std::int64_t most = jobs_max(options);
  const Length length = of_all(options, seen, most);
  const bool active = length.active || least > 0;
  KedaJobAnswer out;
  out.queue_length = go_int64(std::ceil(length.queue));
  out.max_scale = go_int64(std::ceil(std::min(length.max_value, static_cast<double>(most))));
  if (seen.running < least) {  // the backlog waits for the next poll
    out.effective_max_scale = out.scale_to = least - seen.running;
  } else {
    out.effective_max_scale = effective(options, out.max_scale, seen.running - least, seen.pending, most);
    out.scale_to = options.strategy == KedaStrategy::eager ? most : out.queue_length;
  }
  out.create = active ? std::max<std::int64_t>(std::min(out.scale_to, out.effective_max_scale), 0) : 0;
  return out;
}

policy::Proposal step(const KedaScaledJob& options, const Bounds& bounds, const model::Observation& seen,
                      KedaScaledJobState& state) {
  const std::int64_t useful = seen.useful();
  if (!due(state.polled_ms, options.polling_interval, seen)) {
    policy::Proposal out = want(useful, "KEDA polls later", seen);
    out.again_in_ms = *state.polled_ms + to_ms(options.polling_interval) - seen.at_ms;
    return out;
  }
  state.polled_ms = seen.at_ms;
  KedaJobOptions keda = options.keda;
  keda.min_replicas = keda.min_replicas.value_or(static_cast<std::int32_t>(bounds.min));
  keda.max_replicas = keda.max_replicas.value_or(static_cast<std::int32_t>(bounds.max));
  KedaJobSeen jobs{.triggers = {}, .running = seen.live(), .pending = seen.not_started()};
  const std::optional<std::int64_t> length = messages(options.counts, bounds, seen);
  if (length) {
    const auto q = static_cast<double>(*length);
    jobs.triggers.push_back({.queue_length = q, .target = options.target, .active = q > options.activation});
  }
  const KedaJobAnswer answer = jobs_to_create(keda, jobs);
  if (!length) {  // the minimum is kept all the same
    return blind(useful + answer.create, seen);
  }
  return want(useful + answer.create,
              fmt::format("{} messages ask for {}, {} running and {} pending: {} creates {}", *length, answer.max_scale,
                          jobs.running, jobs.pending, strategy_word(keda.strategy), answer.create),
              seen);
}

}  // namespace sluice::rivals
