// SPDX-License-Identifier: Apache-2.0
#pragma once
// Picks the ticks to explain, and what belongs to them, out of a journal's lines.
//
// Lines are kept as text and read only when asked for: a journal holds 64 MiB, an explanation needs a hundred lines of
// it.
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/explain.h"

namespace sluice::control {

// Which tick: the one with this id, else the last one not after this time, else the last one.
struct Ask {
  std::optional<std::string> tick;
  std::optional<WallTime> at;
  std::size_t last = 1;  // that many ticks up to it
};

class Story {
 public:
  explicit Story(Ask ask) : ask_(std::move(ask)) {}

  // The next line of the journal, oldest file first, without its end. False: no later line can matter.
  bool feed(std::string_view line);
  // Whether the tick asked for was among the lines.
  [[nodiscard]] bool found() const { return ask_.tick ? matched_ : ticks_ > 0; }

  // The latest pool line, as it is in the file; empty when there was none.
  [[nodiscard]] const std::string& latest_pool_line() const { return latest_pool_line_; }
  // Whether there was any line at all.
  [[nodiscard]] bool empty() const { return pool_line_.empty() && entries_.empty(); }

  // Oldest first, at most `last`. Lines that cannot be read are left out; `problems` then says which.
  [[nodiscard]] Result<std::vector<Told>> tell(const Replay::ReadSpec& read_spec,
                                               std::vector<std::string>* problems = nullptr) const;

 private:
  enum class Event { pool, tick, act, state, steady, other };
  struct Entry {
    Event event;
    std::string line;
  };
  static Event event_of(std::string_view line);
  [[nodiscard]] bool after_the_end(std::string_view tick_line) const;
  void forget_what_is_not_needed();

  Ask ask_;
  std::string pool_line_;  // the spec in force at the first entry
  std::string latest_pool_line_;
  std::deque<Entry> entries_;  // from a state line on
  std::size_t ticks_ = 0;      // among them
  bool matched_ = false;
  bool over_ = false;
};

}  // namespace sluice::control
