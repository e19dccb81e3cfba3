// SPDX-License-Identifier: Apache-2.0
#pragma once
// So many calls a minute and no more, some of them at once: a token bucket.
#include <algorithm>

#include "base/time.h"

namespace sluice::gcp {

class CallBudget {
 public:
  CallBudget(double calls_per_minute, double burst) : each_minute_(calls_per_minute), burst_(burst), left_(burst) {}
  // Takes one call; returns how long to wait before it is made.
  [[nodiscard]] Duration take(Time now) {
    left_ = std::min(burst_, left_ + to_s(now - at_) * each_minute_ / 60.0);
    at_ = now;
    left_ -= 1;
    return left_ >= 0
               ? Duration{0}
               : std::chrono::duration_cast<Duration>(std::chrono::duration<double>(-left_ * 60.0 / each_minute_));
  }
  // The last call was not made after all.
  void give_back() { left_ += 1; }

 private:
  double each_minute_;
  double burst_;
  double left_;
  Time at_{};
};

}  // namespace sluice::gcp
