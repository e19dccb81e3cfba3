// SPDX-License-Identifier: Apache-2.0
#pragma once
// Tries what workers and a scaler will do with a queue on RabbitMQ, without moving a message, and reads what the
// management API says of it.
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "queue/examined.h"
#include "queue/rabbit/management.h"
#include "queue/rabbit/poller.h"

namespace sluice::queue::rabbit {

struct ExamineOptions {
  std::string user;
  std::string vhost = "/";
  std::string queue;
  std::string dead_letter_queue;
  std::vector<std::string> retry_queues;
  bool declares = false;                // the pool says how its queues are made
  std::int64_t attempts = 5;            // after which a message is given up
  std::optional<Duration> max_runtime;  // of a handler
};

// `management` may be null: then what only it knows is not judged, and that is said.
[[nodiscard]] aio::Task<std::vector<Examined>> examine(std::shared_ptr<Broker> broker,
                                                       std::shared_ptr<Management> management, ExamineOptions options,
                                                       aio::Deadline deadline);

// What the definition of the queue means for its messages: the answer of /api/queues/VHOST/QUEUE with the columns
// definition_columns(). Pure.
[[nodiscard]] std::string_view definition_columns();
[[nodiscard]] std::vector<Examined> judge_definition(std::string_view body, const ExamineOptions& options);

// The broker's version in the answer of /api/overview.
[[nodiscard]] Result<std::string> version_of(std::string_view body);

// The command that gives the user what the queue's workers, and `publish --declare` if the pool declares, need.
[[nodiscard]] std::string permissions_command(const ExamineOptions& options);

}  // namespace sluice::queue::rabbit
