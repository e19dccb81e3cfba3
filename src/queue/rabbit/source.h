// SPDX-License-Identifier: Apache-2.0
#pragma once
// The backlog of one queue by passive declare: the only count RabbitMQ gives that is not seconds old.
#include <memory>
#include <string>

#include "queue/backlog_source.h"
#include "queue/rabbit/broker.h"
#include "queue/rabbit/poller.h"

namespace sluice::queue::rabbit {

class RabbitSource final : public BacklogSource {
 public:
  // All sources of one broker share its connection and two channels of it.
  RabbitSource(const std::shared_ptr<Broker>& broker, std::string queue);

  // ready and consumers, both of this moment; in flight, delayed, dead and age stay unknown. Errors as of
  // Poller::counts().
  aio::Task<Result<model::Sample>> sample(aio::Deadline deadline) override;

 private:
  std::shared_ptr<Poller> poller_;
  std::string queue_;
};

}  // namespace sluice::queue::rabbit
