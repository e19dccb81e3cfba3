// SPDX-License-Identifier: Apache-2.0
#pragma once
// The backlog of one queue: ready and consumers by passive declare, the only counts RabbitMQ gives that are not seconds
// old; in flight, age and cumulative counts from its statistics, where a management API is known.
#include <memory>
#include <optional>
#include <string>

#include "queue/backlog_source.h"
#include "queue/rabbit/broker.h"
#include "queue/rabbit/management.h"
#include "queue/rabbit/poller.h"

namespace sluice::queue::rabbit {

// Tells statistics that stand still from a queue that does. Statistics are at most 10 s late: when they neither change
// nor agree with what the broker itself counts for longer, over two readings, nobody knows what they are the truth of.
class Standstill {
 public:
  // `ready` is the broker's own count, of `now`. Returns whether `told` is not to be believed.
  [[nodiscard]] bool watch(const Management::Told& told, std::int64_t ready, Time now);

 private:
  std::optional<QueueStatistics> last_;
  Time agreed_at_{};
  std::int64_t agreed_reading_ = 0;
};

class RabbitSource final : public BacklogSource {
 public:
  // All sources of one broker share its connection and two channels of it. `management` may be null.
  // `lists_consumers`: samples say who consumes.
  RabbitSource(const std::shared_ptr<Broker>& broker, std::string queue,
               std::shared_ptr<Management> management = nullptr, bool lists_consumers = false);

  // ready and consumers, both of this moment. Errors as of Poller::counts(), and Code::invalid for a stream: reading
  // one takes nothing from it. in_flight, published_n, acked_n, the age of the message in front (of classic queues
  // whose publishers set timestamps) and the limit of a single active consumer are as old as they say, and empty with a
  // reason in `missing` where the management API fails; without one they are always empty. consumer_list likewise.
  aio::Task<Result<model::Sample>> sample(aio::Deadline deadline) override;

 private:
  [[nodiscard]] aio::Task<Result<void>> ask_management(model::Sample& sample, aio::Deadline deadline);
  void add(model::Sample& sample, const Management::Answer& answer);
  [[nodiscard]] aio::Task<void> list_consumers(model::Sample& sample, aio::Deadline deadline);

  std::shared_ptr<Broker> broker_;
  std::shared_ptr<Poller> poller_;
  std::string queue_;
  std::shared_ptr<Management> management_;
  const bool lists_consumers_;
  std::optional<model::ConsumerList> listed_;
  Time list_again_{};
  std::string unlisted_;  // why there is no newer list
  Standstill standstill_;
};

// The age of the message in front at the time of the reading. Empty where nothing says it; with `missing` where the
// timestamp cannot be: the clocks of publisher and observer differ, or it is no time at all.
[[nodiscard]] std::optional<model::OldestAge> head_age(const Management::Told& told, std::string& missing);

}  // namespace sluice::queue::rabbit
