// SPDX-License-Identifier: Apache-2.0
#include "app/watched_queue.h"

#include <algorithm>
#include <optional>

#include "control/poll_budget.h"

namespace sluice::app {
namespace {

using namespace std::chrono_literals;

constexpr Duration look_max = 10s;
// As a controller's: three looks, and of what only Cloud Monitoring counts as long as a point of it.
constexpr Duration stale_least = 30s;
constexpr Duration stale_of_monitoring = 300s;

}  // namespace

WatchedQueueLoop::WatchedQueueLoop(Context& context, pool::WatchedQueue queue, std::string secrets,
                                   external::Pools& pools)
    : context_(context), queue_(std::move(queue)), secrets_(std::move(secrets)), pools_(pools) {}

aio::Task<Result<model::Sample>> WatchedQueueLoop::sample(aio::Deadline deadline) {
  if (!source_) {
    wiring::QueueAccess access{.create = false, .secrets = secrets_, .purpose = "sluice adapter"};
    Result<std::unique_ptr<wiring::QueueClient>> opened = co_await context_.queues.open(
        {.queue = queue_.queue, .dead_letter = {}, .retry = {}}, std::move(access), deadline);
    if (!opened) {
      co_return opened.error();
    }
    client_ = std::move(*opened);
    source_ = client_->source();
  }
  Result<model::Sample> out = co_await source_->sample(deadline);
  co_return out;
}

serve::PoolStatus WatchedQueueLoop::status_of(const Result<model::Sample>& sample) const {
  const Time now = context_.clock.now();
  const bool monitored = std::holds_alternative<pool::PubsubQueue>(queue_.queue);
  const Duration three = 3 * queue_.every.period.value_or(control::PollBudget::idle);
  serve::PoolStatus out{
      .pool = queue_.id(),
      .at = context_.clock.wall(),
      .state = "steady",
      .stale_after_ms = to_ms(std::max<Duration>(three, monitored ? stale_of_monitoring : stale_least)),
      .decided_ms_ago = 0};
  if (!sample) {
    out.errors.push_back(sample.error().what);
    return out;
  }
  Duration age{0};
  const auto count = [&](const std::optional<model::Reading>& reading) {
    if (!reading || reading->n < 0) {
      return std::optional<serve::PoolStatus::Count>();
    }
    age = std::max(age, now - reading->observed_at);
    return std::optional(serve::PoolStatus::Count{.n = reading->n, .approximate = reading->approximate});
  };
  out.ready = count(sample->ready);
  out.in_flight = count(sample->in_flight);
  out.total = count(sample->total);
  out.sample_age_ms = to_ms(age);
  if (sample->oldest_age) {
    out.oldest_age_ms = to_ms(sample->oldest_age->age);
  }
  if (!sample->missing.empty()) {
    out.errors.push_back(sample->missing);
  }
  return out;
}

aio::Task<void> WatchedQueueLoop::run() {
  std::shared_ptr<control::PollBudget> budget;  // of its broker, once that is known
  std::optional<control::PollBudget::Share> share;
  while (true) {
    const Time began = context_.clock.now();
    const aio::Deadline deadline = context_.clock.in(look_max);
    const Result<model::Sample> seen = co_await sample(deadline);
    pools_.take(status_of(seen));
    const bool busy = seen && seen->ready && seen->ready->n > 0;
    if (client_ && !share) {
      budget = context_.polls.of(client_->broker());
      share.emplace(*budget);
    }
    const Duration period =
        share ? share->period(queue_.every.period, busy) : queue_.every.period.value_or(control::PollBudget::idle);
    co_await context_.clock.sleep_until(began + period);
  }
}

}  // namespace sluice::app
