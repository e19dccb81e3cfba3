// SPDX-License-Identifier: Apache-2.0
#pragma once
// One run: a scenario under one policy with one seed. The scaler in it is the real one: control::Controller with its
// observation, decision, accounting, journal and pace; only the queue, the workers, the nodes and the clock are models.
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lab/measures.h"
#include "lab/scenario_read.h"

namespace sluice::lab {

struct Bench {  // what is run
  const Scenario& scenario;
  const Files& files;
  std::size_t policy = 0;  // which of the scenario's
  std::int64_t seed = 1;
  bool bound = false;  // work out what knowing the future would have cost, lab/clairvoyant.h
};

struct PoolRun {
  std::string pool;
  Measures measures;  // without the single waits
  Waits waits;
  Marks marks;
  std::vector<Said> said;          // at most said_max, the first ones
  std::uint64_t journal_hash = 0;  // of all its lines with their ends (FNV-1a)
  std::int64_t journal_lines = 0;
};
inline constexpr std::size_t said_max = 1000;

struct Run {
  std::string policy;
  std::int64_t seed = 0;
  std::vector<PoolRun> pools;
  Measures all;  // of all pools together, without the single waits
  Waits waits;
  Us node_us = 0;
  std::optional<double> clairvoyant_node_s;  // for the same p99, where it was asked for and is defined
  std::int64_t nodes_peak = 0;
  std::int64_t nodes_ordered = 0;
  std::vector<NodeMark> nodes;
  std::int64_t ticks = 0;
  std::uint64_t events = 0;  // arrivals, starts and ends of work, workers' and nodes' changes, ticks
};

// `line`, if set, gets every journal line of a pool. The same bench gives the same run, bit for bit.
[[nodiscard]] Run run(const Bench& bench,
                      const std::function<void(const std::string& pool, std::string_view line)>& line = nullptr);

}  // namespace sluice::lab
