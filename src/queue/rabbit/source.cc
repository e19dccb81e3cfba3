// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/source.h"

#include <utility>

namespace sluice::queue::rabbit {

RabbitSource::RabbitSource(const std::shared_ptr<Broker>& broker, std::string queue)
    : poller_(Poller::of(broker)), queue_(std::move(queue)) {}

aio::Task<Result<model::Sample>> RabbitSource::sample(aio::Deadline deadline) {
  const Result<Poller::Counts> counts = co_await poller_->counts(queue_, deadline);
  if (!counts) {
    co_return counts.error();
  }
  model::Sample out;
  out.ready = model::Reading{counts->ready, counts->at};
  out.consumers = model::Reading{counts->consumers, counts->at};
  co_return out;
}

}  // namespace sluice::queue::rabbit
