// SPDX-License-Identifier: Apache-2.0
// How a receiver settles what it was given.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "queue/rabbit/receiver.h"

namespace sluice::queue::rabbit {
namespace {

// Ids that are remembered to label a redelivery; of older ones it is a crash.
constexpr std::size_t finished_ids_max = 10'000;

}  // namespace

Error RabbitReceiver::unknown_tag() {
  return Error{Code::gone, "this delivery is settled already, or its channel has ended"};
}

RabbitReceiver::Held* RabbitReceiver::find(Tag tag) {
  const auto found = held_.find(tag);
  return found == held_.end() ? nullptr : &found->second;
}

// Nothing to tell the broker: that it was redelivered is what it says of a message whose worker died.
std::optional<Result<void>> RabbitReceiver::begin_at_once(Tag tag) {
  Held* held = find(tag);
  if (held == nullptr) {
    return unknown_tag();
  }
  held->begun = true;
  return Result<void>{};
}

aio::Task<Result<void>> RabbitReceiver::begin(Tag tag, aio::Deadline) {
  co_return *begin_at_once(tag);
}

aio::Task<Result<void>> RabbitReceiver::put_back(Tag tag, aio::Deadline deadline) {
  const Held& held = held_.at(tag);
  const Cause told = held.redelivered ? cause_of(held) : held.told.cause;
  const Cause cause = told == Cause::none ? Cause::requeued : told;
  const std::uint32_t attempts = attempts_of(held) + (held.uncounted() ? 1 : 0);
  const Result<void> done = co_await pass_on(tag, options_.queue, attempts, cause, "", deadline);
  co_return done;
}

aio::Task<Result<void>> RabbitReceiver::alone(Tag tag, aio::Deadline deadline) {
  if (find(tag) == nullptr) {
    co_return unknown_tag();
  }
  if (!cancelled_ && !unsubscribed_ && !moving_) {
    const Result<void> stopped = co_await unsubscribe(deadline);
    if (!stopped) {
      co_return stopped;
    }
    unsubscribed_ = true;
  }
  while (!arrived_.empty()) {
    const Tag other = arrived_.front();
    arrived_.pop_front();
    const Result<void> back = co_await put_back(other, deadline);
    if (!back) {
      if (find(other) != nullptr) {
        arrived_.push_front(other);
      }
      co_return back;
    }
  }
  co_return find(tag) != nullptr ? Result<void>{} : Result<void>(unknown_tag());
}

void RabbitReceiver::finished(Tag tag) {
  if (Held* held = find(tag)) {
    held->finished = true;
    if (finished_ids_.size() < finished_ids_max) {
      finished_ids_.push_back(held->id);
    } else {
      finished_ids_[finished_next_++ % finished_ids_max] = held->id;
    }
  }
}

void RabbitReceiver::forget(std::unordered_map<Tag, Held>::iterator held) {
  held_.erase(held);
  if (moving_ && held_.empty()) {
    changed_.notify();
  }
}

Result<std::uint64_t> RabbitReceiver::send_ack(Tag tag) {
  const auto found = held_.find(tag);
  if (found == held_.end()) {
    return unknown_tag();
  }
  amqp_basic_ack_t ack{.delivery_tag = found->second.delivery_tag, .multiple = 0};
  forget(found);
  return channel_->send(AMQP_BASIC_ACK_METHOD, &ack, true);
}

Result<std::uint64_t> RabbitReceiver::send_requeue(Tag tag) {
  const auto found = held_.find(tag);
  if (found == held_.end()) {
    return unknown_tag();
  }
  amqp_basic_nack_t nack{.delivery_tag = found->second.delivery_tag, .multiple = 0, .requeue = 1};
  forget(found);
  return channel_->send(AMQP_BASIC_NACK_METHOD, &nack);
}

aio::Task<Result<void>> RabbitReceiver::written(Result<std::uint64_t> sent, aio::Deadline deadline) {
  if (!sent) {
    co_return sent.error();
  }
  const Result<void> written = co_await channel_->written(*sent, deadline);
  co_return written;
}

aio::Task<Result<void>> RabbitReceiver::settle(Tag tag, aio::Deadline deadline) {
  return written(send_ack(tag), deadline);
}

aio::Task<Result<void>> RabbitReceiver::ack(Tag tag, aio::Deadline deadline) {
  return settle(tag, deadline);
}

aio::Task<std::vector<Result<void>>> RabbitReceiver::ack_all(std::vector<Tag> tags, aio::Deadline deadline) {
  std::vector<Result<void>> out;
  std::uint64_t last = 0;
  for (const Tag tag : tags) {
    const Result<std::uint64_t> sent = send_ack(tag);
    last = sent ? *sent : last;
    out.push_back(sent ? Result<void>{} : Result<void>(sent.error()));
  }
  if (last != 0) {
    const Result<void> written = co_await channel_->written(last, deadline);
    for (Result<void>& one : out) {
      one = one ? written : one;
    }
  }
  co_return out;
}

aio::Task<Result<void>> RabbitReceiver::pass_on(Tag tag, std::string key, std::uint32_t attempts, Cause cause,
                                                std::string why, aio::Deadline deadline) {
  const Held* held = find(tag);
  if (held == nullptr) {
    co_return unknown_tag();
  }
  if (held->too_large) {
    const Result<void> back = co_await reject(tag, deadline);
    co_return back;
  }
  Properties properties(*held->properties);
  properties.set(attempts_header, std::int64_t{attempts});
  properties.set(cause_header, word(cause));
  if (!why.empty()) {
    properties.set(why_header, why);
  }
  // Copies: the delivery may end while this waits.
  const std::string body = held->body;
  const std::shared_ptr<Pool> pool = held->pool;
  const Published copied = co_await publisher_->publish_raw("", std::move(key), properties.get(), body, deadline);
  if (copied.state != PublishState::confirmed) {
    co_return Error{copied.state == PublishState::failed ? Code::invalid : Code::retry, copied.why};
  }
  const Result<void> settled = co_await settle(tag, deadline);
  co_return settled;
}

aio::Task<Result<void>> RabbitReceiver::retry(Tag tag, Duration delay, Cause cause, std::string why,
                                              aio::Deadline deadline) {
  const Held* held = find(tag);
  if (held == nullptr) {
    co_return unknown_tag();
  }
  const std::uint32_t attempts = attempts_of(*held) + 1;
  Result<void> done = Error{Code::invalid, "no queue for retries"};
  if (delay > Duration{0} && !options_.retry_queues.empty()) {
    const auto later =
        std::ranges::find_if(options_.retry_queues, [&](const RetryQueue& q) { return q.delay >= delay; });
    std::string key = later == options_.retry_queues.end() ? options_.retry_queues.back().name : later->name;
    done = co_await pass_on(tag, std::move(key), attempts, cause, why, deadline);
  }
  if (!done && done.error().code == Code::invalid && find(tag) != nullptr) {
    // Nowhere to wait but here: no longer than half of the time for settling it.
    const Time now = broker_->clock().now();
    const aio::Deadline later = aio::Deadline{now + delay}.earlier(deadline.share(now, 2));
    co_await broker_->clock().sleep_until(later.at);
    done = co_await pass_on(tag, options_.queue, attempts, cause, std::move(why), deadline);
  }
  co_return done;
}

aio::Task<Result<void>> RabbitReceiver::requeue(Tag tag, aio::Deadline deadline) {
  const Held* held = find(tag);
  if (held == nullptr) {
    co_return unknown_tag();
  }
  const bool done_before = held->finished;
  const std::uint32_t attempts = attempts_of(*held) + (done_before ? 1 : 0);
  const Cause cause = done_before ? Cause::ack_unknown : Cause::requeued;
  const Result<void> labelled = co_await pass_on(tag, options_.queue, attempts, cause, "", deadline);
  if (labelled || find(tag) == nullptr) {
    co_return labelled;
  }
  const Result<void> back = co_await reject(tag, deadline);
  co_return back;
}

aio::Task<Result<void>> RabbitReceiver::reject(Tag tag, aio::Deadline deadline) {
  return written(send_requeue(tag), deadline);
}

aio::Task<Result<void>> RabbitReceiver::dead_letter(Tag tag, Cause cause, std::string why, aio::Deadline deadline) {
  const Held* held = find(tag);
  if (held == nullptr) {
    co_return unknown_tag();
  }
  if (held->too_large) {
    const Result<void> done = co_await bury_large(tag, deadline);
    co_return done;
  }
  if (options_.dead_letter_queue.empty()) {
    co_return Error{Code::invalid,
                    fmt::format("queue {} has no queue for dead letters: set deadLetter.queue", options_.queue)};
  }
  const std::uint32_t attempts = attempts_of(*held) + (held->begun ? 1 : 0);
  const Result<void> done =
      co_await pass_on(tag, options_.dead_letter_queue, attempts, cause, std::move(why), deadline);
  co_return done;
}

// A delivery is kept as long as its channel lives; heartbeats are the connection's.
aio::Task<Result<void>> RabbitReceiver::extend(Tag tag, aio::Deadline) {
  co_return find(tag) != nullptr ? Result<void>{} : Result<void>(unknown_tag());
}

aio::Task<Result<void>> RabbitReceiver::cancel(aio::Deadline deadline) {
  cancelled_ = true;
  changed_.notify();
  if (!channel_ || channel_->end() || unsubscribed_) {
    co_return Result<void>{};
  }
  const Result<void> stopped = co_await unsubscribe(deadline);
  unsubscribed_ = stopped.has_value();
  co_return stopped;
}

// First no more deliveries: what is put back would come again at once.
aio::Task<Result<void>> RabbitReceiver::close(aio::Deadline deadline) {
  if (std::exchange(closed_, true) || !channel_) {
    co_return Result<void>{};
  }
  const Result<void> stopped = co_await cancel(deadline);
  arrived_.clear();
  std::vector<Tag> all;
  for (const auto& [tag, held] : held_) {
    all.push_back(tag);
  }
  std::ranges::sort(all);
  for (const Tag tag : all) {
    const Result<void> back = co_await requeue(tag, deadline);
    (void)back;  // the end of the channel puts back what is left
  }
  channel_.reset();
  co_return stopped;
}

}  // namespace sluice::queue::rabbit
