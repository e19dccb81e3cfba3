// SPDX-License-Identifier: Apache-2.0
#pragma once
// A queue with all that belongs to it: where its dead letters go and where its retries wait. Declared only when a user
// asks for it (publish --declare, demo); nothing else ever declares.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "queue/rabbit/broker.h"

namespace sluice::queue::rabbit {

struct RetryQueue {
  Duration delay{0};
  std::string name;  // its messages go back to the queue when they are this old
};

struct Topology {
  bool quorum = true;  // false: a classic queue
  std::string queue;
  std::string dead_letter_queue;
  std::vector<RetryQueue> retry_queues;
  // Deliveries after which a quorum queue gives up by itself: the back-stop behind our own count.
  std::int64_t delivery_limit = 20;  // RabbitMQ 4's own default; 3.x has none
  std::optional<Duration> expires;   // the broker removes them all when nobody has used them for this long
};

// Makes what is missing, all of it durable, and returns the names in the order in which they were made or found. Queues
// for dead letters and retries are quorum queues whatever the queue itself is: those hand an expired message on with a
// confirm, so that no retry is lost when the broker dies. Code::conflict: there with other arguments, the broker's
// sentence says which; denied: no right to configure.
[[nodiscard]] aio::Task<Result<std::vector<std::string>>> declare(std::shared_ptr<Broker> broker, Topology topology,
                                                                  aio::Deadline deadline);

}  // namespace sluice::queue::rabbit
