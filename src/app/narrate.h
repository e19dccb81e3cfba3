// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a person wants to hear of a pool's ticks: decisions when they change, workers as they start and leave.
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/controller.h"

namespace sluice::app {

struct Told {
  WallTime at;
  std::string word;  // of the closed vocabulary; about workers: wait, start, ready, left, lost, failed; error
  std::string text;
};

class Narrator {
 public:
  // What is new since the last call.
  [[nodiscard]] std::vector<Told> tell(const control::Snapshot& snapshot);
  // The same of workers alone, from a look between two ticks.
  [[nodiscard]] std::vector<Told> tell(const model::FleetView& view, WallTime at);

 private:
  void tell_decision(std::vector<Told>& out, const control::Snapshot& snapshot);
  void tell_workers(std::vector<Told>& out, const model::FleetView& view, WallTime at);

  std::string last_reason_;                          // its numbers blanked
  std::optional<WallTime> moved_at_;                 // when a worker was last asked for, placed or ready
  std::map<std::string, model::WorkerState> known_;  // live workers by id
  std::set<std::string> left_;                       // ids whose end was told
  bool first_ = true;
};

// "14:02:30  grow   37 messages wait, more than 20: starts orders-w4"
[[nodiscard]] std::string line_of(const Told& told, bool colour);

}  // namespace sluice::app
