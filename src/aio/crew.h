// SPDX-License-Identifier: Apache-2.0
#pragma once
// Independent pieces of pure computing on threads of their own: what a sweep of simulations needs and nothing else
// does. The pieces share nothing that changes; every answer comes back through the loop.
#include <cstddef>
#include <functional>

#include "aio/clock.h"
#include "aio/loop.h"

namespace sluice::aio {

struct CrewWork {
  std::size_t pieces = 0;
  std::size_t threads = 1;
  std::function<void(std::size_t piece)> work;  // on one of the threads; the pieces in order, as threads get free
  std::function<void(std::size_t piece)> done;  // on the loop, after it
};

// Returns when all pieces are done. Cancelled, it begins no further one, and waits for those that are being worked on.
[[nodiscard]] Task<void> work_together(Loop& loop, Clock& clock, CrewWork what);

}  // namespace sluice::aio
