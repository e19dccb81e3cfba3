// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/with_others.h"

#include <utility>

#include "queue/rabbit/broker.h"

namespace sluice::queue::rabbit {

SourceWithOthers::SourceWithOthers(const std::shared_ptr<Broker>& broker, std::unique_ptr<BacklogSource> queue,
                                   std::string dead, std::vector<std::string> retries, Duration age)
    : clock_(broker->clock()),
      poller_(Poller::of(broker)),
      queue_(std::move(queue)),
      dead_queue_(std::move(dead)),
      retries_(std::move(retries)),
      age_(age) {}

aio::Task<std::optional<model::Reading>> SourceWithOthers::count(std::string queue, Time now, aio::Deadline deadline) {
  const Result<Poller::Counts> there = co_await poller_->counts(std::move(queue), deadline);
  if (there) {
    co_return model::Reading{there->ready, there->at};
  }
  co_return there.error().code == Code::gone ? std::optional(model::Reading{0, now}) : std::nullopt;
}

aio::Task<void> SourceWithOthers::ask_others(aio::Deadline deadline) {
  const Time now = clock_.now();
  if (asked_ && now - *asked_ < age_) {
    co_return;
  }
  asked_ = now;
  dead_ = co_await count(dead_queue_, now, deadline);
  delayed_ = model::Reading{0, now};
  for (const std::string& retry : retries_) {
    const std::optional<model::Reading> waiting = co_await count(retry, now, deadline);
    if (!waiting) {
      delayed_.reset();
      co_return;
    }
    delayed_->n += waiting->n;
  }
}

aio::Task<Result<model::Sample>> SourceWithOthers::sample(aio::Deadline deadline) {
  // First the others: a retry whose time has come is then counted in both for a moment, and never in neither.
  const aio::Deadline share = deadline.share(clock_.now(), 2);
  co_await ask_others(share);
  Result<model::Sample> sample = co_await queue_->sample(deadline);
  if (sample) {
    sample->dead = dead_;
    sample->delayed = delayed_;
  }
  co_return sample;
}

}  // namespace sluice::queue::rabbit
