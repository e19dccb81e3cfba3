// SPDX-License-Identifier: Apache-2.0
#pragma once
// The clock of a simulated world, for the code that must not notice: monotonic time begins at one hour, as under
// aio::VirtualClock, and wall time at 2026-01-01T00:00:00Z.
//
// Not aio::VirtualClock itself, because that one owns the loop over time; here the agenda does, in which a million
// arrivals a second would be a million coroutines too many.
#include <optional>

#include "aio/clock.h"
#include "lab/agenda.h"

namespace sluice::lab {

class LabClock final : public aio::Clock {
 public:
  explicit LabClock(const Agenda& agenda) : agenda_(agenda) {}
  [[nodiscard]] Time now() const override { return time_of(agenda_.now()); }
  [[nodiscard]] WallTime wall() const override;
  void wake_at(Time at, aio::Resumer resumer) override { heap_.push(at, std::move(resumer)); }

  [[nodiscard]] static Time time_of(Us us) { return Time{std::chrono::hours{1} + std::chrono::microseconds{us}}; }
  // When somebody wakes next; `never` when nobody sleeps.
  [[nodiscard]] Us next_wake();
  // Wakes everybody who is due now.
  void wake() { heap_.fire(now()); }

 private:
  const Agenda& agenda_;
  aio::TimerHeap heap_;
};

}  // namespace sluice::lab
