// SPDX-License-Identifier: Apache-2.0
#include "control/hpa.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "model/quantity.h"
#include "policy/backlog_per_worker.h"
#include "policy/hpa.h"
#include "policy/words.h"

namespace sluice::control {
namespace {

using model::Observation;
using model::Word;
using model::WorkerState;

// As for every policy: what is looked at adaptively is looked at once a second at the least.
constexpr Duration adaptive_interval = std::chrono::seconds{1};

std::int32_t int32_of(std::int64_t n) {
  return static_cast<std::int32_t>(
      std::clamp<std::int64_t>(n, std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max()));
}

// A tolerance of a direction reaches the HPA as a quantity, with that double's bits.
double tolerance_of(const pool::Decimal& share) {
  const Result<model::Quantity> quantity = model::parse_quantity(fmt::format("{}u", share.millionths));
  return quantity ? model::approximate(*quantity) : share.value();
}

policy::HpaRules rules_of(const pool::HpaScalingRules& given) {
  policy::HpaRules out;
  if (given.stabilization_window_seconds) {
    out.window_s = int32_of(*given.stabilization_window_seconds);
  }
  if (given.select_policy) {
    constexpr policy::HpaSelect selects[] = {policy::HpaSelect::max, policy::HpaSelect::min,
                                             policy::HpaSelect::disabled};
    out.select = selects[static_cast<std::size_t>(*given.select_policy)];
  }
  if (!given.policies.empty()) {
    out.limits.emplace();
    for (const pool::HpaScalingPolicy& one : given.policies) {
      out.limits->push_back({.percent = one.type == pool::HpaPolicyType::percent,
                             .value = int32_of(one.value),
                             .period_s = int32_of(one.period_seconds)});
    }
  }
  if (given.tolerance) {
    out.tolerance = tolerance_of(*given.tolerance);
  }
  return out;
}

policy::HpaTargetType target_type(const pool::HpaTarget& target) {
  return target.type == pool::HpaTargetType::value ? policy::HpaTargetType::value
                                                   : policy::HpaTargetType::average_value;
}

policy::HpaOptions options_of(const pool::PoolSpec& spec, const pool::HpaPolicy& hpa) {
  policy::HpaOptions out;
  out.min_replicas = int32_of(spec.workers.min);
  out.max_replicas = int32_of(spec.workers.max);
  out.metrics = {{.type = policy::HpaMetricType::external,
                  .target_type = target_type(hpa.target),
                  .target = hpa_target_milli(hpa.target)}};
  if (hpa.behavior) {
    out.behavior = hpa_behavior(*hpa.behavior);
  }
  out.semantics = policy::HpaSemantics::v1_37;
  out.scale_to_zero = true;  // min 0 is a pool's own decision
  out.tolerance = {.up = hpa.tolerance.value(), .down = hpa.tolerance.value()};
  return out;
}

// Waiting and in work, as a metric in milli units.
std::int64_t usage(const policy::BacklogTerms& terms) {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max() / 1000;
  return terms.needed > most ? std::numeric_limits<std::int64_t>::max() : terms.needed * 1000;
}

policy::BacklogTerms backlog(const pool::PoolSpec& spec, const Observation& seen) {
  return policy::terms(policy::BacklogPerWorkerOptions{.messages = 1, .concurrency = spec.workers.concurrency}, seen);
}

policy::HpaSeen seen_of(const pool::PoolSpec& spec, const Observation& seen, std::int32_t replicas) {
  policy::HpaSeen out;
  const std::int32_t pods = int32_of(seen.useful() + seen.count(WorkerState::failing));
  const std::int64_t ready = seen.count(WorkerState::ready) + seen.claimed();
  out.spec_replicas = replicas;
  out.status_replicas = std::min(pods, replicas);
  out.ready_pods = std::min(int32_of(ready), out.status_replicas);
  out.metrics = {policy::HpaValues{{usage(backlog(spec, seen))}}};
  out.at_us = seen.at_ms * 1000;
  if (replicas == 0) {  // whoever put it there, the pool is awake
    out.conditions = {{"ScaledToZero", "True", "ScaledToZero"}};
  }
  return out;
}

// "; the HPA asks for 10 and sets 4 (ScaleUpLimit)"
std::string verdict(const policy::HpaStep& step) {
  if (step.error) {
    return "; the HPA cannot tell: " + *step.error;
  }
  if (step.metrics.empty()) {
    return fmt::format("; the HPA goes back to {}, within its bounds", step.replicas);
  }
  const std::int32_t asked = step.metrics.front().replicas.value_or(step.replicas);
  std::string why;
  for (const policy::HpaCondition& one : step.conditions) {
    const bool limits = one.type == "ScalingLimited" && one.status == "True";
    why = limits || (why.empty() && one.reason.ends_with("Stabilized")) ? one.reason : why;
  }
  return asked == step.replicas ? fmt::format("; the HPA asks for {}", asked)
                                : fmt::format("; the HPA asks for {} and sets {}{}", asked, step.replicas,
                                              why.empty() ? "" : " (" + why + ")");
}

std::string what_is_there(const policy::BacklogTerms& terms) {
  if (terms.together) {
    return fmt::format("{} or {} in work", policy::messages_wait(terms.waiting), terms.waiting == 1 ? "is" : "are");
  }
  return fmt::format("{} and {} in work", policy::messages_wait(terms.waiting),
                     terms.claimed == 1 ? "1 is" : fmt::format("{} are", terms.claimed));
}

}  // namespace

std::int64_t hpa_target_milli(const pool::HpaTarget& target) {
  const Result<model::Quantity> quantity = model::parse_quantity(target.value);
  return quantity ? std::max<std::int64_t>(model::milli_value(*quantity), 1) : 1;
}

policy::HpaBehavior hpa_behavior(const pool::HpaBehavior& given) {
  policy::HpaBehavior out;
  if (given.scale_up) {
    out.scale_up = rules_of(*given.scale_up);
  }
  if (given.scale_down) {
    out.scale_down = rules_of(*given.scale_down);
  }
  return out;
}

policy::Proposal propose_hpa(const pool::PoolSpec& spec, const pool::HpaPolicy& hpa, const Observation& seen,
                             std::optional<HpaMemory>& memory) {
  const std::int64_t useful = seen.useful();
  policy::Proposal out{
      .word = Word::blind, .sentence = "", .wanted = useful, .enough = useful, .again_in_ms = std::nullopt};
  if (policy::backlog_of(seen) == nullptr) {
    out.sentence = policy::unknown_backlog(seen);
    return out;
  }
  const std::int64_t interval_ms = to_ms(hpa.every.period.value_or(adaptive_interval));
  std::string said;
  if (!memory || seen.at_ms - memory->synced_ms >= interval_ms) {
    const std::int32_t size = memory ? memory->wanted : int32_of(useful + seen.count(WorkerState::failing));
    const policy::HpaStep step = policy::sync(options_of(spec, hpa), memory ? memory->controller : policy::HpaState{},
                                              seen_of(spec, seen, size));
    memory = HpaMemory{.controller = step.next, .wanted = step.replicas, .synced_ms = seen.at_ms};
    said = verdict(step);
  } else {
    out.again_in_ms = memory->synced_ms + interval_ms - seen.at_ms;
    said = fmt::format("; the HPA has set {}, and looks again in {}", memory->wanted,
                       humane_duration(std::chrono::milliseconds{*out.again_in_ms}));
  }
  out.enough = memory->wanted;
  out.wanted = std::max<std::int64_t>(memory->wanted, useful);
  out.word = out.wanted > useful ? Word::grow : Word::steady;
  out.sentence = what_is_there(backlog(spec, seen)) + said;
  return out;
}

std::string hpa_arithmetic(const pool::PoolSpec& spec, const pool::HpaPolicy& hpa, const Observation& seen) {
  const policy::BacklogTerms terms = backlog(spec, seen);
  const std::string sum = terms.together ? fmt::format("{} waiting or in work", terms.waiting)
                                         : fmt::format("({} waiting + {} in work)", terms.waiting, terms.claimed);
  return fmt::format("{} against {} {}", sum, hpa.target.value,
                     hpa.target.type == pool::HpaTargetType::value ? "in all" : "a worker");
}

}  // namespace sluice::control
