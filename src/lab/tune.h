// SPDX-License-Identifier: Apache-2.0
#pragma once
// The cheapest setting that meets a target. Nothing is assumed of how cost and waiting follow the setting: what is
// simulated is noisy, and some policies are cheapest in the middle. So a coarse grid is tried as a whole and refined
// around the best of it; not a bisection, which one odd run would send to the wrong half.
//
// Pure: next() says what to try, tell() takes what came of it, so that whoever runs them can run many at a time.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "lab/outcome.h"

namespace sluice::lab {

// --- what is asked for

// Of the means over the seeds, `most` of all seeds. At least one is set.
struct Target {
  std::optional<Duration> p50, p95, p99, most;
  std::optional<double> late_share;
};
// From words as "p99=60s", "max=5m", "late=0.5%".
[[nodiscard]] Result<Target> parse_target(const std::vector<std::string>& words);
// "p99 at most 60s and at most 1 % late".
[[nodiscard]] std::string to_text(const Target& target);

struct Score {
  double excess = 0;  // 0: meets the target; else how many times the worst of what is asked for is exceeded, above 1
  double cost = 0;
  friend bool operator==(const Score&, const Score&) = default;
};
[[nodiscard]] Score score_of(const Target& target, const Means& means);
// Cheaper among those that meet the target, else nearer to it.
[[nodiscard]] bool better(const Score& one, const Score& other);

// --- the search

struct GridPoint {
  std::int64_t value = 0;
  int level = 0;  // 0 is tried everywhere, 1 around the two best of these, 2 around the two best of all those
};
using Grid = std::vector<GridPoint>;  // rising
// Whole numbers 1..limit of two digits and zeros; level 0 begins with 1, 2 or 5, level 1 are ten steps a decade.
// `finest`: the highest level in it.
[[nodiscard]] Grid count_grid(std::int64_t limit, int finest);
// As people say times, in milliseconds: 1 s .. 1 h.
[[nodiscard]] Grid time_grid(int finest);

using Setting = std::vector<std::int64_t>;  // a value for each grid

struct Trial {
  Setting setting;
  Score score;
};

class Search {
 public:
  // At least one grid, each with a point of level 0.
  explicit Search(std::vector<Grid> grids);

  // What to try now; empty: it is over. Until it is told, the same again.
  [[nodiscard]] const std::vector<Setting>& next();
  // What came of it, in the same order.
  void tell(const std::vector<Score>& scores);

  // In the order in which they were tried.
  [[nodiscard]] const std::vector<Trial>& tried() const { return tried_; }
  // Of tried(); the first in the order of the settings where some are as good. Requires: something was told.
  [[nodiscard]] std::size_t best() const { return best_; }

 private:
  // The values of this level and those before on both sides of one.
  [[nodiscard]] std::vector<std::int64_t> about(const Grid& grid, std::int64_t value) const;
  // All combinations of a value for each grid.
  void add_untried(const std::vector<std::vector<std::int64_t>>& values);
  [[nodiscard]] bool better_trial(std::size_t one, std::size_t other) const;

  std::vector<Grid> grids_;
  std::vector<Trial> tried_;
  std::size_t best_ = 0;
  std::size_t second_ = 0;
  std::vector<Setting> next_;
  int level_ = 0;
  int finest_ = 0;
};

}  // namespace sluice::lab
