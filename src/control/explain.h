// SPDX-License-Identifier: Apache-2.0
#pragma once
// Why a pool is as it is: one tick of the journal, told in the order in which it was decided.
//
// Pure, and from the journal alone, so that a decision of last night can be explained as well as the last one. Nothing
// is guessed: what would change the number is found by deciding again with that one thing changed.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/journal_read.h"

namespace sluice::control {

// A tick and the lines that belong to it; see control/story.h.
struct Told {
  pool::PoolSpec spec;
  TickLine tick;
  std::optional<ControlState> before;  // what deciding remembered; empty: the journal has a gap before the tick
  std::optional<ActRecord> did;        // empty: nothing was to be done, or the scaler ended before it was done
  std::optional<TickLine> earlier;     // of the same scaler, for rates
  std::int64_t steady_ticks = 0;       // folded after it
  std::string steady_to;               // time of the last of them
};

struct SeenFact {
  std::string what;                    // "ready", "in flight", "oldest"
  std::string value;                   // "371", "48 s"; "?" is unknown
  std::optional<std::int64_t> n;       // messages, or milliseconds for an age; empty: unknown
  std::optional<std::int64_t> age_ms;  // of the reading
  std::string kind;                    // of an age: exact, reported, estimate, bound
};

struct ExplainedClamp {
  model::Clamp clamp;
  std::string why;  // "workers.max is 15"
};

struct Explanation {
  std::string pool, tick, at;
  std::string word, sentence;  // the decision's reason, in two
  std::int64_t had = 0;        // useful workers before
  std::int64_t wants = 0;
  std::vector<SeenFact> seen;
  std::string workers;                        // "12 workers: 11 busy, 1 starting"
  std::optional<double> in_per_s, out_per_s;  // since an earlier tick
  std::vector<std::string> waiting;           // workers that have not started, and why
  std::vector<std::string> unknown;           // why something could not be read
  std::vector<std::string> needed;            // the policy's arithmetic
  std::vector<ExplainedClamp> clamps;         // in the order in which they changed the number
  model::Plan plan;
  std::optional<ActRecord> did;
  std::optional<std::int64_t> next_look_ms;  // after the tick; empty: adaptive
  std::vector<std::string> would_change;
  std::int64_t steady_ticks = 0;
  std::string steady_to;
};

[[nodiscard]] Explanation explain(const Told& told);

// For people, lines of at most `columns`, each with its end. `now`, if given, turns the tick's time into an age.
[[nodiscard]] std::string to_text(const Explanation& explanation, std::optional<WallTime> now, std::size_t columns);
// One line of it: "14:02:30  grow    37 messages wait, more than 20: asked for orders-w4".
[[nodiscard]] std::string to_history_line(const Explanation& explanation, std::size_t columns);
// One JSON object.
void append_json(std::string& out, const Explanation& explanation, std::optional<WallTime> now);

// Text from a journal as a terminal may show it: no control and no direction-changing characters.
[[nodiscard]] std::string printable(std::string_view text);
// At most `columns` characters, the last of them "…" when something was cut.
[[nodiscard]] std::string cut(std::string_view text, std::size_t columns);
// Characters, not bytes; the East Asian double width is not looked at.
[[nodiscard]] std::size_t width(std::string_view text);

}  // namespace sluice::control
