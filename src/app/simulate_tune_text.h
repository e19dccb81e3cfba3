// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

#include "lab/tunable.h"

namespace sluice::app {

// What a search came to: each setting that was tried, in their order, as a policy of its own.
struct TuneOutcome {
  lab::Tuned tuned;
  lab::Target target;
  lab::Outcome outcome;  // its best is the setting found, or the nearest where none meets the target
  std::vector<lab::Setting> settings;
  std::vector<lab::Score> scores;
  [[nodiscard]] bool met() const { return scores[outcome.best].excess == 0; }
};

// A table of the settings, the one found bold and marked, and its YAML; or the nearest one and what bounds it. Lines
// with ends.
[[nodiscard]] std::string tune_text(const TuneOutcome& found, bool colour);
// Its one line beside those of the runs; with its end.
[[nodiscard]] std::string tune_json(const TuneOutcome& found);
// Why no setting of a policy can do better, as far as the scenario tells.
[[nodiscard]] std::vector<std::string> tune_bounds(const TuneOutcome& found);

}  // namespace sluice::app
