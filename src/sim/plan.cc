// SPDX-License-Identifier: Apache-2.0
#include "sim/plan.h"

#include <fmt/core.h>

namespace sluice::sim {
namespace {

using namespace std::chrono_literals;

double sometimes(Random& random, double share, double most) {
  return random.chance(share) ? random.unit() * most : 0;
}

Duration every(Random& random, double share, Duration low, Duration high) {
  return random.chance(share) ? random.between(low, high) : Duration{0};
}

pool::Pool draw_pool(Random& random) {
  pool::Pool pool;
  pool.name = "orders";
  pool.spec.queue = pool::LocalQueue{"orders.db"};
  if (random.chance(0.5)) {
    pool::ThresholdPolicy threshold;
    threshold.messages = static_cast<std::int64_t>(random.below(10));
    if (random.chance(0.7)) {
      threshold.age = random.between(5s, 60s);
    }
    threshold.every = pool::Every{random.between(1s, 10s)};
    pool.spec.policy = threshold;
  } else {
    pool::BacklogPerWorkerPolicy per_worker;
    per_worker.messages = 1 + static_cast<std::int64_t>(random.below(5));
    if (random.chance(0.7)) {
      per_worker.every = pool::Every{random.between(500ms, 5s)};
    }
    pool.spec.policy = per_worker;
  }
  // A threshold that is never reached leaves the last messages to `min` workers, so some seeds need one.
  const auto* threshold = std::get_if<pool::ThresholdPolicy>(&pool.spec.policy);
  const bool needs_min = threshold != nullptr && !threshold->age;
  pool.spec.workers.max = 1 + static_cast<std::int64_t>(random.below(8));
  pool.spec.workers.min = needs_min ? 1 : 0;
  pool.spec.workers.idle_exit = random.between(1s, 10s);
  pool.spec.workers.concurrency = random.chance(0.3) ? 1 + static_cast<std::int64_t>(random.below(10)) : 1;
  pool.spec.retry.delays = {1s, 5s, 10s};
  pool.spec.dead_letter.after = 5;
  return pool;
}

void draw_load(Random& random, Plan& plan) {
  plan.messages = 1 + static_cast<int>(random.below(60));
  const Duration idle = *plan.pool.spec.workers.idle_exit;
  for (int i = 0; i < plan.messages; ++i) {
    Duration gap = random.chance(0.7) ? random.between(0s, 200ms) : random.between(0s, 5s);
    if (random.chance(0.1)) {
      gap = idle + random.between(0s, 100ms) - Duration{50ms};  // just as a worker is about to leave
    }
    plan.gaps.push_back(gap);
  }
  plan.service_low = random.between(1ms, 500ms);
  plan.service_high = plan.service_low + random.between(0s, random.chance(0.2) ? 20s : 2s);
  plan.handler_fails = sometimes(random, 0.4, 0.3);
  plan.poison = random.chance(0.3) ? 1 + static_cast<int>(random.below(2)) : 0;
}

void draw_faults(Random& random, Plan& plan) {
  FaultRates& f = plan.faults;
  f.queue_fail = sometimes(random, 0.4, 0.1);
  f.queue_lose = sometimes(random, 0.4, 0.1);
  f.queue_delay = sometimes(random, 0.3, 0.1);
  f.sample_stale = sometimes(random, 0.4, 0.4);
  f.sample_absent = sometimes(random, 0.4, 0.3);
  f.fleet_fail = sometimes(random, 0.4, 0.2);
  f.fleet_lose = sometimes(random, 0.4, 0.2);
  f.fleet_delay = sometimes(random, 0.3, 0.2);
  f.view_stale = sometimes(random, 0.4, 0.4);
  plan.chaos.crash_worker = every(random, 0.5, 2s, 30s);
  plan.chaos.crash_scaler = every(random, 0.3, 5s, 60s);
  plan.chaos.freeze_broker = every(random, 0.2, 20s, 60s);
  plan.chaos.lose_node = every(random, 0.15, 20s, 60s);
  plan.chaos.drain_worker = every(random, 0.3, 5s, 40s);
  plan.two_scalers = random.chance(0.2);
}

// Workers told to leave in the middle of long messages whose leases nothing else endangers: what renewals during a
// drain are for, and too rare when its parts are drawn apart.
void draw_long_drains(Random& random, Plan& plan) {
  plan.broker.lease = random.between(3s, 10s);
  plan.service_high = plan.service_low + random.between(10s, 60s);
  plan.chaos.drain_worker = random.between(5s, 20s);
  plan.chaos.freeze_broker = Duration{0};
  plan.faults.queue_fail = plan.faults.queue_lose = plan.faults.queue_delay = 0;
}

}  // namespace

bool Plan::leases_are_safe() const {
  return chaos.freeze_broker == Duration{0} && faults.queue_fail == 0 && faults.queue_lose == 0 &&
         faults.queue_delay == 0;
}

std::string Plan::describe() const {
  return fmt::format(
      "policy {} max {} concurrency {} messages {} poison {} fails {:.2f} lease {} queue fail/lose/delay "
      "{:.2f}/{:.2f}/{:.2f} "
      "sample stale/absent {:.2f}/{:.2f} fleet fail/lose/delay/stale {:.2f}/{:.2f}/{:.2f}/{:.2f} crash worker {} "
      "scaler {} "
      "freeze {} node {} drain {} two {}",
      pool::policy_word(pool.spec.policy), pool.spec.workers.max, pool.spec.workers.concurrency, messages, poison,
      handler_fails, broker.lease ? format_duration(*broker.lease) : "none", faults.queue_fail, faults.queue_lose,
      faults.queue_delay, faults.sample_stale, faults.sample_absent, faults.fleet_fail, faults.fleet_lose,
      faults.fleet_delay, faults.view_stale, format_duration(chaos.crash_worker), format_duration(chaos.crash_scaler),
      format_duration(chaos.freeze_broker), format_duration(chaos.lose_node), format_duration(chaos.drain_worker),
      two_scalers);
}

Plan draw_plan(std::uint64_t seed) {
  Random random(seed);
  Plan plan;
  plan.seed = seed;
  plan.pool = draw_pool(random);
  if (random.chance(0.5)) {
    plan.broker.lease = random.between(3s, 15s);
  }
  plan.broker.latency_high = random.chance(0.5) ? random.between(0ms, 5ms) : Duration{0};
  plan.broker.notice_death = random.between(0s, 1s);
  plan.fleet.pool = plan.pool.name;
  plan.fleet.max = static_cast<int>(plan.pool.spec.workers.max);
  plan.fleet.nodes.slots = 1 + static_cast<int>(random.below(4));
  plan.fleet.nodes.max = 1 + static_cast<int>(random.below(4));
  plan.fleet.nodes.min = static_cast<int>(random.below(static_cast<std::uint64_t>(plan.fleet.nodes.max) + 1));
  plan.fleet.nodes.boot = random.between(0s, 20s);
  plan.fleet.spawn_high = random.between(0s, 3s);
  draw_load(random, plan);
  draw_faults(random, plan);
  if (random.chance(0.05)) {
    draw_long_drains(random, plan);
  }
  plan.chaos_for = random.between(20s, 120s);
  plan.calm_for = 4h;
  return plan;
}

}  // namespace sluice::sim
