// SPDX-License-Identifier: Apache-2.0
#include "model/observation.h"

#include <numeric>

namespace sluice::model {

std::int64_t Observation::live() const {
  return std::accumulate(workers.begin(), workers.end(), std::int64_t{0});
}

std::int64_t Observation::useful() const {
  return live() - count(WorkerState::draining) - count(WorkerState::terminating) - count(WorkerState::failing);
}

std::int64_t Observation::not_started() const {
  return unplaced() + count(WorkerState::starting) + count(WorkerState::suspended);
}

std::int64_t Observation::unplaced() const {
  return count(WorkerState::requested) + count(WorkerState::unscheduled);
}

}  // namespace sluice::model
