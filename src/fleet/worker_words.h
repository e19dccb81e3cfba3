// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a worker says of itself: the answer of GET /worker and the last words, as in the machine contracts. Foreign
// programs may speak it too, so nothing but `state` is required, and what is not understood is not guessed.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "model/fleet_view.h"

namespace sluice::fleet {

struct WorkerWords {
  model::WorkerState state = model::WorkerState::ready;  // ready, busy, idle, draining; gone reads as terminating
  std::string worker;                                    // its name; empty when not said
  int handling = 0;
  std::optional<WallTime> first_claim_at;
  std::int64_t settled = 0;  // done, retried, failed and dead-lettered; what was requeued is not settled
  model::SaidTally tally;    // null when it says nothing of what it has done
  std::string reason;
};
// Empty for anything but a JSON object with a known state. At most 64 KiB are looked at.
[[nodiscard]] std::optional<WorkerWords> parse_words(std::string_view text);

// One line for people out of any text: the last one that is not blank, without control characters or broken UTF-8, at
// most 300 bytes.
[[nodiscard]] std::string last_line(std::string_view text);

}  // namespace sluice::fleet
