// SPDX-License-Identifier: Apache-2.0
#pragma once
// How long a message takes, from how many are in work and how many are done: no worker is asked.
#include <cstdint>

#include "policy/lag.h"

namespace sluice::policy {

// What is left after a step of what had been learned, where half of it is left after a half-life; the same everywhere.
[[nodiscard]] double lag_fade(double step_s, double half_life_s);
[[nodiscard]] std::int64_t lag_faded(std::int64_t n, double factor);

// A step in which `used` servers were in use and `done` messages came to their end; -1: not known how many. What began
// in the step is in memory.started already.
void lag_learn_service(LagMemory& memory, std::int64_t used, std::int64_t done);

// Seconds, more than 0. What was used for one that was done is the most likely time as long as any age is as likely to
// end as any other; where many have just begun together it is several times too long. So it is at most what those took
// that are done, or the oldest has taken until now, and one standard error more.
[[nodiscard]] double lag_service_time(const LagOptions& options, const LagMemory& memory);

}  // namespace sluice::policy
