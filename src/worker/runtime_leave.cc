// SPDX-License-Identifier: Apache-2.0
// How a worker leaves.
#include <algorithm>
#include <utility>

#include "worker/runtime.h"

namespace sluice::worker {

using namespace std::chrono_literals;

namespace {

// To stop consuming in a drain (facts P7).
constexpr Duration stop_timeout = 1s;
// What had already arrived is there at once after a cancel; this only bounds a broker that does not say "nothing more".
constexpr Duration leftovers_timeout = 1s;

}  // namespace

aio::Task<void> Runtime::leave() {
  phase_ = Phase::leaving;
  if (receive_group_ != nullptr) {
    receive_group_->cancel();
  }
  while (receive_lives_) {
    co_await changed_.wait(aio::Deadline{});
  }
  const bool cancelled = co_await cancel_consumer();
  if (cancelled) {
    co_await take_leftovers();
  }
  co_await settle_all();
}

aio::Task<bool> Runtime::cancel_consumer() {
  const Duration timeout = context_.stopping ? stop_timeout : call_timeout;
  const aio::Deadline deadline = clock_.in(timeout);
  const Result<void> cancelled = co_await receiver_.cancel(deadline);
  if (!cancelled) {
    // Still consuming, perhaps: what is handed back would come again at once, for ever. What it may still have sent is
    // requeued by close().
    observer_.trouble(cancelled.error().what);
  }
  co_return cancelled.has_value();
}

// What arrived between the last look and the end of consuming is handled like everything else, or requeued in a drain.
aio::Task<void> Runtime::take_leftovers() {
  while (true) {
    if (!must_leave() && !room()) {
      start_suspect();
      co_await changed_.wait(aio::Deadline{});
      continue;
    }
    const std::size_t max = must_leave() ? options_.concurrency : options_.concurrency - jobs_.size();
    const aio::Deadline deadline =
        clock_.in(leftovers_timeout).earlier(aio::Deadline{std::max(finish_by_, clock_.now())});
    Result<std::vector<queue::Delivery>> batch = co_await receiver_.receive(max, deadline);
    if (!batch) {
      observer_.trouble(batch.error().what);
      co_return;
    }
    if (batch->empty()) {
      co_return;
    }
    accept(std::move(*batch));
  }
}

aio::Task<void> Runtime::settle_all() {
  while (!jobs_.empty() || !suspects_.empty()) {
    if (context_.stopping) {
      return_suspects();
    } else {
      start_suspect();
    }
    if (context_.stopping && clock_.now() >= finish_by_) {
      stop_all();
    }
    const bool wait_for_grace = context_.stopping && clock_.now() < finish_by_;
    const aio::Deadline look{wait_for_grace ? finish_by_ : Time::max()};
    co_await changed_.wait(look);
  }
}

aio::Task<void> Runtime::close() {
  Backoff backoff(away_backoff);
  const aio::Deadline patience = clock_.in(call_timeout);
  while (true) {
    const Result<void> closed = co_await receiver_.close(patience);
    if (closed) {
      co_return;
    }
    const Time again = clock_.now() + backoff.next(random_);
    if (patience.passed(again)) {
      fail(closed.error().in("leaving the queue"));
      co_return;
    }
    co_await clock_.sleep_until(again);
  }
}

}  // namespace sluice::worker
