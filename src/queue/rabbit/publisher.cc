// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/publisher.h"

#include <fmt/core.h>

#include <utility>

#include "queue/rabbit/properties.h"

namespace sluice::queue::rabbit {
namespace {

// Between two looks for a broker that is away, which the broker itself spaces further: within 5 s of its return.
constexpr Duration again_after = std::chrono::milliseconds{100};
constexpr std::size_t short_text_max = 255;  // of a "short string" (specification section 4.2.5.3)

// Why the broker could never be told this; empty when it can.
std::string unsendable(const Message& message, std::size_t body_max) {
  if (message.id.empty() || message.id.size() > short_text_max) {
    return fmt::format("its id has {} bytes; accepted: 1 to {}", message.id.size(), short_text_max);
  }
  if (message.type.size() > short_text_max) {
    return fmt::format("its type has {} bytes; accepted: at most {}", message.type.size(), short_text_max);
  }
  for (const auto& [key, value] : message.headers) {
    if (key.empty() || key.size() > short_text_max) {
      return fmt::format("the name of a header has {} bytes; accepted: 1 to {}", key.size(), short_text_max);
    }
  }
  if (message.body.size() > body_max) {
    return fmt::format("its body has {} bytes; accepted: at most {} (maxBody)", message.body.size(), body_max);
  }
  return "";
}

}  // namespace

// One publish() and what became of its messages.
struct RabbitPublisher::Call {
  Call(aio::Clock& clock, std::vector<Message> b) : batch(std::move(b)), answers(batch.size()), done(clock) {}
  // It was sent, and nobody knows what became of it.
  [[nodiscard]] bool cut_off(std::size_t index) const {
    return answers[index].state == PublishState::unknown && !answers[index].why.empty();
  }
  std::vector<Message> batch;
  std::vector<Published> answers;
  std::size_t open = 0;  // sent and not answered
  bool again = false;    // the last one met a broker that may come back
  std::string refused;   // what ended the channel and would end the next one as well
  aio::Event done;
};

RabbitPublisher::RabbitPublisher(std::shared_ptr<Broker> broker, PublisherOptions options)
    : broker_(std::move(broker)), options_(std::move(options)), connecting_(broker_->clock()) {}

aio::Task<void> RabbitPublisher::follow(aio::Deadline deadline) {
  if (!channel_ || channel_->end() || !sent_.empty()) {
    co_return;
  }
  const Result<std::shared_ptr<Connection>> now = co_await broker_->connection(deadline);
  if (now && *now != connection_ && sent_.empty()) {
    channel_.reset();
    connection_ = *now;
  }
}

aio::Task<Result<void>> RabbitPublisher::connect(aio::Deadline deadline) {
  const std::optional<aio::Mutex::Hold> alone = co_await connecting_.lock(deadline);
  if (!alone) {
    co_return Error{Code::retry, "not connected in time"};
  }
  if (channel_ && !channel_->end()) {
    co_return Result<void>{};
  }
  channel_.reset();
  const Result<std::shared_ptr<Connection>> connection = co_await broker_->connection(deadline);
  if (!connection) {
    co_return connection.error();
  }
  connection_ = *connection;
  Result<std::unique_ptr<Channel>> channel = co_await connection_->channel(*this, 1U << 20U, deadline);
  if (!channel) {
    co_return channel.error().in(broker_->address().text());
  }
  amqp_confirm_select_t select{.nowait = 0};
  const Result<Channel::Answer> selected =
      co_await (*channel)->call(AMQP_CONFIRM_SELECT_METHOD, &select, AMQP_CONFIRM_SELECT_OK_METHOD, deadline);
  if (!selected) {
    co_return selected.error().in(broker_->address().text());
  }
  last_tag_ = 0;
  channel_ = std::move(*channel);
  co_return Result<void>{};
}

aio::Task<Result<void>> RabbitPublisher::ready_to_send(aio::Deadline deadline) {
  if (deadline.passed(broker_->clock().now())) {
    co_return Error{Code::retry, "not sent: the deadline has passed"};
  }
  const Result<void> connected = co_await connect(deadline);
  if (!connected) {
    co_return connected.error();
  }
  const Result<void> room = co_await channel_->room(true, deadline);
  co_return room;
}

void RabbitPublisher::settle(const Sent& sent, Published answer) {
  if (!not_routed_.empty()) {
    if (auto back = not_routed_.extract(sent.call->batch[sent.index].id)) {
      answer = {PublishState::failed, std::move(back.mapped())};
    }
  }
  sent.call->answers[sent.index] = std::move(answer);
  if (--sent.call->open == 0) {
    sent.call->done.notify();
  }
}

// A message that cannot be routed comes back first and is confirmed then.
void RabbitPublisher::returned(const amqp_basic_return_t& why, Content content) {
  const amqp_basic_properties_t& properties = content.properties;
  if ((properties._flags & AMQP_BASIC_MESSAGE_ID_FLAG) != 0) {
    not_routed_[std::string(to_view(properties.message_id))] =
        fmt::format("no queue takes it: {} (AMQP {})", plain(to_view(why.reply_text)), why.reply_code);
  }
}

void RabbitPublisher::confirmed(std::uint64_t tag, bool multiple, bool acked) {
  const auto first = multiple ? sent_.begin() : sent_.find(tag);
  const auto last = multiple ? sent_.upper_bound(tag) : first == sent_.end() ? first : std::next(first);
  for (auto at = first; at != last; ++at) {
    settle(at->second, acked ? Published{PublishState::confirmed, ""}
                             : Published{PublishState::failed, "the broker refused it (nack)"});
  }
  sent_.erase(first, last);
}

void RabbitPublisher::ended(const Error& why) {
  not_routed_.clear();
  for (const auto& [tag, sent] : std::exchange(sent_, {})) {
    if (why.code != Code::retry && why.code != Code::throttled) {
      sent.call->refused = why.what;
    }
    settle(sent, Published{PublishState::unknown, "sent and not confirmed: " + why.what});
  }
}

aio::Task<void> RabbitPublisher::wait(std::shared_ptr<Call> call, aio::Deadline deadline) {
  while (call->open > 0) {
    const aio::Wake why = co_await call->done.wait(deadline);
    if (why == aio::Wake::timeout && call->open > 0) {
      std::erase_if(sent_, [&](const auto& entry) {
        const bool ours = entry.second.call == call;
        if (ours) {
          settle(entry.second, {PublishState::unknown, "sent and not confirmed in time"});
        }
        return ours;
      });
    }
  }
}

aio::Task<void> RabbitPublisher::send(std::shared_ptr<Call> call, std::size_t index, const std::string& exchange,
                                      const std::string& key, const amqp_basic_properties_t& properties,
                                      std::string_view body, aio::Deadline deadline) {
  // One that was sent before and cut off stays unknown until it is confirmed.
  const bool unknown = call->cut_off(index);
  Result<void> sent = co_await ready_to_send(deadline);
  if (sent) {
    const Result<std::uint64_t> position = channel_->publish(exchange, key, true, properties, body);
    sent = position ? Result<void>{} : Result<void>(position.error());
  }
  if (!sent) {
    call->answers[index] = {unknown ? PublishState::unknown : PublishState::failed,
                            unknown ? "sent, cut off, and not sent again: " + sent.error().what : sent.error().what};
    call->again = sent.error().code == Code::retry;
    co_return;
  }
  ++call->open;
  sent_.emplace(++last_tag_, Sent{call, index});
}

aio::Task<std::vector<Published>> RabbitPublisher::publish(std::vector<Message> batch, aio::Deadline deadline) {
  const auto call = std::make_shared<Call>(broker_->clock(), std::move(batch));
  co_await follow(deadline);
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < call->batch.size(); ++i) {
    std::string why = unsendable(call->batch[i], options_.body_max);
    if (why.empty()) {
      open.push_back(i);
    } else {
      call->answers[i] = {PublishState::failed, std::move(why)};
    }
  }
  co_await send_all(call, open, deadline);
  // What was cut off goes again with the same id, as long as there is time.
  while (true) {
    std::erase_if(open, [&call](std::size_t i) { return call->answers[i].state != PublishState::unknown; });
    const Time again = broker_->clock().now() + again_after;
    if (open.empty() || !call->refused.empty() || deadline.passed(again)) {
      break;
    }
    co_await broker_->clock().sleep_until(again);
    co_await send_all(call, open, deadline);
  }
  co_return std::move(call->answers);
}

