// SPDX-License-Identifier: Apache-2.0
#pragma once
// Publishes to one topic, in requests of up to 1,000 messages or 10 MB.
//
// A message is confirmed when the server has given it an id. What was sent and got no answer goes again with our own
// id, as long as there is time: Pub/Sub cannot tell that it has it, so there may be two, which consumers tell by that
// id. Messages with an ordering key go one request after the other; others in two at once.
#include <memory>
#include <string>

#include "queue/publisher.h"
#include "queue/pubsub/service.h"

namespace sluice::queue::pubsub {

// One message, ready to go.
struct Outgoing {
  std::string json;       // a member of "messages"
  std::size_t bytes = 0;  // as Pub/Sub counts them
  bool ordered = false;
};

class PubsubPublisher final : public Publisher {
 public:
  // `topic` is a whole name; empty: everything is refused, and the text says what the pool lacks.
  PubsubPublisher(std::shared_ptr<Service> service, std::string topic);
  aio::Task<std::vector<Published>> publish(std::vector<Message> batch, aio::Deadline deadline) override;
  // One message whose attributes are there already.
  [[nodiscard]] aio::Task<Published> publish_raw(const Attributes& attributes, std::string_view body,
                                                 aio::Deadline deadline);

 private:
  struct Call;
  [[nodiscard]] aio::Task<void> send_all(std::shared_ptr<Call> call, aio::Deadline deadline);
  [[nodiscard]] aio::Task<void> drain(std::shared_ptr<Call> call, aio::Deadline deadline);
  // Until it is confirmed, refused, or the time is up.
  [[nodiscard]] aio::Task<void> send_part(std::shared_ptr<Call> call, std::vector<std::size_t> part,
                                          aio::Deadline deadline);
  [[nodiscard]] Asked asked() const;

  std::shared_ptr<Service> service_;
  std::string topic_;
};

// Cuts what is to be sent into requests: the places in `all` of each, in order. Pure.
[[nodiscard]] std::vector<std::vector<std::size_t>> in_requests(const std::vector<Outgoing>& all,
                                                                const std::vector<std::size_t>& which);

}  // namespace sluice::queue::pubsub
