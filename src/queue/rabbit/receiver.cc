// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/receiver.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "queue/rabbit/arguments.h"

namespace sluice::queue::rabbit {
namespace {

// Each try brings the whole body again; and a queue for dead letters that is made by hand is used within half a minute.
constexpr Backoff::Options large_backoff{.base = std::chrono::seconds{5}, .cap = std::chrono::seconds{30}};

// Between two looks for a connection with a newer login; the broker's object looks less often itself.
constexpr Duration follow_each = std::chrono::seconds{1};

// Chosen: several times what a delivery takes from the acknowledgement that made room for it, on a busy machine.
constexpr Duration quiet = std::chrono::milliseconds{20};
constexpr Duration come_max = std::chrono::milliseconds{100};

// How much longer than it was asked to a receiver waits for messages that its broker says are there. Chosen: a busy
// broker sends them in that time; where they are for somebody else, a worker must not stay for them.
constexpr Duration slow_delivery = std::chrono::seconds{2};

}  // namespace

RabbitReceiver::RabbitReceiver(std::shared_ptr<Broker> broker, std::shared_ptr<RabbitPublisher> publisher,
                               ReceiverOptions options)
    : broker_(std::move(broker)),
      publisher_(std::move(publisher)),
      options_(std::move(options)),
      changed_(broker_->clock()),
      large_backoff_(large_backoff) {}

// --- what comes

void RabbitReceiver::delivered(const amqp_basic_deliver_t& how, Content content) {
  keep(how, std::move(content));
}

RabbitReceiver::Held& RabbitReceiver::keep(const amqp_basic_deliver_t& how, Content content) {
  Held held{.delivery_tag = how.delivery_tag,
            .pool = std::move(content.pool),
            .properties = &content.properties,
            .told = read_properties(content.properties, content.body),
            .body = std::move(content.body),
            .redelivered = how.redelivered != 0,
            .body_size = content.body_size,
            .too_large = content.body_size > options_.body_max};
  held.id = fnv1a(held.told.message.id);
  const Tag tag = ++last_tag_;
  arrived_.push_back(tag);
  changed_.notify();
  return held_.emplace(tag, std::move(held)).first->second;
}

// The queue was deleted, or moved to another node. What was delivered stays ours to settle.
void RabbitReceiver::cancelled() {
  unsubscribed_ = true;
  changed_.notify();
}

void RabbitReceiver::ended(const Error& why) {
  lost_ = why.in(where());
  if (!connection_->end()) {
    // What closed this channel alone, such as a consumer timeout, says nothing against another: that is answered
    // itself.
    lost_->code = Code::retry;
  }
  untold_ = true;
  const std::unordered_map<Tag, Held> held = std::exchange(held_, {});
  const std::deque<Tag> not_handed_out = std::exchange(arrived_, {});
  changed_.notify();
  for (const auto& [tag, delivery] : held) {
    if (std::ranges::find(not_handed_out, tag) == not_handed_out.end()) {
      lost_delivery_(tag, why);
    }
  }
}

// --- consuming

aio::Task<Result<void>> RabbitReceiver::consume() {
  channel_.reset();
  held_.clear();
  arrived_.clear();
  lost_.reset();
  unsubscribed_ = moving_ = false;
  const aio::Deadline connected = soon();
  const Result<std::shared_ptr<Connection>> connection = co_await broker_->connection(connected);
  if (!connection) {
    co_return connection.error();
  }
  connection_ = *connection;
  const aio::Deadline deadline = soon();  // of its own
  Result<std::unique_ptr<Channel>> channel = co_await connection_->channel(*this, options_.body_max, deadline);
  if (!channel) {
    co_return channel.error().in(broker_->address().text());
  }
  channel_ = std::move(*channel);
  const Result<void> limited = co_await limit(deadline);
  Result<void> consuming = limited ? limited : Result<void>(limited.error().in(where()));
  if (limited) {
    consuming = co_await subscribe(deadline);
  }
  if (!consuming) {
    channel_.reset();
    lost_ = consuming.error();
  }
  co_return consuming;
}

std::string RabbitReceiver::where() const {
  return fmt::format("queue {} on {}", options_.queue, broker_->address().text());
}

aio::Task<Result<void>> RabbitReceiver::limit(aio::Deadline deadline) {
  amqp_basic_qos_t qos{.prefetch_size = 0, .prefetch_count = options_.prefetch, .global = 0};
  const Result<Channel::Answer> answer =
      co_await channel_->call(AMQP_BASIC_QOS_METHOD, &qos, AMQP_BASIC_QOS_OK_METHOD, deadline);
  co_return answer ? Result<void>{} : Result<void>(answer.error());
}

aio::Task<Result<void>> RabbitReceiver::subscribe(aio::Deadline deadline) {
  unsubscribed_ = false;
  amqp_basic_consume_t consume{};
  consume.queue = to_bytes(options_.queue);
  consume.consumer_tag = to_bytes(options_.who);
  Arguments arguments;
  if (options_.held_max) {
    arguments.number("x-consumer-timeout", to_ms(*options_.held_max));
    consume.arguments = arguments.table();
  }
  const Result<Channel::Answer> accepted =
      co_await channel_->call(AMQP_BASIC_CONSUME_METHOD, &consume, AMQP_BASIC_CONSUME_OK_METHOD, deadline);
  co_return accepted ? Result<void>{} : Result<void>(accepted.error().in(where()));
}

// A quorum queue counts what it assigns in the instant of a cancel as an attempt, and sends it to nobody. So what is on
// its way comes first: all that may be held, or nothing for a moment.
aio::Task<void> RabbitReceiver::let_come(aio::Deadline deadline) {
  const aio::Deadline latest = deadline.earlier(broker_->clock().in(come_max));
  for (Tag before = 0; before != last_tag_ && held_.size() < options_.prefetch && !lost_;) {
    before = last_tag_;
    co_await broker_->clock().sleep_until(std::min(broker_->clock().now() + quiet, latest.at));
  }
}

aio::Task<Result<void>> RabbitReceiver::unsubscribe(aio::Deadline deadline) {
  co_await let_come(deadline);
  if (!channel_) {
    co_return Error{Code::retry, where() + ": the connection was lost"};  // meanwhile; receive() makes another
  }
  amqp_basic_cancel_t cancel{.consumer_tag = to_bytes(options_.who), .nowait = 0};
  const Result<Channel::Answer> answer =
      co_await channel_->call(AMQP_BASIC_CANCEL_METHOD, &cancel, AMQP_BASIC_CANCEL_OK_METHOD, deadline);
  if (!answer) {
    co_return answer.error();
  }
  // What a quorum queue had sent before may come behind that answer: the broker's channel waits for the queue, answers,
  // and then looks at what else came from it. It is here before the answer to another question.
  const Result<void> silent = co_await limit(deadline);
  co_return silent;
}

bool RabbitReceiver::up_to_date() const {
  return cancelled_ || (channel_ && !lost_ && !unsubscribed_ && !moving_ && broker_->clock().now() < follow_at_);
}

aio::Task<Result<void>> RabbitReceiver::keep_up() {
  if (cancelled_) {
    co_return Result<void>{};
  }
  if (lost_ && std::exchange(untold_, false)) {
    co_return *lost_;  // it may be what an operator must know, and the next consumer may well begin
  }
  if (lost_ || !channel_) {
    const Result<void> again = co_await consume();
    co_return again;
  }
  const aio::Deadline deadline = soon();
  if (unsubscribed_ && !moving_) {
    const Result<void> again = co_await subscribe(deadline);
    unsubscribed_ = !again;
    co_return again;
  }
  if (!moving_) {
    follow_at_ = broker_->clock().now() + follow_each;
    const Result<std::shared_ptr<Connection>> now = co_await broker_->connection(deadline);
    if (now && *now != connection_ && !lost_ && !cancelled_) {
      moving_ = true;
      const Result<void> stopped = co_await unsubscribe(deadline);
      (void)stopped;  // a channel that ended is begun anew
    }
  }
  if (moving_ && held_.empty()) {
    const Result<void> moved = co_await consume();
    co_return moved;
  }
  co_return Result<void>{};
}

Poller& RabbitReceiver::poller() {
  if (!poller_) {
    poller_ = Poller::of(broker_);
  }
  return *poller_;
}

aio::Task<void> RabbitReceiver::look_for_queues() {
  std::vector<std::pair<std::string, std::string>> wanted;
  if (!options_.dead_letter_queue.empty()) {
    wanted.emplace_back(options_.dead_letter_queue, "dead letters cannot leave the queue");
  }
  for (const RetryQueue& retry : options_.retry_queues) {
    wanted.emplace_back(retry.name, "a retry waits in its worker instead");
  }
  for (const auto& [name, what] : wanted) {
    const aio::Deadline deadline = soon();
    const Result<Poller::Counts> there = co_await poller().counts(name, deadline);
    if (!there && there.error().code == Code::retry) {
      co_return;  // a broker that does not answer: the next connection looks again
    }
    if (!there && there.error().code == Code::gone) {
      options_.warn(fmt::format("queue {} is not on {}: {}; `sluice publish --declare` makes it", name,
                                broker_->address().text(), what));
    }
    looked_ = looked_ || there || there.error().code == Code::gone;
  }
}

aio::Task<Result<void>> RabbitReceiver::open(aio::Deadline) {
  if (closed_) {
    co_return Error{Code::gone, "this receiver is closed"};
  }
  const Result<void> consuming = co_await consume();
  opened_ = opened_ || consuming;
  if (consuming && !looked_) {
    co_await look_for_queues();
  }
  co_return consuming;
}

Result<void> RabbitReceiver::consuming() const {
  if (!opened_ || closed_) {
    return Error{Code::gone, fmt::format("receiver {} is not open", options_.who)};
  }
  return {};
}

std::uint32_t RabbitReceiver::attempts_of(const Held& held) const {
  const std::int64_t counted = std::clamp<std::int64_t>(held.told.delivery_count.value_or(0), 0, 1'000'000);
  return held.told.attempts + static_cast<std::uint32_t>(counted);
}

Cause RabbitReceiver::cause_of(const Held& held) const {
  return std::ranges::find(finished_ids_, held.id) != finished_ids_.end() ? Cause::ack_unknown : Cause::crash;
}

Delivery RabbitReceiver::hand_out(Tag tag, Held& held) {
  Delivery out{.message = {}, .tag = tag, .attempts = attempts_of(held), .cause = held.told.cause};
  if (held.too_large) {
    out.message = held.told.message;  // there may be more to say of it
  } else {
    out.message = std::move(held.told.message);
  }
  out.message.body = held.body;
  if (held.redelivered) {
    out.cause = cause_of(held);
  }
  if (held.too_large || out.cause == Cause::too_large) {
    out.cause = held.too_large ? Cause::too_large : Cause::requeued;  // it may say so of an earlier limit
  }
  if (out.message.published_at) {
    const auto waited = broker_->clock().wall() - *out.message.published_at;
    out.waited = std::max<Duration>(Duration{0}, waited);
  }
  return out;
}

aio::Task<Result<std::vector<Delivery>>> RabbitReceiver::receive(std::size_t max, aio::Deadline deadline) {
  if (const Result<void> usable = consuming(); !usable) {
    co_return usable.error();
  }
  if (!up_to_date()) {
    if (const Result<void> ready = co_await keep_up(); !ready) {
      co_return ready.error();
    }
  }
  std::vector<Delivery> out;
  bool waits = false;  // there are messages, which are slow to come
  bool heard = false;  // the broker, after the deadline: one that says nothing looks like an empty queue
  while (true) {
    while (!arrived_.empty() && out.size() < max) {
      const Tag tag = arrived_.front();
      arrived_.pop_front();
      Held& held = held_.at(tag);
      if (held.uncounted() && !held.too_large) {
        const aio::Deadline counted_by = soon();  // whatever the caller's own: half of it would be for nothing
        const Result<void> counted = co_await put_back(tag, counted_by);
        if (!counted && find(tag) != nullptr) {
          // A queue that takes nothing now may do so later, and must not be asked at once again and again.
          const Code code = counted.error().code == Code::invalid ? Code::denied : counted.error().code;
          const Result<std::uint64_t> back = send_requeue(tag);
          co_return back ? Error{code, counted.error().what} : back.error();
        }
        continue;
      }
      out.push_back(hand_out(tag, held));
    }
    if (!out.empty() || cancelled_ || heard) {
      break;
    }
    if (deadline.passed(broker_->clock().now())) {
      const aio::Deadline patience = soon();
      const Result<Poller::Counts> there = co_await poller().counts(options_.queue, patience);
      if (!there) {
        co_return there.error();
      }
      // No consumers at all: the broker did not look either, or it has not seen this one yet.
      if ((there->ready > 0 || there->consumers == 0) && !std::exchange(waits, true)) {
        deadline = broker_->clock().in(slow_delivery);
        continue;
      }
      heard = true;
      continue;
    }
    if (lost_) {
      untold_ = false;
      co_return *lost_;
    }
    if (unsubscribed_ || (moving_ && held_.empty())) {
      if (const Result<void> ready = co_await keep_up(); !ready) {
        co_return ready.error();
      }
    }
    const aio::Wake why = co_await changed_.wait(deadline);
    (void)why;
    if (const Result<void> usable = consuming(); !usable) {
      co_return usable.error();
    }
  }
  co_return out;
}

}  // namespace sluice::queue::rabbit
