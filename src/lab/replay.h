// SPDX-License-Identifier: Apache-2.0
#pragma once
// From what was recorded of a pool to a scenario of it: the messages that came, estimated service and start-up times,
// and policies to compare. Whatever is not in the record is assumed, and each assumption is said.
#include <optional>
#include <string>
#include <vector>

#include "lab/past.h"
#include "lab/scenario_read.h"

namespace sluice::lab {

// What the person who asks knows better than the record.
struct ReplayWishes {
  std::optional<Duration> service;    // how long a worker has a message
  std::optional<Duration> start;      // from asked for to taking messages
  std::optional<Duration> late;       // a message that waits longer is late
  std::optional<std::int64_t> slots;  // workers on a node
  std::int64_t workers_max = 1000;    // of a record without a pool; chosen: as good as no limit
};

struct Replayable {
  Scenario scenario;
  Files files;
  std::vector<std::string> assumed;  // each a line for people
};

// Arrivals as bins, the first at 0. Code::invalid: the record does not say what came, with what would help.
struct PastArrivals {
  std::vector<Bin> bins;
  Duration lasts{0};
  std::int64_t messages = 0;
  std::int64_t first = 0;   // of them were there at the beginning
  std::int64_t resets = 0;  // of the counter
  bool counted = true;      // by the queue; else told from its backlog and what was finished
};
[[nodiscard]] Result<PastArrivals> past_arrivals(const Past& past, const std::optional<Duration>& service);

// How long a worker had a message: the time in which workers had some, by the messages that were finished in it.
// `spread` is the standard deviation by the mean, where enough of the record has workers that were never idle.
struct PastService {
  Duration mean{0};
  std::optional<double> spread;
  std::int64_t messages = 0;
};
[[nodiscard]] std::optional<PastService> past_service(const Past& past);

// What the workers were, as the ticks saw them.
struct PastTotals {
  std::int64_t workers_peak = 0;
  double worker_s = 0;  // of those with a place
};
[[nodiscard]] PastTotals past_totals(const Past& past);

// Code::invalid where the record has too little.
[[nodiscard]] Result<Replayable> replayable(const Past& past, const ReplayWishes& wishes);

}  // namespace sluice::lab
