// SPDX-License-Identifier: Apache-2.0
#include "app/event_pace.h"

#include <algorithm>
#include <chrono>

namespace sluice::app {

bool EventPace::trouble(std::string_view word) {
  return word == "blind" || word == "broken" || word == "full";
}

bool EventPace::take(std::string_view word, Time now) {
  if (word != "hold") {
    holds_since_.reset();
  } else if (!holds_since_) {
    holds_since_ = now;
  }
  if (word == last_ || (holds_since_ && now - *holds_since_ < hold_is_news)) {
    return false;
  }
  if (last_.empty()) {
    filled_ = now;
    if (!trouble(word)) {
      last_ = word;
      return false;
    }
  }
  left_ = std::min(at_once, left_ + std::chrono::duration<double>(now - filled_) / std::chrono::duration<double>(each));
  filled_ = now;
  if (left_ < (trouble(word) ? 1 : 1 + kept_for_trouble)) {
    return false;  // it is told when there is room again and it is still so
  }
  left_ -= 1;
  last_ = word;
  return true;
}

}  // namespace sluice::app
