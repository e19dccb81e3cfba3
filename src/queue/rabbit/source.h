// SPDX-License-Identifier: Apache-2.0
#pragma once
// The backlog of one queue by passive declare: the only count RabbitMQ gives that is not seconds old.
#include <memory>
#include <string>

#include "queue/backlog_source.h"
#include "queue/rabbit/broker.h"

namespace sluice::queue::rabbit {

class RabbitSource final : public BacklogSource, private ChannelListener {
 public:
  // Keeps one channel of the broker's connection open between samples.
  RabbitSource(std::shared_ptr<Broker> broker, std::string queue);

  // ready and consumers, both of this moment; in flight, delayed, dead and age stay unknown. Code::gone: there is no
  // such queue; denied: login, virtual host, permission, or a queue that belongs to another connection; the text says
  // which.
  aio::Task<Result<model::Sample>> sample(aio::Deadline deadline) override;

 private:
  [[nodiscard]] aio::Task<Result<void>> connect(aio::Deadline deadline);

  std::shared_ptr<Broker> broker_;
  std::string queue_;
  std::shared_ptr<Connection> connection_;
  std::unique_ptr<Channel> channel_;
};

}  // namespace sluice::queue::rabbit
