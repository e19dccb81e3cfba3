// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a scaler goes on with when it starts again: what the policy lag had learned, from the end of its own journal.
//
// The last state line and the ticks behind it, run again; not a file of its own, which could say something else than
// the journal. Only what was learned of the load is taken over: that starts failed, or that the queue could not be
// read, is seen anew. Nothing here keeps a scaler from starting: what cannot be used is an Error, and it begins anew.
#include <string>
#include <string_view>
#include <vector>

#include "control/state.h"
#include "pool/types.h"

namespace sluice::control {

// Now, by both clocks.
struct Moment {
  std::int64_t at_ms = 0;  // monotonic
  WallTime wall;
};

// Whether a pool has a policy that goes on; for others no journal needs to be read.
[[nodiscard]] bool resumes(const pool::PoolSpec& spec);

// Takes in the lines of one pool's journal from its beginning, in memory for one state and the ticks behind it.
class ResumeReader {
 public:
  // `where` names the line in messages: "journal.jsonl:12".
  void take(std::string_view line, const std::string& where);
  // A state of a scaler that has not ticked yet, with what it had learned. Requires: resumes(spec). Code::gone where
  // the journal has no state; Code::invalid with what is wrong: another pool's, another queue's or policy's, a line
  // that cannot be read behind the last state.
  [[nodiscard]] Result<ControlState> finish(const std::string& pool_id, const pool::PoolSpec& spec, Moment now) const;

 private:
  struct Line {
    std::string text, where;
  };
  Line pool_, state_;
  std::vector<Line> ticks_;  // behind the state
  std::string bad_;          // where, behind the state
};

}  // namespace sluice::control
