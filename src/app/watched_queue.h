// SPDX-License-Identifier: Apache-2.0
#pragma once
// A queue without a pool, looked at again and again for an adapter.
#include <memory>
#include <string>

#include "app/context.h"
#include "external/pools.h"
#include "pool/types.h"
#include "wiring/queues.h"

namespace sluice::app {

class WatchedQueueLoop {
 public:
  // References outlive it. `secrets`: the folder of credentials.
  WatchedQueueLoop(Context& context, pool::WatchedQueue queue, std::string secrets, external::Pools& pools);

  // Looks until cancelled, and tells `pools` each time.
  [[nodiscard]] aio::Task<void> run();

 private:
  [[nodiscard]] aio::Task<Result<model::Sample>> sample(aio::Deadline deadline);
  [[nodiscard]] serve::PoolStatus status_of(const Result<model::Sample>& sample) const;

  Context& context_;
  const pool::WatchedQueue queue_;
  const std::string secrets_;
  external::Pools& pools_;
  std::unique_ptr<wiring::QueueClient> client_;
  std::unique_ptr<queue::BacklogSource> source_;
};

}  // namespace sluice::app
