// SPDX-License-Identifier: Apache-2.0
#pragma once
// The record of ticks, JSON lines, version 1: production log, golden test, history and simulator output in one format.
//
// A tick line is written before anybody acts, so the journal explains even a crash. Steady ticks that changed nothing
// are folded into one line; folding never hides a change of state, so a replay of the unfolded ticks sees the same
// bits.
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/state.h"
#include "model/decision.h"
#include "model/observation.h"

namespace sluice::control {

// Where lines go. write() takes a line without its end.
class JournalSink {
 public:
  virtual ~JournalSink() = default;
  virtual Result<void> write(std::string_view line) = 0;
  // True once whenever the next line is the first of a file: the journal then begins it with pool and state.
  virtual bool at_start_of_file() = 0;
  // What deciding remembers before the tick whose line comes next.
  virtual void remembers(const ControlState& /*before*/) {}
};

struct TickRecord {
  WallTime at;
  const model::Observation& seen;
  const ControlState& before;
  const ControlState& after;
  const model::Decision& decision;
  const model::Plan& plan;
};

struct ActRecord {
  std::vector<std::string> started, withdrawn, drained;  // worker names
  std::vector<std::string> errors;                       // "orders-w4: ..."
};

class Journal {
 public:
  // `spec_json` is the pool's whole spec, canonical; `boot` distinguishes this run of the scaler in tick ids
  // "<boot>-<n>".
  Journal(JournalSink& sink, std::string pool_id, std::string spec_json, std::string boot);

  // Records one tick; returns its id. On an Error nothing may be acted on: a decision without a line never happens.
  [[nodiscard]] Result<std::string> tick(const TickRecord& record);
  [[nodiscard]] Result<void> act(const std::string& tick, const ActRecord& did);
  // Writes what is still folded. Call at the end.
  [[nodiscard]] Result<void> flush();
  // The spec changed: the next tick begins with a new pool line.
  void change(std::string spec_json);
  [[nodiscard]] const std::string& spec_hash() const { return spec_hash_; }

 private:
  struct Folded {
    WallTime from, to;
    std::int64_t ticks = 0;
    std::optional<std::int64_t> ready_min, ready_max;
    std::int64_t since_ms = 0;
  };
  bool foldable(const TickRecord& record) const;
  void fold(const TickRecord& record);
  Result<void> begin(const TickRecord& record);
  Result<void> state_line(const ControlState& state, const std::string& tick);

  JournalSink& sink_;
  std::string pool_id_;
  std::string spec_json_;
  std::string spec_hash_;
  std::string boot_;
  std::int64_t ticks_ = 0;
  std::int64_t ticks_since_state_ = 0;
  bool pool_due_ = true;
  std::optional<model::Decision> quiet_;  // the last tick's, if it was one of which the next may be folded
  std::string last_gap_;                  // a tick that finds or loses a part of the picture is not folded away
  std::optional<Folded> folded_;
};

}  // namespace sluice::control
