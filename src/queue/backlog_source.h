// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "aio/clock.h"
#include "aio/task.h"
#include "base/result.h"
#include "model/sample.h"

namespace sluice::queue {

// One queue on one broker, as far as a scaler sees it. Implementations pass queue/conformance.h, the in-memory one
// included.
class BacklogSource {
 public:
  virtual ~BacklogSource() = default;
  // Never throws (cancellation apart) and never guesses: what the broker did not say stays empty in the Sample, and
  // each value carries its own time of observation. A broker that cannot be read is an Error, not an empty Sample.
  virtual aio::Task<Result<model::Sample>> sample(aio::Deadline deadline) = 0;
};

}  // namespace sluice::queue
