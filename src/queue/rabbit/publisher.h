// SPDX-License-Identifier: Apache-2.0
#pragma once
// Publishing with confirms: what is confirmed was taken by the broker for good, what it refused is failed, what was cut
// off is unknown.
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "aio/mutex.h"
#include "queue/publisher.h"
#include "queue/rabbit/broker.h"

namespace sluice::queue::rabbit {

struct PublisherOptions {
  std::string exchange;               // empty: the default exchange, which knows every queue by its name
  std::string key;                    // the queue's name for the default exchange
  std::size_t body_max = 16U << 20U;  // larger ones are refused, as their receivers would
};

class RabbitPublisher final : public Publisher, private ChannelListener {
 public:
  RabbitPublisher(std::shared_ptr<Broker> broker, PublisherOptions options);

  // Confirmed: taken by every queue it was routed to. Failed: refused (nacked), not routable (mandatory), too large for
  // the broker or for the options, or not sent by the deadline. What is sent and cut off is sent again with the same
  // id until the deadline; unknown: not confirmed by then, or the broker ended the channel in a way that it would again
  // (no permission to write, say). A broker that is away, or blocked, is waited for. Several
  // calls may be under way.
  aio::Task<std::vector<Published>> publish(std::vector<Message> batch, aio::Deadline deadline) override;

  // The same for one message with properties of its own, through `exchange` to `key`.
  [[nodiscard]] aio::Task<Published> publish_raw(std::string exchange, std::string key,
                                                 const amqp_basic_properties_t& properties, std::string_view body,
                                                 aio::Deadline deadline);

 private:
  struct Call;
  // A message that was sent and not answered: one of its call.
  struct Sent {
    std::shared_ptr<Call> call;
    std::size_t index = 0;
  };
  void returned(const amqp_basic_return_t& why, Content content) override;
  void confirmed(std::uint64_t tag, bool multiple, bool acked) override;
  void ended(const Error& why) override;
  // What became of it; of a message that came back, that nobody takes it.
  void settle(const Sent& sent, Published answer);

  // Lets go of a channel on a connection that is not the broker's any more, once nothing is under way on it.
  [[nodiscard]] aio::Task<void> follow(aio::Deadline deadline);
  [[nodiscard]] aio::Task<Result<void>> connect(aio::Deadline deadline);
  [[nodiscard]] aio::Task<Result<void>> ready_to_send(aio::Deadline deadline);
  // Sends one message of the call, or settles it as failed.
  [[nodiscard]] aio::Task<void> send(std::shared_ptr<Call> call, std::size_t index, const std::string& exchange,
                                     const std::string& key, const amqp_basic_properties_t& properties,
                                     std::string_view body, aio::Deadline deadline);
  // Sends these, waiting for a broker that is away, and then for the answers to all that was sent.
  [[nodiscard]] aio::Task<void> send_all(std::shared_ptr<Call> call, std::vector<std::size_t> which,
                                         aio::Deadline deadline);
  [[nodiscard]] aio::Task<void> wait(std::shared_ptr<Call> call, aio::Deadline deadline);

  std::shared_ptr<Broker> broker_;
  PublisherOptions options_;
  std::shared_ptr<Connection> connection_;
  std::unique_ptr<Channel> channel_;
  aio::Mutex connecting_;
  std::uint64_t last_tag_ = 0;
  std::map<std::uint64_t, Sent> sent_;                       // by confirm tag, oldest first
  std::unordered_map<std::string, std::string> not_routed_;  // by message id, between return and confirm
};

}  // namespace sluice::queue::rabbit
