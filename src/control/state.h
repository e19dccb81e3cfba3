// SPDX-License-Identifier: Apache-2.0
#pragma once
// What deciding remembers between ticks, all of it: written to the journal, so that any later tick can be run again.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "policy/hpa.h"
#include "policy/lag_memory.h"
#include "rivals/state.h"

namespace boost::json {
class value;
}

namespace sluice::control {

struct BrokenState {
  std::int64_t since_ms = 0;
  std::int64_t next_probe_ms = 0;
  std::int64_t probes = 0;
  friend bool operator==(const BrokenState&, const BrokenState&) = default;
};

// The policy hpa.
struct HpaMemory {
  policy::HpaState controller;
  std::int32_t wanted = 0;  // the size that it set at its last sync
  std::int64_t synced_ms = 0;
  friend bool operator==(const HpaMemory&, const HpaMemory&) = default;
};

// The policy lag. Shared, as it is large and a state is copied often, and never changed; equal when its values are.
class LagHeld {
 public:
  // A memory that has not seen anything where there is none.
  [[nodiscard]] const policy::LagMemory& get() const;
  [[nodiscard]] bool empty() const { return memory_ == nullptr; }
  // Keeps what it has where `next` is equal to it.
  void set(policy::LagMemory next);
  friend bool operator==(const LagHeld& a, const LagHeld& b) {
    return a.memory_ == b.memory_ || (a.empty() == b.empty() && a.get() == b.get());
  }

 private:
  std::shared_ptr<const policy::LagMemory> memory_;
};

// Times are at_ms of the same boot of the machine.
struct ControlState {
  bool fresh = false;                         // a scaler that has not ticked yet
  std::optional<std::int64_t> hold_until_ms;  // a new scaler that found workers looks once before it adds to them
  std::optional<std::int64_t> blind_since_ms;
  std::optional<BrokenState> broken;
  std::optional<std::int64_t>
      spare_since_ms;                       // a Deployment has had more workers than it needs; written where it is so
  std::optional<HpaMemory> hpa;             // written where there is one
  LagHeld lag;                              // the same
  std::optional<rivals::RivalState> rival;  // the same
  friend bool operator==(const ControlState&, const ControlState&) = default;
};

void append_json(std::string& out, const ControlState& state);
// The exact inverse; JSON null is a default state. Code::invalid with the path otherwise.
[[nodiscard]] Result<ControlState> state_from_json(const boost::json::value& json, const std::string& path);

}  // namespace sluice::control
