// SPDX-License-Identifier: Apache-2.0
// Messages that are too large to keep: forwarded to the dead letters while they come (decisions/0013).
#include <fmt/core.h>

#include <utility>

#include "queue/rabbit/receiver.h"

namespace sluice::queue::rabbit {
namespace {

// A quorum queue counts what comes back, and from some number on, 20 by default in RabbitMQ 4.0, drops the message or
// dead-letters it. So early tries come soon, and then one for each life of a worker.
constexpr std::int64_t put_back_max = 5;

}  // namespace

std::shared_ptr<ContentSink> RabbitReceiver::too_large(const amqp_basic_deliver_t& how, Content content) {
  Held& held = keep(how, std::move(content));
  if (options_.dead_letter_queue.empty()) {
    return nullptr;
  }
  auto properties = std::make_unique<Properties>(*held.properties);
  properties->set(attempts_header, std::int64_t{attempts_of(held)} + (held.uncounted() ? 1 : 0));
  properties->set(cause_header, word(Cause::too_large));
  properties->set(why_header,
                  fmt::format("the body has {} bytes, more than {} (maxBody)", held.body_size, options_.body_max));
  const std::shared_ptr<Forward> forward = Forward::start(broker_, Forward::Letter{.queue = options_.dead_letter_queue,
                                                                                   .pool = held.pool,
                                                                                   .properties = std::move(properties),
                                                                                   .size = held.body_size});
  held.forward = std::make_unique<ForwardHold>(forward);
  return forward;
}

aio::Task<Result<void>> RabbitReceiver::bury_large(Tag tag, aio::Deadline deadline) {
  Held* held = find(tag);
  const std::uint64_t size = held->body_size;
  if (!held->back_at) {
    Result<void> moved = Error{Code::invalid, "there is no queue for dead letters: set deadLetter.queue"};
    if (held->forward) {
      const std::shared_ptr<Forward> forward = held->forward->get();
      moved = co_await forward->outcome(deadline);
    }
    held = find(tag);
    if (moved && held != nullptr) {
      large_backoff_.reset();
      const Result<void> settled = co_await settle(tag, deadline);
      co_return settled;
    }
    if (held == nullptr) {
      co_return unknown_tag();
    }
    if (moved.error().code == Code::throttled) {
      co_return moved;
    }
    // Most of its body was dropped by now, but the broker still has it.
    options_.warn(
        fmt::format("{}: message {} has {} bytes, more than {} (maxBody), and cannot be moved to {}: {}; it "
                    "stays where it is",
                    where(), plain(held->told.message.id, 100), size, options_.body_max, options_.dead_letter_queue,
                    moved.error().what));
    held->back_why = moved.error().what;
    held->back_at = broker_->clock().now() + large_backoff_.next(broker_->random());
  }
  const aio::Deadline back = aio::Deadline{*held->back_at};
  const std::string why = held->back_why;
  if (held->told.delivery_count.value_or(0) >= put_back_max) {
    co_return Error{Code::invalid, "too large, and held until this worker leaves: " + why};
  }
  const aio::Deadline until = back.earlier(deadline);
  co_await broker_->clock().sleep_until(until.at);
  if (find(tag) != nullptr && !back.passed(broker_->clock().now())) {
    co_return Error{Code::throttled, "it waits to be put back"};
  }
  const Result<void> rejected = co_await reject(tag, deadline);
  co_return rejected ? Error{Code::invalid, "too large, and put back: " + why} : rejected.error();
}

}  // namespace sluice::queue::rabbit
