// SPDX-License-Identifier: Apache-2.0
#pragma once
// Turns what was read into what a decision may look at: whole numbers, ages, claims. What could not be read stays
// unknown; a fleet that could not be read keeps its last counts and says that they are old, so an error never lowers a
// number.
#include <optional>

#include "base/result.h"
#include "control/age_ladder.h"
#include "control/claims.h"
#include "control/settled.h"
#include "control/start_table.h"
#include "model/observation.h"
#include "pool/types.h"

namespace sluice::control {

class Observer {
 public:
  explicit Observer(const pool::PoolSpec& spec);

  // `fleet` must have been read before `sample`: a worker that claims between the two then covers its message twice for
  // one tick, which only delays growth, and never starts a second worker for it.
  [[nodiscard]] model::Observation observe(Time now, const Result<model::FleetView>& fleet,
                                           const Result<model::Sample>& sample);
  // A start was attempted, whatever came of it: views and readings from before `at` no longer justify growth.
  void acted(Time at);
  // The last fleet view that was read, if any.
  [[nodiscard]] const std::optional<model::FleetView>& view() const { return view_; }
  // Older than this a reading of the queue counts for nothing.
  [[nodiscard]] Duration stale_after() const { return stale_after_; }

 private:
  void see_fleet(model::Observation& out, Time now, const Result<model::FleetView>& fleet,
                 const Result<model::Sample>& sample);
  void see_queue(model::Observation& out, Time now, const Result<model::Sample>& sample);

  Duration stale_after_;
  Claims claims_;
  StartTable starts_;
  AgeLadder ages_;
  Settled settled_;
  std::optional<model::FleetView> view_;
  std::optional<Time> acted_;
};

}  // namespace sluice::control
