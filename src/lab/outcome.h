// SPDX-License-Identifier: Apache-2.0
#pragma once
// What came of a scenario: its runs, each policy's mean over the seeds, who wins, and all of it as JSON and CSV. No
// time of day and no path is in any of it: the same scenario and seeds give the same bytes.
#include <optional>
#include <string>
#include <vector>

#include "lab/run.h"

namespace sluice::lab {

// One policy over all seeds: means, but for what says "most".
struct Means {
  std::string policy;
  double published = 0, unfinished = 0, lost = 0, redelivered = 0, twice = 0;
  double late_share = 0;
  double p50_s = 0, p95_s = 0, p99_s = 0, most_s = 0;
  double worker_s = 0, busy_s = 0, node_s = 0;
  std::optional<double> clairvoyant_node_s;  // a lower bound for the same p99, lab/clairvoyant.h
  double starts = 0, flaps = 0;
  std::int64_t workers_peak = 0, nodes_peak = 0;  // the most
  double cost = 0;                                // money at the scenario's price; node-seconds where it has none
};

struct Outcome {
  Scenario scenario;
  std::vector<std::int64_t> seeds;
  std::vector<Run> runs;  // policy by policy, in each seed by seed
  std::vector<Means> means;
  // The cheapest policy of which at most 1 % of the messages are late; where there is none, the one with the fewest.
  std::size_t best = 0;
};

// Requires: runs as in Outcome, at least one.
[[nodiscard]] Outcome outcome_of(const Scenario& scenario, std::vector<std::int64_t> seeds, std::vector<Run> runs);
// Node-seconds beyond the clairvoyant bound, as a part of it; nothing where there is no bound.
[[nodiscard]] std::optional<double> regret_of(const Means& means);
[[nodiscard]] bool has_price(const Scenario& scenario);
[[nodiscard]] double cost_of(const Scenario& scenario, double node_s, double worker_s);
inline constexpr double late_share_max = 0.01;

// One line for each run, then for each policy, then the summary; with ends.
[[nodiscard]] std::string to_json_lines(const Outcome& outcome);
[[nodiscard]] std::string csv_header();
[[nodiscard]] std::string to_csv(const Outcome& outcome);

// "azure.csv 1 x faster, 0.5 messages for one": what was assumed of each trace; empty without one.
[[nodiscard]] std::vector<std::string> trace_notes(const Scenario& scenario);

}  // namespace sluice::lab
