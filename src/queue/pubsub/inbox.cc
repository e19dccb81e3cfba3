// SPDX-License-Identifier: Apache-2.0
#include "queue/pubsub/inbox.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace sluice::queue::pubsub {
namespace {

using namespace std::chrono_literals;

// A server that is not asked to end a pull, or does not listen, does so after 90 s (measured).
constexpr Duration pull_max = 100s;
// Of one that does, for its answer to arrive.
constexpr Duration punctual_max = 10s;
// What a server takes off the time it was given (measured), so that it is given more.
constexpr Duration server_margin = 1s;
// A pull that ends this much before its time without a message was not waited for.
constexpr Duration early = 200ms;
// Not longer does the end of everything wait for a pull that ends by itself.
constexpr Duration soon = 1500ms;
constexpr Duration nack_timeout = 10s;
constexpr Backoff::Options empty_pace{.base = 20ms, .cap = 1s};

}  // namespace

Inbox::Inbox(std::shared_ptr<Service> service, std::shared_ptr<Settler> settler, std::string subscription)
    : changed(service->clock()),
      service_(std::move(service)),
      settler_(std::move(settler)),
      subscription_(std::move(subscription)),
      asked_{.what = "pull",
             .of = subscription_,
             .role = "roles/pubsub.subscriber",
             .command = create_subscription(subscription_, "")},
      empty_(empty_pace) {}

void Inbox::pull(std::size_t max, Duration wait) {
  if (pulling_ || refused_ || service_->clock().now() < next_) {
    return;
  }
  pulling_ = true;
  const auto ended = [self = shared_from_this()](const std::exception_ptr&) {
    self->pulling_ = false;
    self->changed.notify();
  };
  service_->loop().start(run(shared_from_this(), std::min(max, max_), std::clamp(wait, Duration{0}, pull_wait_max)),
                         ended);
}

aio::Task<void> Inbox::run(std::shared_ptr<Inbox> self, std::size_t max, Duration wait) {
  aio::TaskGroup group(self->service_->loop(), self->service_->clock());
  const auto forget = [](aio::TaskGroup** slot) { *slot = nullptr; };
  self->group_ = &group;
  const std::unique_ptr<aio::TaskGroup*, decltype(forget)> scope(&self->group_, forget);
  group.spawn(self->take(max, wait));
  co_await group.join();
}

void Inbox::cut() {
  if (group_ != nullptr) {
    group_->cancel();
  }
}

aio::Task<void> Inbox::end(aio::Deadline deadline) {
  refused_ = true;
  const Time now = service_->clock().now();
  if (pulling_ && punctual_ && ends_at_ <= now + soon) {
    const aio::Deadline then = deadline.earlier(aio::Deadline{ends_at_});
    while (pulling_ && !then.passed(service_->clock().now())) {
      co_await changed.wait(then);
    }
  }
  while (pulling_) {
    cut();
    co_await changed.wait(service_->clock().in(soon));
  }
}

void Inbox::nothing_came(Time began) {
  const Time now = service_->clock().now();
  if (now - began > early) {
    empty_.reset();
  }
  next_ = now + empty_.next(service_->random());
}

aio::Task<void> Inbox::take(std::size_t max, Duration wait) {
  const Time began = service_->clock().now();
  ends_at_ = began + wait + soon / 3;
  aio::Deadline deadline = service_->clock().in(punctual_ ? wait + punctual_max : pull_max);
  const Duration server = wait + server_margin;
  const Result<Answer> answer =
      co_await service_->call("POST", target_of(subscription_, ":pull"), pull_body(max), deadline, server);
  const bool ended_in_time = answer && service_->clock().now() - began < wait + server_margin;
  if (answer && (answer->status == 504 || answer->status == 408 || answer->status == 499)) {
    punctual_ = punctual_ || ended_in_time;
    co_return nothing_came(began);
  }
  if (!answer || !answer->good()) {
    if (!answer && answer.error().code == Code::invalid && max > 1) {
      max_ = max / 2;  // too much in one answer; what was in it comes back when its leases end
    }
    failure = answer ? refused(*answer, asked_) : answer.error().in(subscription_);
    co_return;
  }
  Result<std::vector<Received>> received = parse_pulled(answer->body);
  if (!received) {
    failure = received.error().in(subscription_);
    co_return;
  }
  if (received->empty()) {
    punctual_ = punctual_ || (ended_in_time && wait > early);
    co_return nothing_came(began);
  }
  empty_.reset();
  next_ = Time{};
  if (!refused_) {
    const Time now = service_->clock().now();
    for (Received& one : *received) {
      arrived.push_back(Arrived{.received = std::move(one), .at = now});
    }
    co_return;
  }
  std::vector<std::string> ids;
  for (Received& one : *received) {
    ids.push_back(std::move(one.ack_id));
  }
  deadline = service_->clock().in(nack_timeout);
  const std::vector<Result<void>> back = co_await settler_->modify(std::move(ids), 0s, deadline);
  (void)back;  // else they come back when their leases end
}

}  // namespace sluice::queue::pubsub
