// SPDX-License-Identifier: Apache-2.0
#pragma once
// What to do and why, in words an operator reads. Every clamp that changed the number is listed, in order.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::model {

// The closed vocabulary every reason begins with.
enum class Word { grow, hold, shrink, steady, paused, blind, full, broken };
[[nodiscard]] std::string_view word(Word w);

struct Clamp {
  std::string by;  // max, min, surge, capacity, broken, leader
  std::int64_t from = 0;
  std::int64_t to = 0;
  friend bool operator==(const Clamp&, const Clamp&) = default;
};

struct Decision {
  std::int64_t workers = 0;  // desired, after all clamps
  std::int64_t change = 0;   // against the workers there are
  std::string reason;        // "grow: 37 messages wait, more than 20"
  std::vector<Clamp> clamps;
  friend bool operator==(const Decision&, const Decision&) = default;
};

// The slots to act on. Decided together with the Decision, from the same fleet view.
struct Plan {
  std::vector<int> start;
  std::vector<int> withdraw;
  std::vector<int> drain;
  [[nodiscard]] bool empty() const { return start.empty() && withdraw.empty() && drain.empty(); }
  friend bool operator==(const Plan&, const Plan&) = default;
};

}  // namespace sluice::model
