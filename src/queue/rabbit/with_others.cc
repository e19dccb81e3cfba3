// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/with_others.h"

#include <utility>

namespace sluice::queue::rabbit {
namespace {

// Messages in it; empty: unknown.
aio::Task<std::optional<model::Reading>> count(BacklogSource* source, Time now, aio::Deadline deadline) {
  const Result<model::Sample> sample = co_await source->sample(deadline);
  if (sample) {
    co_return sample->ready;
  }
  co_return sample.error().code == Code::gone ? std::optional(model::Reading{0, now}) : std::nullopt;
}

}  // namespace

SourceWithOthers::SourceWithOthers(aio::Clock& clock, std::unique_ptr<BacklogSource> queue,
                                   std::unique_ptr<BacklogSource> dead,
                                   std::vector<std::unique_ptr<BacklogSource>> retries, Duration age)
    : clock_(clock), queue_(std::move(queue)), dead_source_(std::move(dead)), retries_(std::move(retries)), age_(age) {}

aio::Task<void> SourceWithOthers::ask_others(aio::Deadline deadline) {
  const Time now = clock_.now();
  if (asked_ && now - *asked_ < age_) {
    co_return;
  }
  asked_ = now;
  dead_ = co_await count(dead_source_.get(), now, deadline);
  delayed_ = model::Reading{0, now};
  for (const std::unique_ptr<BacklogSource>& retry : retries_) {
    const std::optional<model::Reading> waiting = co_await count(retry.get(), now, deadline);
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
