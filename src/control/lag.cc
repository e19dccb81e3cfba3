// SPDX-License-Identifier: Apache-2.0
#include "control/lag.h"

#include <algorithm>

#include "policy/lag_words.h"

namespace sluice::control {
namespace {

// Chosen: a process, its connection and its first message, on a busy laptop. Real starts replace it.
constexpr std::int64_t process_start_ms = 1'000;
// A node of the process fleet goes off after so long (design, section 4).
constexpr std::int64_t process_node_idle_ms = 60'000;

}  // namespace

policy::LagOptions lag_options(const pool::PoolSpec& spec, const pool::LagPolicy& lag) {
  policy::LagOptions out;
  out.max_ms = std::max<std::int64_t>(to_ms(lag.max), 1);
  out.percentile_millionths = lag.percentile.millionths;
  out.reserve = lag.reserve;
  out.workers_min = spec.workers.min;
  out.workers_max = spec.workers.max;
  out.concurrency = spec.workers.concurrency;
  out.every_ms = lag.every.period ? to_ms(*lag.every.period) : 0;
  const pool::Workers& workers = spec.workers;
  const bool here = workers.process || (workers.run && !workers.run->image);
  if (here && !workers.job && !workers.deployment) {
    const pool::Nodes nodes = workers.process ? workers.process->nodes : pool::Nodes{};
    out.slots = pool::slots_per_node(workers);
    out.places = nodes.min * out.slots;
    out.node_idle_ms = process_node_idle_ms;
    out.cold_ms = process_start_ms + (nodes.max > nodes.min ? to_ms(nodes.boot) : 0);
    out.warm_ms = process_start_ms;
  }
  return out;
}

policy::Proposal propose_lag(const pool::PoolSpec& spec, const pool::LagPolicy& lag, const model::Observation& seen,
                             const policy::LagParts& parts, LagHeld& memory) {
  policy::LagOptions options = lag_options(spec, lag);
  options.parts = parts;
  policy::LagStep step = policy::lag(options, memory.get(), seen);
  memory.set(std::move(step.next));
  return std::move(step.proposal);
}

std::vector<std::string> lag_arithmetic(const pool::PoolSpec& spec, const pool::LagPolicy& lag,
                                        const model::Observation& seen, const LagHeld& before) {
  const policy::LagOptions options = lag_options(spec, lag);
  const policy::LagStep step = policy::lag(options, before.get(), seen);
  return step.terms ? policy::lag_arithmetic(options, *step.terms)
                    : std::vector<std::string>{"the backlog, or what has been published, is unknown"};
}

}  // namespace sluice::control
