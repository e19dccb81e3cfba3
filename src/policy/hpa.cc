// SPDX-License-Identifier: Apache-2.0
#include "policy/hpa.h"

#include <fmt/core.h>

#include <algorithm>

#include "policy/hpa_limits.h"
#include "policy/hpa_metric.h"

namespace sluice::policy {
namespace {

constexpr const char* able = "AbleToScale";
constexpr const char* active = "ScalingActive";
constexpr const char* limited = "ScalingLimited";
constexpr const char* at_zero = "ScaledToZero";

void set(std::vector<HpaCondition>& conditions, HpaCondition condition) {
  const auto found = std::ranges::find(conditions, condition.type, &HpaCondition::type);
  if (found == conditions.end()) {
    conditions.push_back(std::move(condition));
  } else {
    *found = std::move(condition);
  }
}

const char* truth(bool yes) {
  return yes ? "True" : "False";
}

std::string failed(HpaMetricType type) {
  switch (type) {
    case HpaMetricType::external:
      return "FailedGetExternalMetric";
    case HpaMetricType::object:
      return "FailedGetObjectMetric";
    case HpaMetricType::resource:
      break;
  }
  return "FailedGetResourceMetric";
}

// One sync while it runs.
struct Sync {
  const HpaOptions& options;
  const HpaSeen& seen;
  HpaStep out;

  [[nodiscard]] bool has_outer_metric() const {
    return std::ranges::any_of(options.metrics,
                               [](const HpaMetric& metric) { return metric.type != HpaMetricType::resource; });
  }
  // Since 1.36 an HPA only wakes what it has put to sleep itself, which a condition remembers.
  [[nodiscard]] bool knows_zero() const { return options.semantics >= HpaSemantics::v1_36; }
  [[nodiscard]] bool put_to_zero() const {
    return knows_zero() && options.scale_to_zero && std::ranges::any_of(seen.conditions, [](const HpaCondition& one) {
             return one.type == at_zero && one.status == "True";
           });
  }
  [[nodiscard]] bool woken_from_zero() const {
    if (!knows_zero()) {
      return options.min_replicas == 0;
    }
    return put_to_zero() && (options.min_replicas != 0 || has_outer_metric());
  }
  void forget_zero() {
    std::erase_if(out.conditions, [](const HpaCondition& one) { return one.type == at_zero; });
  }
};

// The largest of what the metrics ask for. A failed one blocks going down, never going up by another; empty: blocked.
std::optional<std::int32_t> ask_metrics(Sync& s) {
  std::int32_t replicas = 0;
  std::size_t invalid = 0;
  std::string first_error;
  std::string first_reason;
  for (std::size_t i = 0; i < s.options.metrics.size(); ++i) {
    const HpaMetric& metric = s.options.metrics[i];
    const Result<HpaProposal> proposal = propose(s.options, s.seen, metric, s.seen.metrics[i]);
    s.out.metrics.push_back(proposal ? *proposal : HpaProposal{});
    if (!proposal) {
      if (invalid == 0) {
        first_error = proposal.error().what;
        first_reason = failed(metric.type);
      }
      ++invalid;
      continue;
    }
    if (replicas == 0 || *proposal->replicas > replicas) {
      replicas = *proposal->replicas;
    }
  }
  if (invalid > 0) {
    s.out.error = fmt::format("invalid metrics ({} invalid out of {}), first error is: {}", invalid,
                              s.options.metrics.size(), first_error);
  }
  if (invalid == s.options.metrics.size() || (invalid > 0 && replicas < s.seen.spec_replicas)) {
    set(s.out.conditions, {active, "False", first_reason});
    return std::nullopt;
  }
  set(s.out.conditions, {active, "True", "ValidMetricFound"});
  return replicas;
}

// By the metrics; empty where they block.
std::optional<std::int32_t> by_metrics(Sync& s) {
  const std::int32_t current = s.seen.spec_replicas;
  const std::optional<std::int32_t> asked = ask_metrics(s);
  if (!asked) {
    return std::nullopt;
  }
  const HpaNormalized normal =
      normalize(s.options, s.out.next, current, std::max(*asked, std::int32_t{0}), s.seen.at_us);
  set(s.out.conditions, {able, "True", normal.able});
  set(s.out.conditions, {limited, truth(normal.is_limited), normal.limited});
  const bool raised = current == 0 && s.put_to_zero() && normal.replicas < s.options.min_replicas;
  return raised ? s.options.min_replicas : normal.replicas;
}

// The size to have; empty where there is nothing to decide by.
std::optional<std::int32_t> desired(Sync& s) {
  const std::int32_t current = s.seen.spec_replicas;
  if (current == 0 && !s.woken_from_zero()) {
    set(s.out.conditions, {active, "False", "ScalingDisabled"});
    if (s.knows_zero() && !s.options.scale_to_zero) {
      s.forget_zero();
    }
    return std::nullopt;
  }
  // Outside the bounds: back at once, without limits, stabilization or a recommendation.
  if (current > s.options.max_replicas) {
    return s.options.max_replicas;
  }
  if (current != 0 && current < s.options.min_replicas) {
    return s.options.min_replicas;
  }
  return by_metrics(s);
}

void rescale(Sync& s, std::int32_t to) {
  const std::int32_t current = s.seen.spec_replicas;
  s.out.rescale = true;
  s.out.replicas = to;
  set(s.out.conditions, {able, "True", "SucceededRescale"});
  store_scale_event(s.options, s.out.next, current, to, s.seen.at_us);
  if (!s.knows_zero()) {
    return;
  }
  if (!s.options.scale_to_zero) {
    s.forget_zero();
    return;
  }
  const bool to_sleep = current > 0 && to == 0 && s.options.min_replicas == 0 && s.has_outer_metric();
  set(s.out.conditions, {at_zero, truth(to_sleep), to_sleep ? "ScaledToZero" : "NotScaledToZero"});
}

}  // namespace

HpaStep sync(const HpaOptions& options, const HpaState& before, const HpaSeen& seen) {
  Sync s{.options = options, .seen = seen, .out = {}};
  s.out.replicas = seen.spec_replicas;
  s.out.conditions = seen.conditions;
  s.out.next = before;
  set(s.out.conditions, {able, "True", "SucceededGetScale"});
  if (!s.out.next.recommendations) {
    s.out.next.recommendations = {{.at_us = seen.at_us, .replicas = seen.spec_replicas}};
  }
  const std::optional<std::int32_t> to = desired(s);
  if (to && *to != seen.spec_replicas) {
    rescale(s, *to);
  }
  return s.out;
}

}  // namespace sluice::policy
