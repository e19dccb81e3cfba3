// SPDX-License-Identifier: Apache-2.0
#pragma once
// All that one process can tell of its pools and of itself: what /metrics and /api/v1 read, and what the controller and
// the local scaler write.
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "aio/clock.h"
#include "aio/task.h"
#include "control/journal_ring.h"
#include "serve/pool_watch.h"

namespace sluice::serve {

struct BoardOptions {
  std::string role;  // controller or scale
  std::string version;
  std::string installation;  // who we are, whichever of our replicas acts; empty for scale
  PoolStatus::Scaler scaler;
  control::RingLimits ring = {};
};

class Board {
 public:
  explicit Board(BoardOptions options);

  // From here until forget() the pool is shown. Replaces what was known of it.
  PoolWatch& take_on(const std::string& pool, std::int64_t max);
  void refuse(const std::string& pool, std::string why);
  // Its series and its journal lines end. Before what the watch was fed from goes.
  void forget(const std::string& pool);

  // Whether we act. Who does not shows no pools; empty: we do.
  void stands_by(std::string why) { stands_by_ = std::move(why); }
  [[nodiscard]] const std::string& standing_by() const { return stands_by_; }
  // A request of ours was answered: target kubernetes or queue, code a status, an error's word or ok.
  void answered(std::string_view target, std::string_view code);
  void stalled(Duration d) { stalls_.add(d); }

  [[nodiscard]] const std::map<std::string, std::unique_ptr<PoolWatch>>& pools() const { return pools_; }
  [[nodiscard]] const std::map<std::pair<std::string, std::string>, std::int64_t>& requests() const {
    return requests_;
  }
  [[nodiscard]] const Histogram& stalls() const { return stalls_; }
  [[nodiscard]] const BoardOptions& options() const { return options_; }
  [[nodiscard]] control::JournalRing& ring() { return ring_; }
  [[nodiscard]] const control::JournalRing& ring() const { return ring_; }

 private:
  const BoardOptions options_;
  std::map<std::string, std::unique_ptr<PoolWatch>> pools_;
  std::string stands_by_;
  std::map<std::pair<std::string, std::string>, std::int64_t> requests_;  // bounded: both are closed vocabularies
  Histogram stalls_;
  control::JournalRing ring_;
};

// A tick of a pool's controller, told to its watch and counted as a request to its queue.
void ticked(Board& board, PoolWatch& watch, const control::Snapshot& snapshot);

// Measures how late the loop is, until cancelled.
[[nodiscard]] aio::Task<void> watch_stalls(aio::Clock& clock, Board& board);

}  // namespace sluice::serve
