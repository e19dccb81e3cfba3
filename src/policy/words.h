// SPDX-License-Identifier: Apache-2.0
#pragma once
// Phrases that several policies and clamps use, so that the same fact always reads the same.
#include <string>

#include "model/observation.h"

namespace sluice::policy {

// "1 message waits", "37 messages wait".
[[nodiscard]] std::string messages_wait(std::int64_t n);
// "1 worker", "5 workers".
[[nodiscard]] std::string workers(std::int64_t n);
// "orders-w0 has been starting for 10 s (pulling the image)", of the longest waiting worker that has not started.
[[nodiscard]] std::string who_is_starting(const model::Observation& seen);
// "backlog unknown: connection refused".
[[nodiscard]] std::string unknown_backlog(const model::Observation& seen);
// True when the backlog was read before the last worker was asked for: growing on it could start a second worker for
// the same messages.
[[nodiscard]] bool older_than_last_start(const model::SeenCount& ready, const model::SeenStarts& starts);

}  // namespace sluice::policy
