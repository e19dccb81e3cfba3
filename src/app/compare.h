// SPDX-License-Identifier: Apache-2.0
#pragma once
// What several policies would do now about the same look at a live pool, and why: `scale --dry-run --compare`.
//
// One look serves all of them, so that they differ in nothing else and the broker is asked once. Each keeps its memory
// from look to look; workers are those that are there, whoever started them.
#include <optional>
#include <string>
#include <vector>

#include "control/controller.h"

namespace sluice::app {

struct CompareOptions {
  std::vector<std::string> policies;  // words of a pool file
  std::optional<Duration> late;       // a message that waits longer is late
  std::optional<Duration> service;    // how long a worker has a message
};

// "lag,threshold": each once. Code::invalid with what is accepted.
[[nodiscard]] Result<std::vector<std::string>> parse_compare(const std::string& text);
// Whether this pool's queue tells what each of them needs. Code::invalid with what would help.
[[nodiscard]] Result<void> comparable(const pool::Pool& pool, const CompareOptions& options);

// One of them, with what it made of the last look.
struct Compared {
  std::string name;  // "lag 30s"
  bool own = false;  // the pool's own policy
  pool::PoolSpec spec;
  control::ControlState state;
  control::Step step;
  model::Plan plan;
};

class Comparison {
 public:
  // A policy of the pool's own kind is the pool's own, and begins with `own`; the others have usual numbers. Requires:
  // comparable(pool, options).
  Comparison(const pool::Pool& pool, const CompareOptions& options, const control::ControlState& own);

  void look(const control::Snapshot& snapshot);
  [[nodiscard]] const std::vector<Compared>& all() const { return all_; }
  // "lag 30s, threshold 20"
  [[nodiscard]] std::string names() const;
  // What was assumed for want of better, each a line for people.
  [[nodiscard]] const std::vector<std::string>& assumed() const { return assumed_; }

  // Of the last look: one JSON line each, without ends.
  [[nodiscard]] std::vector<std::string> json() const;
  // A table of it, lines with ends, reasons wrapped to `columns` (0: not). Empty where it says what the last one said.
  [[nodiscard]] std::string news(int columns, bool colour);

 private:
  void add(const pool::Policy& policy, const pool::Pool& pool, const control::ControlState& own);

  std::string pool_;  // namespace/name
  std::string name_;
  std::vector<Compared> all_;
  std::vector<std::string> assumed_;
  control::Snapshot last_;
  std::string told_;          // decisions of the last table
  std::string told_reasons_;  // with their sentences
  WallTime told_at_;
  bool begun_ = false;  // a table was told
};

}  // namespace sluice::app
