// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which decisions of a pool become events of the cluster: those that say something new, and never a flood.
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"

namespace sluice::app {

class EventPace {
 public:
  // Chosen: a pool that flaps says so ten times, then once a minute; trouble is still told when the rest is not.
  static constexpr double at_once = 10;
  static constexpr double kept_for_trouble = 3;
  static constexpr Duration each{std::chrono::minutes{1}};
  // Chosen: a pool that waits for its last worker says `hold` after every step; that it waits this long is news.
  static constexpr Duration hold_is_news{std::chrono::minutes{1}};

  // Whether a decision with this first word (of the closed vocabulary) is told, at `now`. Of the first one after a
  // start only trouble is: what was so before is no news.
  [[nodiscard]] bool take(std::string_view word, Time now);
  // blind, broken, full: what somebody should look at.
  [[nodiscard]] static bool trouble(std::string_view word);

 private:
  std::string last_;
  std::optional<Time> holds_since_;
  double left_ = at_once;
  Time filled_ = Time::min();
};

}  // namespace sluice::app
