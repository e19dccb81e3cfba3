// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the rivals' tests are written in.
#include <optional>

#include "rivals/seen.h"

namespace sluice::rivals::testing {

struct Look {
  std::int64_t at_s = 0;
  std::optional<std::int64_t> ready;  // empty: unknown
  std::int64_t in_work = 0;
  std::int64_t starting = 0;
  std::int64_t running = 0;  // ready workers that have not claimed
  std::int64_t busy = 0;
  std::optional<std::int64_t> acked;
};

inline model::Observation seen_of(const Look& look) {
  model::Observation out;
  out.at_ms = look.at_s * 1000;
  if (look.ready) {
    out.queue.ready = model::SeenCount{*look.ready, 0};
    out.queue.in_flight = model::SeenCount{look.in_work, 0};
  }
  if (look.acked) {
    out.queue.acked_n = model::SeenCount{*look.acked, 0};
  }
  const auto set = [&out](model::WorkerState state, std::int64_t n) {
    out.workers[static_cast<std::size_t>(state)] = n;
  };
  set(model::WorkerState::starting, look.starting);
  set(model::WorkerState::ready, look.running);
  set(model::WorkerState::busy, look.busy);
  return out;
}

}  // namespace sluice::rivals::testing
