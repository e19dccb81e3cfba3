// SPDX-License-Identifier: Apache-2.0
#pragma once
// Grow by `step` while too many messages wait, or one has waited too long, and the previous worker has started.
//
// Pure: time arrives as ages in the Observation, the reason leaves in the Proposal. Never shrinks: workers leave by
// themselves when the queue stays empty.
#include <string>

#include "policy/options.h"

namespace sluice::policy {

// The arithmetic of one proposal, for whoever explains it.
struct ThresholdTerms {
  std::int64_t covered = 0;  // of the messages that wait, those that ready workers are about to take
  bool messages_trigger = false;
  bool age_trigger = false;
  std::string age_unused;  // why an age beyond the limit does not trigger
};
[[nodiscard]] ThresholdTerms terms(const ThresholdOptions& options, const model::Observation& seen);

// Holds while the backlog is unknown, while a worker that was asked for has not started, and while the reading is older
// than the last start. A worker that is ready but has not claimed yet covers `concurrency` waiting messages. An age
// that is only a bound triggers while the queue is known to have no consumer, and is otherwise shown, not used.
[[nodiscard]] Proposal propose(const ThresholdOptions& options, const model::Observation& seen);

}  // namespace sluice::policy
