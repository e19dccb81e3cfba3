// SPDX-License-Identifier: Apache-2.0
#pragma once
// One worker for every N messages that wait or run: max(busy, ceil((waiting + claimed) / N)), by claims.
//
// Not ceil(waiting / N) alone, which forgets that busy workers cannot take what waits: 5 waiting and 5 busy with N = 1
// is 10 workers, not 5.
#include "policy/options.h"

namespace sluice::policy {

// The arithmetic of one proposal, for whoever explains it.
struct BacklogTerms {
  std::int64_t waiting = 0;
  std::int64_t claimed = 0;   // messages in work
  bool claimed_read = false;  // from a reading of in_flight as fresh as ready, else counted by busy workers
  bool together = false;      // `waiting` is all of them, those in work included: the broker counts them as one
  std::int64_t needed = 0;    // ceil((waiting + claimed) / messages)
};
// Requires: backlog_of(seen).
// The reading that is decided on: what waits, else all messages together; null when neither is known.
[[nodiscard]] const model::SeenCount* backlog_of(const model::Observation& seen);
[[nodiscard]] BacklogTerms terms(const BacklogPerWorkerOptions& options, const model::Observation& seen);

// `claimed` is in_flight where that reading is as fresh as ready, else concurrency x workers that have claimed. Holds
// while the backlog is unknown and while the reading is older than the last start. Workers not started yet count as
// there.
[[nodiscard]] Proposal propose(const BacklogPerWorkerOptions& options, const model::Observation& seen);

}  // namespace sluice::policy
