// SPDX-License-Identifier: Apache-2.0
#pragma once
// Topics and subscriptions: made, and looked at without moving a message.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "queue/examined.h"
#include "queue/pubsub/service.h"

namespace sluice::queue::pubsub {

// Whole names.
struct Resources {
  std::string topic;  // empty: the pool names none
  std::string subscription;
  std::string dead_letter_topic;
  std::int64_t attempts = 5;  // after which a worker gives a message up
};

// The subscription on the dead-letter topic, of the same short name: a topic alone keeps nothing.
[[nodiscard]] std::string dead_letter_subscription(const Resources& resources);
// Pub/Sub's own limit, as a net below ours: four times as many, within its 5 to 100.
[[nodiscard]] std::int64_t attempts_max(const Resources& resources);

// Makes what is not there: both topics and both subscriptions, which never expire; lines of what there is now.
// Code::conflict where a subscription is on another topic.
[[nodiscard]] aio::Task<Result<std::vector<std::string>>> declare(std::shared_ptr<Service> service, Resources resources,
                                                                  aio::Deadline deadline);

// Tries what workers and publishers will do.
[[nodiscard]] aio::Task<std::vector<Examined>> examine(std::shared_ptr<Service> service, Resources resources,
                                                       std::optional<Duration> max_runtime, aio::Deadline deadline);

// Whether it is there; `subscription` is its whole name. Code::denied: only roles/pubsub.viewer may know.
[[nodiscard]] aio::Task<Result<bool>> is_there(std::shared_ptr<Service> service, std::string subscription,
                                               aio::Deadline deadline);

// What a subscription's settings mean for its messages. Pure.
[[nodiscard]] std::vector<Examined> judge(const SubscriptionInfo& info, const Resources& resources,
                                          std::optional<Duration> max_runtime);

}  // namespace sluice::queue::pubsub
