// SPDX-License-Identifier: Apache-2.0
#pragma once
// One consumer of a RabbitMQ queue.
//
// Where attempts are counted: a classic queue only says "redelivered". So a redelivered message is published again with
// its attempts in a header, confirmed, and the old copy acknowledged, before anybody sees it; then it comes with its
// count. A quorum queue counts deliveries itself (x-delivery-count), so a redelivered message is handed out as it is.
// What is put back unfinished is published again too, so that it comes back labelled and without a counted attempt;
// only when that is not confirmed in time is it rejected with requeue, and comes back as a crash.
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "queue/rabbit/broker.h"
#include "queue/rabbit/forward.h"
#include "queue/rabbit/poller.h"
#include "queue/rabbit/properties.h"
#include "queue/rabbit/publisher.h"
#include "queue/rabbit/topology.h"
#include "queue/receiver.h"

namespace sluice::queue::rabbit {

struct ReceiverOptions {
  std::string queue;
  std::string who;                    // the consumer's tag: the worker's name
  std::uint16_t prefetch = 1;         // at most this many deliveries are held
  std::size_t body_max = 16U << 20U;  // larger ones are not kept
  std::string dead_letter_queue;
  // The longest that a delivery may be held: asked for with the consumer, where the broker knows that.
  std::optional<Duration> held_max = {};
  std::vector<RetryQueue> retry_queues;  // shortest delay first
  std::function<void(std::string_view)> warn = [](std::string_view) {};
};

// Of connecting, of beginning to consume, of a question: three round trips each. Chosen: as in a handshake.
inline constexpr Duration step_max = std::chrono::seconds{10};

class RabbitReceiver final : public Receiver, private ChannelListener {
 public:
  RabbitReceiver(std::shared_ptr<Broker> broker, std::shared_ptr<RabbitPublisher> publisher, ReceiverOptions options);

  void on_lost(std::function<void(Tag, const Error&)> tell) override { lost_delivery_ = std::move(tell); }
  aio::Task<Result<void>> open(aio::Deadline deadline) override;
  aio::Task<Result<std::vector<Delivery>>> receive(std::size_t max, aio::Deadline deadline) override;
  aio::Task<Result<void>> begin(Tag tag, aio::Deadline deadline) override;
  std::optional<Result<void>> begin_at_once(Tag tag) override;
  [[nodiscard]] bool counts_what_it_holds() const override { return true; }
  aio::Task<Result<void>> alone(Tag tag, aio::Deadline deadline) override;
  void finished(Tag tag) override;
  aio::Task<Result<void>> ack(Tag tag, aio::Deadline deadline) override;
  aio::Task<std::vector<Result<void>>> ack_all(std::vector<Tag> tags, aio::Deadline deadline) override;
  aio::Task<Result<void>> retry(Tag tag, Duration delay, Cause cause, std::string why, aio::Deadline deadline) override;
  aio::Task<Result<void>> requeue(Tag tag, aio::Deadline deadline) override;
  aio::Task<Result<void>> dead_letter(Tag tag, Cause cause, std::string why, aio::Deadline deadline) override;
  aio::Task<Result<void>> extend(Tag tag, aio::Deadline deadline) override;
  aio::Task<Result<void>> cancel(aio::Deadline deadline) override;
  aio::Task<Result<void>> close(aio::Deadline deadline) override;

 private:
  // One delivery, until it is settled or its channel ends: a tag of an old channel means nothing on a new one.
  struct Held {
    std::uint64_t delivery_tag = 0;
    std::shared_ptr<Pool> pool;  // what the properties lie in
    const amqp_basic_properties_t* properties = nullptr;
    Told told;             // once it was handed out: without the message
    std::uint64_t id = 0;  // its hash
    std::string body;
    bool redelivered = false;
    std::uint64_t body_size = 0;
    bool too_large = false;  // its body is not here: it can only go back, or be forwarded as it comes
    std::unique_ptr<ForwardHold> forward = {};  // to the dead letters, begun as soon as its size was known
    std::optional<Time> back_at = {};           // when that has failed
    std::string back_why = {};
    bool begun = false;
    bool finished = false;
    // It came again, and the broker does not say how often.
    [[nodiscard]] bool uncounted() const { return redelivered && !told.delivery_count; }
  };

  void delivered(const amqp_basic_deliver_t& how, Content content) override;
  std::shared_ptr<ContentSink> too_large(const amqp_basic_deliver_t& how, Content content) override;
  Held& keep(const amqp_basic_deliver_t& how, Content content);
  void cancelled() override;
  void ended(const Error& why) override;

