// SPDX-License-Identifier: Apache-2.0
// Messages that may have killed a worker before: each is run with nothing beside it.
#include <algorithm>

#include "worker/runtime.h"

namespace sluice::worker {

void Runtime::start_suspect() {
  if (suspects_.empty() || !jobs_.empty()) {
    return;
  }
  // The one that was in the fewest crashes is the likeliest innocent neighbour: it goes first.
  const auto next = std::ranges::min_element(suspects_, {}, &Job::attempt);
  std::shared_ptr<Job> suspect = std::move(*next);
  suspects_.erase(next);
  alone_ = true;
  start(std::move(suspect), true);
}

void Runtime::return_suspects() {
  for (const std::shared_ptr<Job>& suspect : std::exchange(suspects_, {})) {
    start(suspect, false);
  }
}

// First nothing more is taken, then the rest is handed back: what is on its way when a consumer is cancelled would come
// again as if its worker had died.
aio::Task<bool> Runtime::leave_alone(queue::Tag tag) {
  const aio::Deadline deadline = clock_.in(call_timeout);
  const Result<void> alone = co_await receiver_.alone(tag, deadline);
  return_suspects();
  while (jobs_.size() > 1) {
    co_await changed_.wait(aio::Deadline{});  // each of them has a deadline of its own
  }
  co_return alone.has_value();
}

}  // namespace sluice::worker
