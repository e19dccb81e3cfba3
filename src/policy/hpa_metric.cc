// SPDX-License-Identifier: Apache-2.0
#include "policy/hpa_metric.h"

#include <cmath>
#include <limits>

#include "policy/hpa_numbers.h"

namespace sluice::policy {
namespace {

constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();

bool since(const HpaOptions& options, HpaSemantics release) {
  return options.semantics >= release;
}

// Until 1.32 |1 - r| <= t, since 1.33 1 - down <= r <= 1 + up. Not the same bits: 1.1 is inside the second alone.
bool within(const HpaOptions& options, double r) {
  const HpaTolerance t = tolerance_of(options);
  if (!since(options, HpaSemantics::v1_35)) {
    return std::fabs(1.0 - r) <= t.up;
  }
  return (1.0 - t.down) <= r && r <= (1.0 + t.up);
}

// Until 1.32 asked the other way round, which differs for NaN: no replicas and no usage.
bool beyond(const HpaOptions& options, double r) {
  if (!since(options, HpaSemantics::v1_35)) {
    return std::fabs(1.0 - r) > tolerance_of(options).up;
  }
  return !within(options, r);
}

// Which conversions saturate: of an external metric's average since 1.34, of a ratio times pods since 1.35, all since
// 1.37. The others give the least integer on amd64, which ends as minReplicas.
std::int32_t replicas_of(const HpaOptions& options, double x, HpaSemantics saturates_since) {
  return since(options, saturates_since) ? capped_int32(x) : go_int32(x);
}

// An average overflows to below 0 and is then the most; so is every sum that a negative value makes negative.
std::int64_t sum_of_average(const HpaOptions& options, const std::vector<std::int64_t>& values) {
  std::int64_t usage = 0;
  for (const std::int64_t value : values) {
    usage = wrapping_sum(usage, value);
    if (usage < 0 && since(options, HpaSemantics::v1_35)) {
      return most;
    }
  }
  return usage;
}

std::int64_t sum_of_value(const HpaOptions& options, const std::vector<std::int64_t>& values) {
  std::int64_t usage = 0;
  for (const std::int64_t value : values) {
    if (value > 0 && usage > most - value && since(options, HpaSemantics::v1_35)) {
      return most;
    }
    usage = wrapping_sum(usage, value);
  }
  return usage;
}

// The average in the status: total over status.replicas, which may be 0.
std::int64_t average_usage(const HpaOptions& options, bool external, std::int64_t total, std::int32_t pods) {
  if (external && since(options, HpaSemantics::v1_35) && static_cast<double>(total) >= static_cast<double>(most)) {
    return most;
  }
  if (pods == 0 && since(options, HpaSemantics::v1_37)) {
    return 0;
  }
  return go_int64(std::ceil(static_cast<double>(total) / static_cast<double>(pods)));
}

HpaProposal average_value(const HpaOptions& options, const HpaSeen& seen, const HpaMetric& metric,
                          const std::vector<std::int64_t>& values) {
  const bool external = metric.type == HpaMetricType::external;
  const std::int64_t total = external ? sum_of_average(options, values) : values.front();
  const auto usage = static_cast<double>(total);
  const auto target = static_cast<double>(metric.target);
  std::int32_t replicas = seen.status_replicas;
  const double ratio = usage / (target * static_cast<double>(replicas));
  if (beyond(options, ratio)) {
    replicas = replicas_of(options, std::ceil(usage / target), external ? HpaSemantics::v1_35 : HpaSemantics::v1_37);
  }
  return {.replicas = replicas, .usage = average_usage(options, external, total, seen.status_replicas)};
}

Result<HpaProposal> value(const HpaOptions& options, const HpaSeen& seen, const HpaMetric& metric,
                          const std::vector<std::int64_t>& values) {
  const std::int64_t total = metric.type == HpaMetricType::external ? sum_of_value(options, values) : values.front();
  const double ratio = static_cast<double>(total) / static_cast<double>(metric.target);
  if (seen.spec_replicas == 0) {
    return HpaProposal{.replicas = replicas_of(options, std::ceil(ratio), HpaSemantics::v1_37), .usage = total};
  }
  if (within(options, ratio)) {
    return HpaProposal{.replicas = seen.spec_replicas, .usage = total};
  }
  if (!seen.ready_pods) {
    return Error{Code::retry, "unable to calculate ready pods: not known"};
  }
  if (seen.status_replicas == 0 && *seen.ready_pods == 0) {
    return Error{Code::retry,
                 "unable to calculate ready pods: no pods returned by selector while calculating replica count"};
  }
  const double replicas = std::ceil(ratio * static_cast<double>(*seen.ready_pods));
  return HpaProposal{.replicas = replicas_of(options, replicas, HpaSemantics::v1_35), .usage = total};
}

Result<HpaProposal> utilization(const HpaOptions& options, const HpaSeen& seen, const HpaMetric& metric,
                                const HpaUtilization& reading) {
  if (reading.pods == 0) {
    return Error{Code::retry, "did not receive metrics for targeted pods (pods might be unready)"};
  }
  const double ratio = static_cast<double>(reading.percent) / static_cast<double>(metric.target);
  if (within(options, ratio)) {
    return HpaProposal{.replicas = seen.spec_replicas, .usage = reading.percent};
  }
  const double replicas = std::ceil(ratio * static_cast<double>(reading.pods));
  return HpaProposal{.replicas = replicas_of(options, replicas, HpaSemantics::v1_37), .usage = reading.percent};
}

}  // namespace

HpaTolerance tolerance_of(const HpaOptions& options) {
  HpaTolerance out = options.tolerance;
  if (!options.behavior || !since(options, HpaSemantics::v1_35)) {
    return out;
  }
  if (const auto& down = options.behavior->scale_down; down && down->tolerance) {
    out.down = *down->tolerance;
  }
  if (const auto& up = options.behavior->scale_up; up && up->tolerance) {
    out.up = *up->tolerance;
  }
  return out;
}

Result<HpaProposal> propose(const HpaOptions& options, const HpaSeen& seen, const HpaMetric& metric,
                            const HpaReading& reading) {
  if (const auto* failure = std::get_if<HpaFailure>(&reading)) {
    return Error{Code::retry, failure->why};
  }
  if (const auto* percent = std::get_if<HpaUtilization>(&reading)) {
    return utilization(options, seen, metric, *percent);
  }
  const auto& values = std::get<HpaValues>(reading).milli;
  if (values.empty()) {
    return Error{Code::retry, "no metrics returned from external metrics API"};
  }
  if (metric.target_type == HpaTargetType::average_value) {
    return average_value(options, seen, metric, values);
  }
  return value(options, seen, metric, values);
}

}  // namespace sluice::policy
