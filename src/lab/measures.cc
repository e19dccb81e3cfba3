// SPDX-License-Identifier: Apache-2.0
#include "lab/measures.h"

#include <algorithm>

namespace sluice::lab {

void add(Measures& to, const Measures& one) {
  to.published += one.published;
  to.done += one.done;
  to.late += one.late;
  to.unfinished += one.unfinished;
  to.expired += one.expired;
  to.purged += one.purged;
  to.redelivered += one.redelivered;
  to.twice += one.twice;
  to.worker_us += one.worker_us;
  to.busy_us += one.busy_us;
  to.starts += one.starts;
  to.refused += one.refused;
  to.crashes += one.crashes;
  to.flaps += one.flaps;
  to.peak += one.peak;  // of several pools: at most
  to.unused += one.unused;
  to.last_done = std::max(to.last_done, one.last_done);
}

Waits waits_of(std::vector<std::uint32_t> waits_ms) {
  if (waits_ms.empty()) {
    return {};
  }
  std::ranges::sort(waits_ms);
  // Whole arithmetic: the rank of 99 % of 200 is 198, which 0.99 * 200 is not.
  const auto at = [&waits_ms](std::size_t percent) {
    return std::int64_t{waits_ms[(waits_ms.size() * percent + 99) / 100 - 1]};
  };
  return {.p50 = at(50), .p95 = at(95), .p99 = at(99), .most = waits_ms.back()};
}

}  // namespace sluice::lab
