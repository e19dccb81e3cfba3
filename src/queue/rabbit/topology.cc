// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/topology.h"

#include <fmt/core.h>

#include <utility>

#include "queue/rabbit/arguments.h"

namespace sluice::queue::rabbit {
namespace {

// What leaves this queue by the broker's hand goes to `target`, not before that has confirmed it. Needs a queue that
// refuses instead of dropping its oldest (RabbitMQ, "At-Least-Once Dead Lettering").
void hand_on(Arguments& arguments, const std::string& target, bool quorum) {
  arguments.text("x-dead-letter-exchange", "");
  arguments.text("x-dead-letter-routing-key", target);
  if (quorum) {
    arguments.text("x-dead-letter-strategy", "at-least-once");
    arguments.text("x-overflow", "reject-publish");
  }
}

class Declaring final : private ChannelListener {
 public:
  Declaring(std::shared_ptr<Broker> broker, Topology topology)
      : broker_(std::move(broker)), topology_(std::move(topology)) {}

  aio::Task<Result<std::vector<std::string>>> run(aio::Deadline deadline) {
    const Result<std::shared_ptr<Connection>> connection = co_await broker_->connection(deadline);
    if (!connection) {
      co_return connection.error();
    }
    Result<std::unique_ptr<Channel>> channel = co_await (*connection)->channel(*this, 0, deadline);
    if (!channel) {
      co_return channel.error().in(broker_->address().text());
    }
    channel_ = std::move(*channel);
    Arguments of_dead;
    Result<void> made = co_await one(topology_.dead_letter_queue, true, of_dead, deadline);
    if (made) {
      Arguments of_queue;
      hand_on(of_queue, topology_.dead_letter_queue, topology_.quorum);
      if (topology_.quorum) {
        of_queue.number("x-delivery-limit", topology_.delivery_limit);
      }
      made = co_await one(topology_.queue, topology_.quorum, of_queue, deadline);
    }
    for (std::size_t i = 0; made && i < topology_.retry_queues.size(); ++i) {
      Arguments of_retry;
      of_retry.number("x-message-ttl", to_ms(topology_.retry_queues[i].delay));
      hand_on(of_retry, topology_.queue, true);
      made = co_await one(topology_.retry_queues[i].name, true, of_retry, deadline);
    }
    co_return made ? Result<std::vector<std::string>>(std::move(names_)) : made.error();
  }

 private:
  aio::Task<Result<void>> one(std::string name, bool quorum, Arguments& arguments, aio::Deadline deadline) {
    arguments.text("x-queue-type", quorum ? "quorum" : "classic");
    if (topology_.expires) {
      arguments.number("x-expires", to_ms(*topology_.expires));
    }
    amqp_queue_declare_t declare{};
    declare.queue = to_bytes(name);
    declare.durable = 1;
    declare.arguments = arguments.table();
    const Result<Channel::Answer> answer =
        co_await channel_->call(AMQP_QUEUE_DECLARE_METHOD, &declare, AMQP_QUEUE_DECLARE_OK_METHOD, deadline);
    if (!answer) {
      co_return answer.error().in(fmt::format("queue {} on {}", name, broker_->address().text()));
    }
    names_.push_back(std::move(name));
    co_return Result<void>{};
  }

  std::shared_ptr<Broker> broker_;
  Topology topology_;
  std::unique_ptr<Channel> channel_;
  std::vector<std::string> names_;
};

}  // namespace

aio::Task<Result<std::vector<std::string>>> declare(std::shared_ptr<Broker> broker, Topology topology,
                                                    aio::Deadline deadline) {
  Declaring declaring(std::move(broker), std::move(topology));
  Result<std::vector<std::string>> made = co_await declaring.run(deadline);
  co_return made;
}

}  // namespace sluice::queue::rabbit
