// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which of some policies a pool should have, by what each would have cost on its own load and how late its messages
// would have been.
#include <optional>
#include <string>
#include <vector>

#include "lab/outcome.h"

namespace sluice::lab {

struct Candidate {
  Contender contender;
  Means means;       // on the pool's load
  std::string note;  // where it comes from; may be empty
};

struct Advice {
  std::vector<Candidate> candidates;   // the present one first, if there is one
  bool present = false;                // the first one is what the pool has
  double late_limit = late_share_max;  // what the present one has, at least one in a thousand
  std::size_t best = 0;
  bool met = true;  // false: none of them keeps to the limit; the best is the one with the fewest late
  [[nodiscard]] bool change() const { return !present || best != 0; }
  // Of the best by the present one's: 0.18 is 18 % less.
  [[nodiscard]] double saves() const;
};

// The cheapest that is not later than the present one; the present one stays where it is not beaten by saves_least.
// Requires: at least one.
[[nodiscard]] Advice advice_of(std::vector<Candidate> candidates, bool present);
inline constexpr double saves_least = 0.02;        // chosen: less is chance, with another day's load
inline constexpr double late_share_least = 0.001;  // chosen: fewer late ones are chance too

// What the policies are that are worth trying beside the present one, before anything is tuned.
[[nodiscard]] std::vector<Candidate> untuned_candidates(const Scenario& scenario, const std::optional<Means>& present);
// Whether a pool of this spec can have that policy: its queue tells what it needs, its workers can be taken back as it
// wants, and its file would be valid.
[[nodiscard]] bool can_have(const pool::PoolSpec& spec, const pool::Policy& policy);

}  // namespace sluice::lab
