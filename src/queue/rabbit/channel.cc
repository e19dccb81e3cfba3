// SPDX-License-Identifier: Apache-2.0
// Channels: calls, content, confirms, and how they end.
#include <fmt/core.h>

#include <algorithm>

#include "queue/rabbit/connection.h"
#include "queue/rabbit/connection_state.h"

namespace sluice::queue::rabbit {

namespace {

// Of what a header announces, before any of it has come.
constexpr std::uint64_t reserved_max = 1U << 20U;

Error protocol_error(std::string_view why) {
  return Error{Code::invalid, fmt::format("the broker breaks the protocol: {}", why)};
}

template <class Confirm>
Result<void> confirm(ChannelListener* listener, const Method& method, bool acked) {
  Pool pool;
  const auto told = method.as<Confirm>(pool);
  if (told && listener != nullptr) {
    listener->confirmed((*told)->delivery_tag, (*told)->multiple != 0, acked);
  }
  return told ? Result<void>{} : Result<void>(told.error());
}

}  // namespace

// --- what comes, on the connection's reading task

Result<void> Connection::State::take(const Frame& frame) {
  if (frame.type == FrameType::heartbeat) {
    return {};
  }
  if (frame.channel == 0) {
    return take_control(Method(frame));  // first_frame() lets only methods through
  }
  const auto found = channels.find(frame.channel);
  if (found == channels.end()) {
    // A channel that is given up hears on until its close is answered; nobody else has a number that is not open.
    return frame.type == FrameType::method && Method(frame).number() == AMQP_CHANNEL_CLOSE_OK_METHOD
               ? Result<void>{}
               : Result<void>(protocol_error(fmt::format("a frame for channel {}, which is not open", frame.channel)));
  }
  const std::shared_ptr<Channel::State> channel = found->second;
  switch (frame.type) {
    case FrameType::method:
      return take_method(*channel, Method(frame));
    case FrameType::header:
      return take_head(*channel, frame);
    case FrameType::body:
      return take_body(*channel, frame.payload);
    case FrameType::heartbeat:
      break;
  }
  return {};
}

Result<void> Connection::State::take_control(const Method& method) {
  Pool pool;
  switch (method.number()) {
    case AMQP_CONNECTION_CLOSE_METHOD: {
      const auto close = method.as<amqp_connection_close_t>(pool);
      if (!close) {
        return close.error();
      }
      amqp_connection_close_ok_t answer{};
      append_method(out, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &answer, options.limits.frame_max);
      // 320 is an operator's doing, and the broker comes back.
      return refusal((*close)->reply_code, to_view((*close)->reply_text));
    }
    case AMQP_CONNECTION_BLOCKED_METHOD: {
      const auto alarm = method.as<amqp_connection_blocked_t>(pool);
      if (!alarm) {
        return alarm.error();
      }
      blocked = plain(to_view((*alarm)->reason));
      blocked = blocked.empty() ? "no reason given" : blocked;
      progress.notify();
      return {};
    }
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
      blocked.clear();
      progress.notify();
      return {};
    default:
      return take_method(*control, method);
  }
}

Result<void> Connection::State::take_method(Channel::State& channel, const Method& method) {
  if (channel.arriving) {
    return protocol_error(fmt::format("{} in the middle of content", method.name()));
  }
  Pool pool;
  switch (method.number()) {
    case AMQP_BASIC_DELIVER_METHOD:
    case AMQP_BASIC_RETURN_METHOD:
      return take_content(channel, method);
    case AMQP_BASIC_ACK_METHOD:
      return confirm<amqp_basic_ack_t>(channel.listener, method, true);
    case AMQP_BASIC_NACK_METHOD:
      return confirm<amqp_basic_nack_t>(channel.listener, method, false);
    case AMQP_BASIC_CANCEL_METHOD:
      if (channel.listener != nullptr) {
        channel.listener->cancelled();
      }
      return {};
    case AMQP_CHANNEL_CLOSE_METHOD: {
      const auto close = method.as<amqp_channel_close_t>(pool);
      if (!close) {
        return close.error();
      }
      close_channel(channel, **close);
      return {};
    }
    case AMQP_CHANNEL_CLOSE_OK_METHOD:
      if (!channel.turn.held()) {
        channels.erase(channel.number);
        return {};
      }
      break;
    default:
      break;
  }
  if (channel.end) {
    return {};  // given up here: what was on its way is dropped
  }
  if (!channel.turn.held() || channel.answer) {
    if (channel.listener != nullptr && channel.listener->answered(method)) {
      return {};
    }
    return protocol_error(fmt::format("{}, which nobody asked for", method.name()));
  }
  channel.answer = Channel::Answer{.number = method.number(), .arguments = std::string(method.arguments())};
  channel.answered.notify();
  return {};
}

void Connection::State::close_channel(Channel::State& channel, const amqp_channel_close_t& close) {
  amqp_channel_close_ok_t answer{};
  append_method(out, channel.number, AMQP_CHANNEL_CLOSE_OK_METHOD, &answer, options.limits.frame_max);
  sent();
  const Error why = refusal(close.reply_code, to_view(close.reply_text));
  channel.finish(why);
  channels.erase(channel.number);
}

Result<void> Connection::State::take_content(Channel::State& channel, const Method& method) {
  Arriving& arriving = channel.arriving.emplace();
  arriving.pool = std::make_shared<Pool>();
  const Method kept(method.number(), keep(method.arguments(), *arriving.pool));
  if (method.number() == AMQP_BASIC_DELIVER_METHOD) {
    const auto delivered = kept.as<amqp_basic_deliver_t>(*arriving.pool);
    arriving.delivered = delivered.value_or(nullptr);
    return delivered ? Result<void>{} : Result<void>(delivered.error());
  }
  const auto returned = kept.as<amqp_basic_return_t>(*arriving.pool);
  arriving.returned = returned.value_or(nullptr);
  return returned ? Result<void>{} : Result<void>(returned.error());
}

Result<void> Connection::State::take_head(Channel::State& channel, const Frame& frame) {
  if (!channel.arriving || channel.arriving->properties != nullptr) {
    return protocol_error("a content header that no method announced");
  }
  Arriving& arriving = *channel.arriving;
  const Result<ContentHead> head = decode_head(frame, *arriving.pool);
  if (!head) {
    return head.error();
  }
  arriving.properties = head->properties;
  arriving.size = head->body_size;
  arriving.too_large = head->body_size > channel.body_max;
  if (!arriving.too_large) {
    arriving.body.reserve(std::min(arriving.size, reserved_max));
  }
  if (arriving.too_large && arriving.delivered != nullptr) {
    announce(channel);
  }
  if (arriving.size == 0) {
    deliver(channel);
  }
  return {};
}

void Connection::State::announce(Channel::State& channel) {
  Arriving& arriving = *channel.arriving;
  if (channel.listener != nullptr) {
    ChannelListener::Content content{
        .pool = std::move(arriving.pool), .properties = *arriving.properties, .body = {}, .body_size = arriving.size};
    arriving.sink = channel.listener->too_large(*arriving.delivered, std::move(content));
  }
}

Result<void> Connection::State::take_body(Channel::State& channel, std::string_view bytes) {
  if (!channel.arriving || channel.arriving->properties == nullptr) {
    return protocol_error("content that no header announced");
  }
  Arriving& arriving = *channel.arriving;
  arriving.come += bytes.size();
  if (arriving.come > arriving.size) {
    return protocol_error("more content than its header announced");
  }
  if (!arriving.too_large) {
    arriving.body += bytes;
  } else if (arriving.sink) {
    arriving.sink->piece(bytes);
    full = arriving.sink->full() ? arriving.sink : full;
  }
  if (arriving.come == arriving.size) {
    deliver(channel);
  }
  return {};
}

void Connection::State::deliver(Channel::State& channel) {
  Arriving arriving = std::move(*channel.arriving);
  channel.arriving.reset();
  if (channel.listener == nullptr || (arriving.delivered != nullptr && arriving.too_large)) {
    return;  // nobody's, or announced
  }
  ChannelListener::Content content{.pool = std::move(arriving.pool),
                                   .properties = *arriving.properties,
                                   .body = std::move(arriving.body),
                                   .body_size = arriving.size};
  if (arriving.delivered != nullptr) {
    channel.listener->delivered(*arriving.delivered, std::move(content));
  } else {
    channel.listener->returned(*arriving.returned, std::move(content));
  }
}

void Channel::State::finish(const Error& why) {
  if (end) {
    return;
  }
  end = why;
  answered.notify();
  if (arriving && arriving->sink) {
    arriving->sink->cut(why);
  }
  if (listener != nullptr) {
    listener->ended(why);
  }
}

// --- what goes

aio::Task<Result<std::unique_ptr<Channel>>> Connection::channel(ChannelListener& listener, std::size_t body_max,
                                                                aio::Deadline deadline) {
  const std::shared_ptr<State> state = state_;
  if (state->end) {
    co_return *state->end;
  }
  if (state->channels.size() >= state->options.limits.channel_max) {
    co_return Error{Code::throttled,
                    fmt::format("all {} channels of the connection are in use", state->channels.size())};
  }
  while (state->next_channel == 0 || state->next_channel > state->options.limits.channel_max ||
         state->channels.contains(state->next_channel)) {
    state->next_channel = state->next_channel >= state->options.limits.channel_max
                              ? 1
                              : static_cast<std::uint16_t>(state->next_channel + 1);
  }
  const std::uint16_t number = state->next_channel++;
  auto inner = std::make_shared<Channel::State>(state, number, &listener, body_max, state->clock);
  state->channels.emplace(number, inner);
  auto channel = std::make_unique<Channel>(std::move(inner));
  amqp_channel_open_t open{};
  const Result<Channel::Answer> opened =
      co_await channel->call(AMQP_CHANNEL_OPEN_METHOD, &open, AMQP_CHANNEL_OPEN_OK_METHOD, deadline);
  if (!opened) {
    co_return opened.error();
  }
  co_return channel;
}

Channel::~Channel() {
  state_->listener = nullptr;
  if (state_->number == 0 || state_->end) {
    return;
  }
  // Its number is free again when the broker has answered; until then what still comes for it is dropped.
  amqp_channel_close_t close{
      .reply_code = 200, .reply_text = ::amqp_cstring_bytes("goodbye"), .class_id = 0, .method_id = 0};
  append_method(state_->connection->out, state_->number, AMQP_CHANNEL_CLOSE_METHOD, &close,
                state_->connection->options.limits.frame_max);
  state_->connection->sent();
  state_->end = Error{Code::gone, "the channel is closed"};
}

const std::optional<Error>& Channel::end() const {
  return state_->end;
}

aio::Task<Result<Channel::Answer>> Channel::call(amqp_method_number_t number, void* arguments,
                                                 amqp_method_number_t expected, aio::Deadline deadline) {
  const std::shared_ptr<State> state = state_;
  const std::optional<aio::Mutex::Hold> turn = co_await state->turn.lock(deadline);
  if (!turn) {
    co_return Error{Code::retry, "the broker did not answer earlier calls in time"};
  }
  if (state->end) {
    co_return *state->end;
  }
  state->answer.reset();
  if (number != 0) {  // 0: waits for what the broker says first
    append_method(state->connection->out, state->number, number, arguments,
                  state->connection->options.limits.frame_max);
  }
  state->connection->sent();
  while (!state->answer && !state->end) {
    const aio::Wake why = co_await state->answered.wait(deadline);
    if (why == aio::Wake::timeout && !state->answer && !state->end) {
      const Error late{Code::retry, "the broker did not answer in time"};
      state->connection->finish(late);
      co_return late;
    }
  }
  if (!state->answer) {
    co_return *state->end;
  }
  if (state->answer->number != expected) {
    const Error other = protocol_error(
        fmt::format("{} where {} belongs", Method(state->answer->number, "").name(), Method(expected, "").name()));
    state->connection->finish(other);
    co_return other;
  }
  co_return std::move(*state->answer);
}

Result<std::uint64_t> Channel::send(amqp_method_number_t number, void* arguments, bool written_follows) {
  if (state_->end) {
    return *state_->end;
  }
  Connection::State& connection = *state_->connection;
  append_method(connection.out, state_->number, number, arguments, connection.options.limits.frame_max);
  return written_follows ? connection.given + connection.out.size() : connection.sent();
}

Result<std::uint64_t> Channel::publish(std::string_view exchange, std::string_view key, bool mandatory,
                                       const amqp_basic_properties_t& properties, std::string_view body) {
  if (state_->end) {
    return *state_->end;
  }
  Result<std::uint64_t> position = begin_publish(exchange, key, mandatory, properties, body.size());
  if (position) {
    position = publish_piece(body);
  }
  return position;
}

Result<std::uint64_t> Channel::begin_publish(std::string_view exchange, std::string_view key, bool mandatory,
                                             const amqp_basic_properties_t& properties, std::uint64_t size) {
  if (state_->end) {
    return *state_->end;
  }
  Connection::State& connection = *state_->connection;
  const std::uint32_t frame_max = connection.options.limits.frame_max;
  const std::size_t begin = connection.out.size();
  amqp_basic_publish_t publish{.ticket = 0,
                               .exchange = to_bytes(exchange),
                               .routing_key = to_bytes(key),
                               .mandatory = mandatory ? 1 : 0,
                               .immediate = 0};
  append_method(connection.out, state_->number, AMQP_BASIC_PUBLISH_METHOD, &publish, frame_max);
  const Result<void> head = append_head(connection.out, state_->number, properties, size, frame_max);
  if (!head) {
    connection.out.resize(begin);  // nothing of it was sent
    return head.error();
  }
  return connection.sent();
}

Result<std::uint64_t> Channel::publish_piece(std::string_view bytes) {
  if (state_->end) {
    return *state_->end;
  }
  Connection::State& connection = *state_->connection;
  append_body(connection.out, state_->number, bytes, connection.options.limits.frame_max);
  return connection.sent();
}

aio::Task<Result<void>> Channel::written(std::uint64_t position, aio::Deadline deadline) {
  return state_->connection->written_to(position, deadline);
}

aio::Task<Result<void>> Channel::room(bool publishes, aio::Deadline deadline) {
  const std::shared_ptr<State> state = state_;
  Connection::State& connection = *state->connection;
  while (!state->end &&
         (connection.out.size() > connection.options.out_max || (publishes && !connection.blocked.empty()))) {
    const aio::Wake why = co_await connection.progress.wait(deadline);
    if (why == aio::Wake::timeout) {
      co_return Error{Code::throttled, connection.blocked.empty()
                                           ? std::string("the broker takes too little")
                                           : "the broker takes no messages: " + connection.blocked};
    }
  }
  if (state->end) {
    co_return *state->end;
  }
  co_return Result<void>{};
}

}  // namespace sluice::queue::rabbit
