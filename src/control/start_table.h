// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which starts worked. Fed with every fleet view, it turns "who is there" into "when was the last start, did it work,
// how many failed in a row". Rebuilt from the first view after a restart, so it needs no file.
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/time.h"
#include "model/fleet_view.h"
#include "model/observation.h"

namespace sluice::control {

class StartTable {
 public:
  explicit StartTable(Duration start_deadline) : start_deadline_(start_deadline) {}
  // Takes in one view. An end that was seen before is not counted again.
  void update(const model::FleetView& view, Time now);
  [[nodiscard]] model::SeenStarts seen(Time now) const;
  // A worker that has not started within the start deadline: it counts as failing.
  [[nodiscard]] bool overdue(const model::Worker& worker, Time now) const;

 private:
  struct Start {
    bool started = false;
    bool failed = false;
    std::uint64_t look = 0;  // the last one that showed it
  };
  void started(Start& start, Time at);
  void failed_start(Start& start, const std::string& why);

  Duration start_deadline_;
  std::uint64_t look_ = 0;
  std::unordered_map<std::string, Start> live_;           // by worker id
  std::unordered_map<std::string, std::uint64_t> ended_;  // ids whose end was counted, and the last look that showed it
  std::vector<bool> window_;                              // of the last 10 ended: failed?
  std::optional<Time> last_asked_;
  std::optional<Time> last_ready_;
  std::int64_t failed_in_a_row_ = 0;
  std::string why_;
};

}  // namespace sluice::control
