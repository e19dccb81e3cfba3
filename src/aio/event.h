// SPDX-License-Identifier: Apache-2.0
#pragma once
// Event: "something changed, look again". Level, not edge: whoever waits re-reads the world afterwards.
#include <vector>

#include "aio/clock.h"

namespace sluice::aio {

class Event {
 public:
  explicit Event(Clock& clock) : clock_(clock) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  // Wakes everybody who waits now. A notify with nobody waiting is remembered once, for the next wait().
  void notify();
  // Returns Wake::ready on a notify (or a remembered one), Wake::timeout at the deadline.
  [[nodiscard]] Task<Wake> wait(Deadline deadline);

 private:
  Clock& clock_;
  std::vector<Resumer> waiters_;
  bool remembered_ = false;
};

}  // namespace sluice::aio
