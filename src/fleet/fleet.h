// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "aio/clock.h"
#include "aio/task.h"
#include "base/result.h"
#include "model/fleet_view.h"

namespace sluice::fleet {

// Where a pool's workers run. Implementations pass fleet/conformance.h, the in-memory one included.
class Fleet {
 public:
  virtual ~Fleet() = default;
  // Never throws (cancellation apart). A fleet that cannot be read whole is an Error: a partial view creates nothing.
  virtual aio::Task<Result<model::FleetView>> view(aio::Deadline deadline) = 0;
  // Asks for a worker in `slot`. Idempotent: a live worker there is success. An Error may or may not have started it.
  // Code::throttled means the fleet is full and says why. `idle_exit` off for slots below `min`.
  virtual aio::Task<Result<void>> start(int slot, bool stays_when_idle, aio::Deadline deadline) = 0;
  // Takes back a worker that never got a place, only if it still has none: Code::conflict means it got one meanwhile
  // and was left alone, Code::gone that it is not there. `id` is the one of the view that decided.
  virtual aio::Task<Result<void>> withdraw(int slot, std::string id, aio::Deadline deadline) = 0;
  // Asks a worker to finish what it has and leave. Code::gone when it already left,
  // Code::conflict when it does not run yet and so cannot hear.
  virtual aio::Task<Result<void>> drain(int slot, std::string id, aio::Deadline deadline) = 0;
};

}  // namespace sluice::fleet
