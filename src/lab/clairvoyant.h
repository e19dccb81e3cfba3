// SPDX-License-Identifier: Apache-2.0
#pragma once
// What somebody who knows the whole future would have to pay: a lower bound on the node-seconds of any policy on a
// scenario's messages. A policy's distance to it (its regret) says how much is left to win.
//
// The relaxation: work is a fluid, bins of time instead of moments, fractions of workers and nodes, work may be moved
// between workers at any time, and nodes and workers without end. Each makes the problem easier, so the bound holds for
// whatever a policy may do; boots and pod starts are taken at their means. Formulas: docs/explanation/lag-policy.md.
#include <cstdint>
#include <optional>
#include <vector>

#include "lab/agenda.h"
#include "lab/scenario.h"
#include "lab/scenario_read.h"

namespace sluice::lab {

// What is kept of one pool: all messages but so many begin within `within` of their arrival.
struct Kept {
  Us within = 0;
  std::int64_t later = 0;
  std::int64_t concurrency = 1;  // messages a worker works on at once
};

// Node-seconds; nothing where messages go without being worked on (expiry, purge): the load then depends on the policy.
// `kept`: one for each pool of the scenario.
[[nodiscard]] std::optional<double> clairvoyant_node_s(const Scenario& scenario, const Files& files, std::int64_t seed,
                                                       const std::vector<Kept>& kept);

}  // namespace sluice::lab