aio::Task<void> RabbitPublisher::send_all(std::shared_ptr<Call> call, std::vector<std::size_t> which,
                                          aio::Deadline deadline) {
  for (const std::size_t i : which) {
    if (!call->refused.empty()) {
      if (!call->cut_off(i)) {
        call->answers[i] = {PublishState::failed, "not sent: " + call->refused};
      }
      continue;
    }
    Message& message = call->batch[i];
    message.published_at = message.published_at.value_or(broker_->clock().wall());
    Properties properties(message);
    if (call->cut_off(i)) {
      properties.set(cause_header, word(Cause::resent));
    }
    while (true) {
      call->again = false;
      co_await send(call, i, options_.exchange, options_.key, properties.get(), message.body, deadline);
      const Time again = broker_->clock().now() + again_after;
      if (!call->again || deadline.passed(again)) {
        break;
      }
      co_await broker_->clock().sleep_until(again);
    }
  }
  co_await wait(call, deadline);
}

aio::Task<Published> RabbitPublisher::publish_raw(std::string exchange, std::string key,
                                                  const amqp_basic_properties_t& properties, std::string_view body,
                                                  aio::Deadline deadline) {
  std::vector<Message> one(1);
  if ((properties._flags & AMQP_BASIC_MESSAGE_ID_FLAG) != 0) {
    one.front().id = to_view(properties.message_id);
  }
  const auto call = std::make_shared<Call>(broker_->clock(), std::move(one));
  co_await follow(deadline);
  co_await send(call, 0, exchange, key, properties, body, deadline);
  co_await wait(call, deadline);
  co_return std::move(call->answers.front());
}

}  // namespace sluice::queue::rabbit
