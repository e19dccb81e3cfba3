// SPDX-License-Identifier: Apache-2.0
#pragma once
// The reading half of the journal: lines as values, and running its ticks again. Lines are outside bytes (a crash may
// have torn the last one), so every problem is an Error with the line's place and never a wrong value.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "control/decide.h"
#include "control/journal.h"

namespace sluice::control {

struct PoolLine {
  std::string at, pool, spec_json, spec_hash;
};
struct TickLine {
  std::string tick, at, pool, spec_hash;
  model::Observation seen;
  model::Decision decision;
  model::Plan plan;
};
struct ActLine {
  std::string tick;
  ActRecord did;
};
struct StateLine {
  std::string tick, pool;
  ControlState state;
};
struct SteadyLine {
  std::string pool, from, to;
  std::int64_t ticks = 0;
  std::optional<std::int64_t> ready_min, ready_max;
};
using JournalLine = std::variant<PoolLine, TickLine, ActLine, StateLine, SteadyLine>;

// One line without its end. Code::invalid with "$.path: found; accepted" otherwise.
[[nodiscard]] Result<JournalLine> parse_journal_line(std::string_view line);

// One tick that was run again.
struct Replayed {
  std::string tick;
  bool same = false;
  model::Decision decision;
};

// Runs ticks again, line by line, keeping spec and state as the journal gives them. A tick before any pool and state
// line is Code::invalid.
class Replay {
 public:
  // Reads the pool's spec out of its JSON; handed in because only the app knows every pool feature.
  using ReadSpec = std::function<Result<pool::PoolSpec>(std::string_view spec_json)>;
  explicit Replay(ReadSpec read_spec) : read_spec_(std::move(read_spec)) {}
  // The replayed tick of a tick line, nothing for other lines.
  [[nodiscard]] Result<std::optional<Replayed>> feed(const JournalLine& line);
  // A line is missing: what deciding remembered is unknown until the next state line.
  void gap() { state_.reset(); }

 private:
  ReadSpec read_spec_;
  std::optional<pool::PoolSpec> spec_;
  std::optional<ControlState> state_;
};

}  // namespace sluice::control
