// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/source.h"

#include <fmt/core.h>

#include <utility>

namespace sluice::queue::rabbit {

RabbitSource::RabbitSource(std::shared_ptr<Broker> broker, std::string queue)
    : broker_(std::move(broker)), queue_(std::move(queue)) {}

aio::Task<Result<void>> RabbitSource::connect(aio::Deadline deadline) {
  if (channel_ && !channel_->end()) {
    co_return Result<void>{};
  }
  channel_.reset();
  const Result<std::shared_ptr<Connection>> connection = co_await broker_->connection(deadline);
  if (!connection) {
    co_return connection.error();
  }
  connection_ = *connection;
  Result<std::unique_ptr<Channel>> channel = co_await connection_->channel(*this, 0, deadline);
  if (!channel) {
    co_return channel.error().in(broker_->address().text());
  }
  channel_ = std::move(*channel);
  co_return Result<void>{};
}

aio::Task<Result<model::Sample>> RabbitSource::sample(aio::Deadline deadline) {
  const Result<void> connected = co_await connect(deadline);
  if (!connected) {
    co_return connected.error();
  }
  amqp_queue_declare_t declare{};
  declare.queue = to_bytes(queue_);
  declare.passive = 1;
  const Result<Channel::Answer> answer =
      co_await channel_->call(AMQP_QUEUE_DECLARE_METHOD, &declare, AMQP_QUEUE_DECLARE_OK_METHOD, deadline);
  if (!answer) {
    co_return answer.error().in(fmt::format("queue {} on {}", queue_, broker_->address().text()));
  }
  Pool pool;
  const auto counts = answer->as<amqp_queue_declare_ok_t>(pool);
  if (!counts) {
    co_return counts.error();
  }
  const Time now = broker_->clock().now();
  model::Sample out;
  out.ready = model::Reading{(*counts)->message_count, now};
  out.consumers = model::Reading{(*counts)->consumer_count, now};
  co_return out;
}

}  // namespace sluice::queue::rabbit
