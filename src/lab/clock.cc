// SPDX-License-Identifier: Apache-2.0
#include "lab/clock.h"

namespace sluice::lab {

WallTime LabClock::wall() const {
  const std::chrono::sys_days epoch{std::chrono::year{2026} / 1 / 1};
  return WallTime{epoch} + std::chrono::milliseconds{agenda_.now() / 1000};
}

// Rounded up, so that a wait never ends early.
Us LabClock::next_wake() {
  const std::optional<Time> at = heap_.next();
  if (!at || *at == Time::max()) {
    return never;
  }
  return std::chrono::ceil<std::chrono::microseconds>(*at - time_of(0)).count();
}

}  // namespace sluice::lab
