// SPDX-License-Identifier: Apache-2.0
#pragma once
// How it is known that a worker takes messages which does not say so itself: by the broker's list of its consumers,
// joined by name; by their number, where every consumer is one of the pool's workers; or by the time since its start.
// What cannot be read leaves the matter to the next of them, and what was known stays known (design, section 6).
#include <map>
#include <string>

#include "model/fleet_view.h"
#include "model/sample.h"
#include "pool/types.h"

namespace sluice::control {

class Claims {
 public:
  explicit Claims(pool::Claim how) : how_(how) {}

  // Turns every worker of `view` that is still `starting` and takes messages by what the pool says (`workers.claim`:
  // broker, consumers or a time) into a busy one: nobody knows whether it has one just now, so it is never taken for
  // idle. view.claim becomes what it was known by. With `auto` these rungs are climbed down for the silent workers
  // alone; with the other words the fleet knows by itself, and nothing changes.
  void apply(model::FleetView& view, const Result<model::Sample>& sample, Time now);

 private:
  [[nodiscard]] bool by_list(model::FleetView& view, const Result<model::Sample>& sample, Time now);
  [[nodiscard]] bool by_count(model::FleetView& view, const Result<model::Sample>& sample);
  void by_time(model::FleetView& view, Time now);
  [[nodiscard]] bool in_question(const model::Worker& worker) const;
  void mark(model::Worker& worker, Time at);

  pool::Claim how_;
  std::map<std::string, Time> since_;  // by the worker's id
};

// Whether `text`, a consumer's tag or the name of its connection, names this worker: it is the whole of it, or stands
// in it between anything but letters, digits, '-' and '_' ("orders-w3@host", never "my-orders-w3" or "orders-w30").
[[nodiscard]] bool names_worker(std::string_view text, std::string_view worker);

}  // namespace sluice::control
