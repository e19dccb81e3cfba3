// SPDX-License-Identifier: Apache-2.0
#pragma once
// `sluice scale --dry-run --compare lag,threshold`: what several policies would do with a live pool now, and why. One
// look feeds them all; each has a memory of its own. Nobody obeys them, so each goes by the workers that are there.
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/controller.h"
#include "pool/types.h"

namespace sluice::app {

// "lag=30s,threshold": a policy's word, and the number that it is known by. Without one it is the pool's own policy
// where that is of this kind, else what `help` of the flag says.
struct Wanted {
  std::string word;
  std::optional<std::string> value;
};
// Code::invalid names the word and those that are accepted.
[[nodiscard]] Result<std::vector<Wanted>> parse_compare(std::string_view text);

class Comparison {
 public:
  // Code::invalid where a value is none, or the pool cannot have that policy.
  [[nodiscard]] static Result<Comparison> of(const pool::PoolSpec& spec, const std::vector<Wanted>& wanted);

  // Those of the pool's own kind begin with what a scaler of it would begin with.
  void begin(const control::ControlState& own);
  // Decides for each policy. True: one of them says something else than at the last look that did.
  [[nodiscard]] bool look(const model::Observation& seen);
  // Of the last look: a table, its reasons wrapped to `columns` (0: not). Lines with ends.
  [[nodiscard]] std::string text(WallTime at, const model::Observation& seen, int columns, bool colour) const;
  // One JSON object, without an end.
  [[nodiscard]] std::string json(WallTime at, std::string_view pool, const model::Observation& seen) const;

 private:
  struct One {
    std::string name;  // "lag 30s"
    pool::PoolSpec spec;
    control::ControlState state;
    model::Decision decision;
  };
  std::size_t own_kind_ = 0;  // index of the pool's own policy among all
  std::vector<One> all_;
  std::vector<std::pair<std::string, std::int64_t>> told_;  // word and workers
};

}  // namespace sluice::app
