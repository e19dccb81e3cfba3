// SPDX-License-Identifier: Apache-2.0
#pragma once
// Any Fleet, seen through a bad connection: calls that fail before or after they took effect, answers that come late,
// views of long ago. One per scaler, so that two scalers over one fleet can have different troubles.
#include <cstddef>
#include <deque>
#include <functional>
#include <string>

#include "fleet/fleet.h"

namespace sluice::fleet {

enum class Call { view, start, withdraw, drain };

struct Fault {
  Duration delay_before{0};  // the call takes effect that much later
  Duration delay_after{0};   // and its answer comes that much later still: a view is then as old as its answer is late
  bool fail_before = false;  // Code::retry, nothing happened
  bool fail_after = false;   // Code::retry, but it took effect: the lost reply
  std::size_t stale = 0;     // view only: the answer of that many views ago, with its own, older observed_at
};

class FaultyFleet final : public Fleet {
 public:
  // `draw` is asked before every call; slot is -1 for a view. `inner`, `clock` outlive this.
  FaultyFleet(Fleet& inner, aio::Clock& clock, std::function<Fault(Call call, int slot)> draw);

  aio::Task<Result<model::FleetView>> view(aio::Deadline deadline) override;
  aio::Task<Result<void>> start(int slot, bool stays_when_idle, aio::Deadline deadline) override;
  aio::Task<Result<void>> withdraw(int slot, std::string id, aio::Deadline deadline) override;
  aio::Task<Result<void>> drain(int slot, std::string id, aio::Deadline deadline) override;

 private:
  [[nodiscard]] aio::Task<Result<void>> before(Fault fault, aio::Deadline deadline);
  [[nodiscard]] aio::Task<Result<void>> after(Fault fault, aio::Deadline deadline);
  [[nodiscard]] aio::Task<bool> delay(Duration by, aio::Deadline deadline);

  Fleet& inner_;
  aio::Clock& clock_;
  std::function<Fault(Call, int)> draw_;
  std::deque<model::FleetView> seen_;  // newest in front, at most views_kept
};

}  // namespace sluice::fleet
