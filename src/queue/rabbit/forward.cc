// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/forward.h"

#include <fmt/core.h>

#include <utility>

#include "base/check.h"

namespace sluice::queue::rabbit {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t waiting_max = 256U << 10U;  // chosen: four reads of the source; it is not read while this is full
// The source is not read for so long at most. RabbitMQ gives up a connection that takes nothing for 15 s (its
// send_timeout), and everything else on it with it.
constexpr Duration stall_max = 10s;
constexpr Duration confirm_max = 30s;  // chosen: a quorum queue has written 128 MiB by then

}  // namespace

Forward::Forward(std::shared_ptr<Broker> broker, Letter letter)
    : broker_(std::move(broker)),
      letter_(std::move(letter)),
      changed_(broker_->clock()),
      emptied_(broker_->clock()),
      done_(broker_->clock()) {}

std::shared_ptr<Forward> Forward::start(std::shared_ptr<Broker> broker, Letter letter) {
  std::shared_ptr<Forward> self(new Forward(std::move(broker), std::move(letter)));
  const auto ended = [](const std::exception_ptr& failure) { check(failure == nullptr, "a forwarding task threw"); };
  self->broker_->loop().start(run(self), ended);
  return self;
}

// --- what comes

void Forward::piece(std::string_view bytes) {
  if (!result_) {
    waiting_ += bytes;
    changed_.notify();
  }
}

bool Forward::full() const {
  return !result_ && waiting_.size() >= waiting_max;
}

aio::Task<void> Forward::room() {
  const std::shared_ptr<Forward> self = shared_from_this();
  const aio::Deadline patience = self->broker_->clock().in(stall_max);
  while (self->full()) {
    const aio::Wake why = co_await self->emptied_.wait(patience);
    if (why == aio::Wake::timeout) {
      self->finish(Error{Code::retry, "the broker took too little of it in time"});
    }
  }
}

void Forward::cut(const Error& why) {
  finish(why);
}

void Forward::abandon() {
  finish(Error{Code::retry, "given up"});
}

void Forward::finish(Result<void> result) {
  if (!result_) {
    result_ = std::move(result);
    waiting_ = std::string();
    changed_.notify();
    emptied_.notify();
    done_.notify();
  }
}

aio::Task<Result<void>> Forward::outcome(aio::Deadline deadline) {
  const std::shared_ptr<Forward> self = shared_from_this();
  while (!self->result_) {
    const aio::Wake why = co_await self->done_.wait(deadline);
    if (why == aio::Wake::timeout && !self->result_) {
      co_return Error{Code::throttled, "it is still on its way to the other queue"};
    }
  }
  co_return *self->result_;
}

// --- what goes

aio::Task<void> Forward::run(std::shared_ptr<Forward> self) {
  const aio::Deadline deadline = self->broker_->clock().in(stall_max);
  const Result<std::unique_ptr<Connection>> connection = co_await self->broker_->separate(deadline);
  if (!connection) {
    self->finish(connection.error());
    co_return;
  }
  Result<std::unique_ptr<Channel>> channel = co_await self->open(**connection);
  if (!channel) {
    self->finish(channel.error());
  } else {
    co_await self->send(**channel);
  }
  const bool whole = !self->begun_ || self->sent_ == self->letter_.size;
  if (whole) {  // else anything but the rest would be a mistake of ours: the connection is cut
    channel = Error{};
    const aio::Deadline patience = self->broker_->clock().in(goodbye_max);
    co_await (*connection)->close(patience);
  }
}

// A channel with confirms, once the queue is known to be there: a queue that is missing would be found out only when
// the whole body was sent.
aio::Task<Result<std::unique_ptr<Channel>>> Forward::open(Connection& connection) {
  const aio::Deadline deadline = broker_->clock().in(stall_max);
  Result<std::unique_ptr<Channel>> channel = co_await connection.channel(*this, 0, deadline);
  if (!channel) {
    co_return channel;
  }
  amqp_queue_declare_t look{};
  look.queue = to_bytes(letter_.queue);
  look.passive = 1;
  const Result<Channel::Answer> there =
      co_await (*channel)->call(AMQP_QUEUE_DECLARE_METHOD, &look, AMQP_QUEUE_DECLARE_OK_METHOD, deadline);
  if (!there) {
    co_return Error{there.error().code == Code::gone ? Code::invalid : there.error().code, there.error().what};
  }
  amqp_confirm_select_t select{.nowait = 0};
  const Result<Channel::Answer> selected =
      co_await (*channel)->call(AMQP_CONFIRM_SELECT_METHOD, &select, AMQP_CONFIRM_SELECT_OK_METHOD, deadline);
  if (!selected) {
    co_return selected.error();
  }
  co_return channel;
}

aio::Task<void> Forward::send(Channel& channel) {
  if (result_) {
    co_return;
  }
  begun_ = true;
  Result<std::uint64_t> position =
      channel.begin_publish("", letter_.queue, true, letter_.properties->get(), letter_.size);
  while (position && !result_ && sent_ < letter_.size) {
    if (waiting_.empty()) {
      // As long as the source lives; cut() comes with its end.
      const aio::Wake why = co_await changed_.wait(aio::Deadline{});
      (void)why;
      continue;
    }
    const std::string bytes = std::exchange(waiting_, {});
    sent_ += bytes.size();
    emptied_.notify();
    position = channel.publish_piece(bytes);
    if (position) {
      const aio::Deadline deadline = broker_->clock().in(stall_max);
      const Result<void> written = co_await channel.written(*position, deadline);
      if (!written) {
        finish(written.error().in("the broker takes no messages"));
      }
    }
  }
  if (!position) {
    finish(position.error());
  }
  const aio::Deadline deadline = broker_->clock().in(confirm_max);
  while (!result_) {
    const aio::Wake why = co_await changed_.wait(deadline);
    if (why == aio::Wake::timeout) {
      finish(Error{Code::retry, "not confirmed in time"});
    }
  }
}

void Forward::returned(const amqp_basic_return_t& why, Content) {
  returned_ = Error{Code::invalid,
                    fmt::format("no queue takes it: {} (AMQP {})", plain(to_view(why.reply_text)), why.reply_code)};
}

void Forward::confirmed(std::uint64_t, bool, bool acked) {
  if (returned_) {
    finish(*returned_);
  } else {
    finish(acked ? Result<void>{} : Result<void>(Error{Code::retry, "the broker refused it (nack)"}));
  }
}

void Forward::ended(const Error& why) {
  finish(why);
}

}  // namespace sluice::queue::rabbit
