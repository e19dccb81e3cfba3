// SPDX-License-Identifier: Apache-2.0
#pragma once
// What one seed means: a pool, a load and a set of faults. Drawn as a swarm: each kind of fault is switched off in some
// seeds, so that no fault hides behind another.
#include <cstdint>
#include <string>
#include <vector>

#include "base/random.h"
#include "fleet/memory.h"
#include "pool/types.h"
#include "queue/memory.h"

namespace sluice::sim {

struct FaultRates {       // probability of each call
  double queue_fail = 0;  // not done, and said so
  double queue_lose = 0;  // done, and said that it failed
  double queue_delay = 0;
  double sample_stale = 0;
  double sample_absent = 0;
  double fleet_fail = 0;
  double fleet_lose = 0;
  double fleet_delay = 0;
  double view_stale = 0;
};

struct Chaos {  // mean time between two; 0: never
  Duration crash_worker{0};
  Duration crash_scaler{0};
  Duration freeze_broker{0};
  Duration lose_node{0};
  Duration drain_worker{0};
};

struct Plan {
  std::uint64_t seed = 0;
  pool::Pool pool;
  queue::MemoryOptions broker;
  fleet::MemoryOptions fleet;
  int messages = 0;
  std::vector<Duration> gaps;  // before each message is published
  Duration service_low{0}, service_high{0};
  double handler_fails = 0;  // by its own exit code
  int poison = 0;            // messages whose handler kills its worker
  FaultRates faults;
  Chaos chaos;
  bool two_scalers = false;  // a second one acts at the same time, as after a split lease
  Duration chaos_for{0};
  Duration calm_for{0};  // within this everything must be settled
  // No fault in this seed can make a healthy worker lose a lease.
  [[nodiscard]] bool leases_are_safe() const;
  // One line, for people: printed with a failing seed.
  [[nodiscard]] std::string describe() const;
};

[[nodiscard]] Plan draw_plan(std::uint64_t seed);

}  // namespace sluice::sim
