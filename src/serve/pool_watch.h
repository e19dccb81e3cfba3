// SPDX-License-Identifier: Apache-2.0
#pragma once
// What is counted of one pool while somebody scales it: decisions, starts, what its workers say they have done.
//
// Fed with every tick's snapshot. Counters begin when the watch does: workers found at the first look, and what they
// had done before it, are not counted again. Bounded by the workers that one view shows.
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "control/controller.h"
#include "serve/exposition.h"
#include "serve/pool_status.h"

namespace sluice::serve {

inline constexpr std::size_t decision_words = 8;  // model::Word

class PoolWatch {
 public:
  PoolWatch(std::string id, std::int64_t max, PoolStatus::Scaler scaler);

  // `snapshot` outlives the watch: it is the controller's own, looked at again whenever somebody asks.
  void ticked(const control::Snapshot& snapshot);
  // It cannot be scaled, and why.
  void refused(std::string why) { refusal_ = std::move(why); }

  [[nodiscard]] PoolStatus status(WallTime now) const;

  [[nodiscard]] std::string_view space() const;
  [[nodiscard]] std::string_view name() const;
  [[nodiscard]] bool accepted() const { return refusal_.empty(); }
  [[nodiscard]] std::int64_t max() const { return max_; }
  // Of the last tick; null before the first.
  [[nodiscard]] const control::Snapshot* last() const { return last_; }
  // Whether the counts of workers in it are of now: what was seen once and cannot be read since is unknown after a
  // while.
  [[nodiscard]] bool workers_known() const;
  [[nodiscard]] std::int64_t ticks() const { return ticks_; }
  [[nodiscard]] std::int64_t unrecorded() const { return unrecorded_; }
  [[nodiscard]] std::int64_t decisions(model::Word word) const { return decisions_[static_cast<std::size_t>(word)]; }
  [[nodiscard]] const Histogram& tick_durations() const { return tick_durations_; }

  struct Starts {
    std::int64_t started = 0;
    std::int64_t failed = 0;   // ended before it had started
    std::int64_t refused = 0;  // the fleet took no new worker
  };
  [[nodiscard]] const Starts& starts() const { return starts_; }
  [[nodiscard]] const Histogram& startups() const { return startups_; }
  // Empty counts until a worker has said something of what it does.
  [[nodiscard]] bool messages_known() const { return messages_known_; }
  [[nodiscard]] const model::Tally& messages() const { return messages_; }
  [[nodiscard]] const Histogram& waits() const { return waits_; }
  [[nodiscard]] const Histogram& works() const { return works_; }

 private:
  struct Life {          // of one start of a worker
    bool found = false;  // it was there at the first look
    bool started = false;
    bool ended = false;
    model::SaidTally tally;  // what of it is counted
    std::int64_t look = 0;   // the last one that showed it
  };
  void see_workers(const model::FleetView& view);
  Life& life_of(const std::string& id);
  void take(Life& life, const model::SaidTally& tally);
  void count_refused(const control::Snapshot& snapshot);
  void take_rates(const control::Snapshot& snapshot);

  const std::string id_;
  const std::int64_t max_;
  const PoolStatus::Scaler scaler_;
  std::string refusal_;
  const control::Snapshot* last_ = nullptr;
  std::int64_t ticks_ = 0;
  std::int64_t unrecorded_ = 0;
  std::array<std::int64_t, decision_words> decisions_{};
  Histogram tick_durations_;
  std::map<std::string, Life> lives_;
  std::int64_t look_ = 0;
  Starts starts_;
  Histogram startups_;
  bool messages_known_ = false;
  model::Tally messages_;  // its durations are in the histograms
  Histogram waits_;
  Histogram works_;
  struct Base {  // what rates are taken against
    std::int64_t at_ms = 0;
    std::optional<std::int64_t> published_n, acked_n;
  };
  std::optional<Base> base_;
  std::optional<double> in_per_s_, out_per_s_;
};

}  // namespace sluice::serve