  // Begins anew: connection, channel, prefetch, consumer. Takes as long as a slow link needs, whatever the caller's
  // deadline: one that was given up half way would be begun again from the start, for ever.
  [[nodiscard]] aio::Task<Result<void>> consume();
  // Of what is held, on the channel that is there.
  [[nodiscard]] aio::Task<Result<void>> limit(aio::Deadline deadline);
  // A consumer on the channel that is there.
  [[nodiscard]] aio::Task<Result<void>> subscribe(aio::Deadline deadline);
  [[nodiscard]] aio::Task<void> let_come(aio::Deadline deadline);
  [[nodiscard]] aio::Task<Result<void>> unsubscribe(aio::Deadline deadline);
  // Before anything is received: consumes again where the consumer or its channel ended, and moves to the broker's new
  // connection, if it has one, when nothing is held on the old one any more.
  [[nodiscard]] aio::Task<Result<void>> keep_up();
  [[nodiscard]] bool up_to_date() const;
  // What asks the broker about its queues, on a channel of its own.
  [[nodiscard]] Poller& poller();
  // Warns, once, about queues for dead letters and retries that are not there.
  [[nodiscard]] aio::Task<void> look_for_queues();
  [[nodiscard]] aio::Deadline soon() { return broker_->clock().in(step_max); }
  [[nodiscard]] Result<void> consuming() const;
  [[nodiscard]] Held* find(Tag tag);
  // What a tag is answered with that find() does not know.
  [[nodiscard]] static Error unknown_tag();
  void forget(std::unordered_map<Tag, Held>::iterator held);
  [[nodiscard]] std::string where() const;
  // One that nobody was given, with the attempts and the cause it would have been given with.
  [[nodiscard]] aio::Task<Result<void>> put_back(Tag tag, aio::Deadline deadline);
  // Publishes it again to `key` with this count and cause, and acknowledges it here once that is confirmed.
  [[nodiscard]] aio::Task<Result<void>> pass_on(Tag tag, std::string key, std::uint32_t attempts, Cause cause,
                                                std::string why, aio::Deadline deadline);
  // The end of one that is too large: once it is among the dead letters, or else back in the queue.
  [[nodiscard]] aio::Task<Result<void>> bury_large(Tag tag, aio::Deadline deadline);
  // As it is, for the broker to say "redelivered".
  [[nodiscard]] aio::Task<Result<void>> reject(Tag tag, aio::Deadline deadline);
  [[nodiscard]] aio::Task<Result<void>> settle(Tag tag, aio::Deadline deadline);
  // Both forget it, and return the position of the last byte for written().
  [[nodiscard]] Result<std::uint64_t> send_ack(Tag tag);
  [[nodiscard]] Result<std::uint64_t> send_requeue(Tag tag);
  [[nodiscard]] aio::Task<Result<void>> written(Result<std::uint64_t> sent, aio::Deadline deadline);
  [[nodiscard]] std::uint32_t attempts_of(const Held& held) const;
  // Why a redelivered message came again.
  [[nodiscard]] Cause cause_of(const Held& held) const;
  [[nodiscard]] Delivery hand_out(Tag tag, Held& held);

  std::shared_ptr<Broker> broker_;
  std::shared_ptr<RabbitPublisher> publisher_;
  ReceiverOptions options_;
  std::shared_ptr<Poller> poller_;
  std::shared_ptr<Connection> connection_;
  std::unique_ptr<Channel> channel_;
  bool opened_ = false;
  bool cancelled_ = false;  // by cancel(): nothing new is wanted
  bool closed_ = false;
  std::optional<Error> lost_;  // the channel ended, or the consumer could not be begun
  bool untold_ = false;        // nobody has heard yet why the channel ended
  bool unsubscribed_ = false;  // the channel lives, and what it delivered can be settled
  bool moving_ = false;        // to another connection: takes no more on this one
  bool looked_ = false;        // for the queues around this one
  Time follow_at_{};           // when to ask for a newer connection again
  std::deque<Tag> arrived_;    // not handed out
  std::unordered_map<Tag, Held> held_;
  Tag last_tag_ = 0;
  std::function<void(Tag, const Error&)> lost_delivery_ = [](Tag, const Error&) {};
  aio::Event changed_;
  Backoff large_backoff_;  // of messages that are too large and cannot be dead-lettered either
  // Of messages whose handler succeeded here and whose acknowledgement may not have got through: their redelivery is
  // told.
  std::vector<std::uint64_t> finished_ids_;  // their hashes; the oldest is replaced
  std::size_t finished_next_ = 0;
};

}  // namespace sluice::queue::rabbit
