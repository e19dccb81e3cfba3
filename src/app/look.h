// SPDX-License-Identifier: Apache-2.0
#pragma once
// One look at a pool as it is now, from outside: the queue itself, the workers' own files, the last decision. Changes
// nothing and needs no scaler. What cannot be read stays unknown and says why.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/context.h"
#include "app/journal_tail.h"
#include "app/places.h"
#include "app/wiring.h"
#include "fleet/process/process_fleet.h"
#include "fleet/process/scaler_lock.h"
#include "serve/pool_status.h"

namespace sluice::app {

struct PoolLook {
  Place place;
  WallTime at;                            // of this look
  std::optional<model::Sample> sample;    // empty: the queue could not be read
  std::optional<model::FleetView> fleet;  // empty: the workers could not be read
  std::vector<std::string> errors;        // why not
  bool queue_missing = false;             // there is no queue file yet
  std::optional<double> in_per_s, out_per_s;
  std::optional<control::TickLine> last;  // the last decision
  std::optional<std::int64_t> last_ms_ago;
  std::optional<fleet::process::ScalerHolder> scaler;

  // The word of the last decision while a scaler runs, else "off".
  [[nodiscard]] std::string state() const;
  // Its sentence, or what there is to say instead.
  [[nodiscard]] std::string why() const;
  // Desired workers by the last decision of a running scaler.
  [[nodiscard]] std::optional<std::int64_t> desired() const;
  [[nodiscard]] bool needs_you() const;
};

// Looks at one pool again and again; keeps its queue open and remembers the last look, for rates.
class Looker {
 public:
  Looker(Context& context, Place place);
  [[nodiscard]] aio::Task<PoolLook> look(aio::Deadline deadline);
  // Whether rates need a second look: neither the journal nor an earlier look gives them.
  [[nodiscard]] bool rates_missing(const PoolLook& look) const;

 private:
  struct Base {  // what rates are taken against
    WallTime at;
    std::optional<std::int64_t> published_n, acked_n;
  };
  aio::Task<void> look_at_queue(PoolLook* out, aio::Deadline deadline);
  aio::Task<void> look_at_workers(PoolLook* out, aio::Deadline deadline);
  void look_at_journal(PoolLook& out);
  void rates(PoolLook& out);

  Context& context_;
  Place place_;
  JournalTail tail_;
  std::unique_ptr<wiring::QueueClient> queue_;
  std::unique_ptr<queue::BacklogSource> source_;
  std::unique_ptr<fleet::process::ProcessFleet> fleet_;
  std::optional<Base> base_;
};

[[nodiscard]] std::vector<std::unique_ptr<Looker>> lookers_of(Context& context, std::vector<Place> places);

// All pools at once, twice where rates need it.
[[nodiscard]] aio::Task<std::vector<PoolLook>> look_at_all(Context& context, std::vector<std::unique_ptr<Looker>>& all);

// The same as whoever shows it wants it: a line of a table, a line of JSON.
[[nodiscard]] serve::PoolStatus status_of(const PoolLook& look);

// "12→15", "5", "?".
[[nodiscard]] std::string workers_text(const serve::PoolStatus& status);
[[nodiscard]] std::string rate_text(const std::optional<double>& rate);
// The table's lines, heading first, none wider than `columns`; only WHY is cut.
[[nodiscard]] std::vector<std::string> table(const std::vector<serve::PoolStatus>& pools, std::size_t columns);

}  // namespace sluice::app
