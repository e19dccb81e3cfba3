// SPDX-License-Identifier: Apache-2.0
#pragma once
// How a worker's end counts. One rule for every fleet, so that "failed" means the same to the pool's health everywhere.
#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.h"
#include "model/fleet_view.h"

namespace sluice::fleet {

struct EndFacts {
  std::optional<int> exit_code = std::nullopt;  // empty: not known, or ended by a signal
  int signal = 0;                               // the signal that ended it; 0: none, or not known
  bool from_outside = false;                    // evicted, or its node is gone
  std::int64_t settled = 0;                     // messages it settled, by its last words
  bool was_ready = false;
  Duration ran{0};  // 0 when not known
};

// succeeded: exit 0. lost: killed from outside, or ended in error after it settled a message. failed: any other error.
// A signal that a program raises by its own fault (SIGSEGV, SIGABRT, ..) is an error, every other one comes from
// outside.
[[nodiscard]] model::EndKind end_kind(const EndFacts& facts);

// Was ready, or succeeded, or ran at least 10 s (design, "started").
[[nodiscard]] bool has_started(const EndFacts& facts);

// Where a worker may be started, the slot whose worker ended longest ago in front, so that the ends of the others stay
// readable; never used ones first, by number. `last_end` holds the free slots alone.
struct FreeSlot {
  int slot = 0;
  std::optional<Time> last_end;
};
[[nodiscard]] std::vector<int> in_order_of_use(std::vector<FreeSlot> free);

}  // namespace sluice::fleet
