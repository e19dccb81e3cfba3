// SPDX-License-Identifier: Apache-2.0
#pragma once
// A message that is too large to keep, published to another queue while it comes, in bounded memory.
//
//   consumer's connection --piece()--> at most waiting_max --own connection--> the other queue --confirm--> outcome()
//
// A connection of its own, because nothing but the rest of a content may follow its beginning on a channel: if the
// source is cut, this connection is cut, and the broker forgets what it got of the message (decisions/0013). Nobody
// settles the original here; whoever does waits for the outcome.
#include <memory>
#include <optional>
#include <string>

#include "aio/event.h"
#include "queue/rabbit/broker.h"
#include "queue/rabbit/properties.h"

namespace sluice::queue::rabbit {

class Forward final : public ContentSink, private ChannelListener, public std::enable_shared_from_this<Forward> {
 public:
  // What to send, and to which queue. `pool` holds what the properties point at.
  struct Letter {
    std::string queue;
    std::shared_ptr<Pool> pool;
    std::unique_ptr<Properties> properties;
    std::uint64_t size = 0;  // of the body
  };
  // Starts at once; ends by itself when the body stops coming, the broker stops taking or abandon() is called.
  [[nodiscard]] static std::shared_ptr<Forward> start(std::shared_ptr<Broker> broker, Letter letter);

  void piece(std::string_view bytes) override;
  [[nodiscard]] bool full() const override;
  [[nodiscard]] aio::Task<void> room() override;
  void cut(const Error& why) override;

  // Whatever is under way ends without a confirm.
  void abandon();
  // Confirmed: the other queue has all of it. Code::invalid: it will not take it; retry: cut, late or, for now, not
  // taken. Code::throttled at the deadline: still under way.
  [[nodiscard]] aio::Task<Result<void>> outcome(aio::Deadline deadline);

 private:
  Forward(std::shared_ptr<Broker> broker, Letter letter);
  [[nodiscard]] static aio::Task<void> run(std::shared_ptr<Forward> self);
  [[nodiscard]] aio::Task<Result<std::unique_ptr<Channel>>> open(Connection& connection);
  [[nodiscard]] aio::Task<void> send(Channel& channel);
  void finish(Result<void> result);

  void returned(const amqp_basic_return_t& why, Content content) override;
  void confirmed(std::uint64_t tag, bool multiple, bool acked) override;
  void ended(const Error& why) override;

  std::shared_ptr<Broker> broker_;
  Letter letter_;
  std::string waiting_;     // came and is not sent
  bool begun_ = false;      // a content, which ends with its last byte
  std::uint64_t sent_ = 0;  // bytes of the body
  std::optional<Error> returned_;
  std::optional<Result<void>> result_;
  aio::Event changed_;  // more came, or the result
  aio::Event emptied_;  // there is room, or the result
  aio::Event done_;     // the result
};

// Whoever settles the original has one: what it holds ends with it.
class ForwardHold {
 public:
  ForwardHold() = default;
  explicit ForwardHold(std::shared_ptr<Forward> forward) : forward_(std::move(forward)) {}
  ForwardHold(ForwardHold&&) = default;
  ForwardHold& operator=(ForwardHold&&) = delete;
  ForwardHold(const ForwardHold&) = delete;
  ForwardHold& operator=(const ForwardHold&) = delete;
  ~ForwardHold() {
    if (forward_) {
      forward_->abandon();
    }
  }
  [[nodiscard]] const std::shared_ptr<Forward>& get() const { return forward_; }

 private:
  std::shared_ptr<Forward> forward_;
};

}  // namespace sluice::queue::rabbit
