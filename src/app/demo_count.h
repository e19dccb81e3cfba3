// SPDX-License-Identifier: Apache-2.0
#pragma once
// The demo's sums, each from where it can be checked: messages from the handlers' own ledger, starts from the journal,
// workers' lives from what the fleet showed. Nothing is taken from the workers' word, nothing is assumed.
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "control/controller.h"
#include "fleet/node_group.h"
#include "model/fleet_view.h"

namespace sluice::app {

struct DemoSums {
  std::int64_t published = 0, confirmed = 0;
  std::int64_t processed = 0, duplicates = 0;  // distinct ids in the ledger, and lines beyond them
  std::optional<std::int64_t> dead_lettered, queued,
      in_flight;  // by the queue, at the end; empty: it could not be read
  std::int64_t workers_started = 0, workers_live_max = 0, workers_left = 0;
  std::optional<double> wait_p50_s, wait_p99_s;  // from publish to the start of the handler
  double worker_seconds = 0, node_seconds = 0, seconds = 0;
  // confirmed and found nowhere; empty while the queue could not be read.
  [[nodiscard]] std::optional<std::int64_t> lost() const;
  // All processed once, nothing left anywhere.
  [[nodiscard]] bool whole() const;
};
// The last line of `demo --output json`.
[[nodiscard]] std::string to_json(const DemoSums& sums);

class DemoCount {
 public:
  void published(const std::string& id, WallTime at) { published_[id] = at; }
  void see(const control::Snapshot& snapshot, Time now);
  void see(const model::FleetView& view, Time now);
  // The nodes have been as they are for `span`.
  void nodes(const fleet::NodeGroup& group, int nodes_max, Duration span);
  // Reads ledger and journal, adds what was seen.
  void sum(DemoSums& sums, std::string_view ledger, std::string_view journal, Time now) const;

 private:
  struct Life {
    Time from;
    std::optional<Time> to;
  };
  std::map<std::string, WallTime> published_;
  std::map<std::string, Life> lives_;  // worker processes by id
  std::set<std::string> left_;
  std::int64_t live_max_ = 0;
  double node_seconds_ = 0;
};

// Lines of the ledger so far: what a progress bar needs.
[[nodiscard]] std::int64_t count_lines(std::string_view text);

}  // namespace sluice::app
