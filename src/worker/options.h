// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"

namespace sluice::worker {

struct RuntimeOptions {
  std::string worker;                         // its name in reports
  std::size_t concurrency = 1;                // handlers at once; also what is taken ahead of them: nothing
  std::optional<Duration> idle_exit;          // leave after an empty queue for this long; none: never
  std::optional<Duration> max_runtime;        // of one handler run
  std::optional<Duration> lease;              // of one delivery; none: as the receiver says. Renewed every third of it
  Duration grace = std::chrono::seconds{30};  // from the request to drain to the end; Kubernetes' own default
  std::uint32_t dead_letter_after = 5;        // attempts
  std::vector<Duration> retry_delays{std::chrono::seconds{1}, std::chrono::seconds{10}, std::chrono::seconds{60},
                                     std::chrono::seconds{600}};  // by attempt; the last one repeats
  std::size_t body_max = 16U << 20U;                              // a larger body goes to the dead letters unread
  Duration settle_timeout = std::chrono::seconds{30};  // chosen: a broker's restart; one message waits, not the worker
  // With a queue that is gone, or refuses this worker, while it consumes, before the worker gives up. One that is only
  // away is waited for.
  Duration patience = std::chrono::minutes{5};
};

}  // namespace sluice::worker
