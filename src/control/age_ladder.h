// SPDX-License-Identifier: Apache-2.0
#pragma once
// How old the oldest waiting message is, by the best rung the source offers: what the source itself says (exact or
// reported), else a first-in-first-out estimate from cumulative counts, else the bound "has not been empty since".
#include <optional>
#include <vector>

#include "model/sample.h"

namespace sluice::control {

class AgeLadder {
 public:
  // Remembers the sample and returns its age of the oldest message; empty when nothing at all is known. Samples come in
  // order of time.
  [[nodiscard]] std::optional<model::OldestAge> climb(const model::Sample& sample);

 private:
  struct Mark {
    Time at;
    std::int64_t published_n;
  };
  [[nodiscard]] std::optional<model::OldestAge> estimate(const model::Reading& ready) const;

  std::vector<Mark> marks_;              // cumulative publishes over time, thinned to marks_max
  Time estimated_at_ = Time::min();      // of the published count
  std::optional<Time> not_empty_since_;  // no reading since then said 0
  bool told_before_ = false;             // the source knows ages: when it is silent, only redelivered messages wait
};

}  // namespace sluice::control
