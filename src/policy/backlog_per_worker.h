// SPDX-License-Identifier: Apache-2.0
#pragma once
// One worker for every N messages that wait or run: max(busy, ceil((waiting + claimed) / N)), by claims.
//
// Not ceil(waiting / N) alone, which forgets that busy workers cannot take what waits: 5 waiting and 5 busy with N = 1 is
// 10 workers, not 5.
#include "policy/options.h"

namespace sluice::policy {

// `claimed` is in_flight where that reading is as fresh as ready, else concurrency x workers that have claimed. Holds while
// the backlog is unknown and while the reading is older than the last start. Workers not started yet count as there.
[[nodiscard]] Proposal propose(const BacklogPerWorkerOptions& options, const model::Observation& seen);

}  // namespace sluice::policy
