// SPDX-License-Identifier: Apache-2.0
#include "queue/pubsub/receiver.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace sluice::queue::pubsub {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t notes_max = 10'000;
constexpr std::chrono::seconds lease_least = 10s;  // no subscription has a shorter ack deadline
constexpr Duration lease_most = 60s;  // chosen: what a dead worker held is back a minute later at the latest

// Awaiting anything throws when the caller was cancelled; this is the cheapest anything.
aio::Task<void> unless_cancelled() {
  co_return;
}

}  // namespace

const Notes::Note* Notes::find(const std::string& id) const {
  const auto found = notes_.find(id);
  return found == notes_.end() ? nullptr : &found->second;
}

Notes::Note& Notes::of(const std::string& id) {
  const auto [at, fresh] = notes_.try_emplace(id);
  if (fresh) {
    order_.push_back(id);
    if (order_.size() > notes_max) {
      notes_.erase(order_.front());
      order_.pop_front();
    }
  }
  return notes_.at(id);
}

Duration lease_of(std::optional<std::chrono::seconds> ack_deadline) {
  return std::clamp<Duration>(ack_deadline.value_or(lease_least), lease_least, lease_most);
}

PubsubReceiver::PubsubReceiver(std::shared_ptr<Service> service, ReceiverOptions options)
    : service_(std::move(service)),
      options_(std::move(options)),
      settler_(std::make_shared<Settler>(service_, options_.subscription)),
      inbox_(std::make_shared<Inbox>(service_, settler_, options_.subscription)),
      dead_letters_(service_, options_.dead_letter_topic),
      lease_(lease_least),
      extended_(service_->clock()) {}

PubsubReceiver::~PubsubReceiver() {
  inbox_->refuse();
  inbox_->cut();
}

// Who may pull need not be allowed to read the settings: then the shortest lease there is holds.
aio::Task<Result<void>> PubsubReceiver::open(aio::Deadline deadline) {
  if (closed_) {
    co_return Error{Code::gone, "this receiver is closed"};
  }
  Asked asked{.what = "get",
              .of = options_.subscription,
              .role = "roles/pubsub.viewer",
              .command = create_subscription(options_.subscription, "")};
  const Result<std::string> body =
      co_await service_->ask("GET", target_of(options_.subscription), "", std::move(asked), deadline);
  if (!body && body.error().code != Code::denied) {
    co_return body.error();
  }
  if (body) {
    const Result<SubscriptionInfo> info = parse_subscription(*body);
    if (!info) {
      co_return info.error().in(options_.subscription);
    }
    if (info->pushes || info->orphaned) {
      co_return Error{Code::invalid,
                      fmt::format("{}: {}: nothing can be pulled from it", options_.subscription,
                                  info->pushes ? "pushes to an address of its own" : "is detached from its topic")};
    }
    lease_ = lease_of(info->ack_deadline);
  }
  opened_ = true;
  co_return Result<void>{};
}

aio::Task<Result<std::vector<Delivery>>> PubsubReceiver::receive(std::size_t max, aio::Deadline deadline) {
  check(max >= 1, "receive() for nothing");
  while (true) {
    if (!opened_ || closed_) {
      co_return Error{Code::gone, "receiver " + options_.who + " is not open"};
    }
    std::vector<Delivery> out;
    co_await hand_out(max, out, deadline);
    if (!out.empty()) {
      co_return out;
    }
    if (inbox_->failure && !cancelled_) {
      co_return *std::exchange(inbox_->failure, std::nullopt);
    }
    const Time now = service_->clock().now();
    if (!cancelled_) {
      inbox_->pull(max, deadline.left(now));
    }
    if (cancelled_ || deadline.passed(now)) {
      co_return std::vector<Delivery>{};
    }
    const bool paced = !inbox_->pulling();
    const aio::Deadline again = paced ? deadline.earlier(aio::Deadline{inbox_->next_pull()}) : deadline;
    co_await inbox_->changed.wait(again);
    co_await unless_cancelled();
  }
}

// Those that lay here for long get their lease anew first: who takes them counts from now.
aio::Task<void> PubsubReceiver::hand_out(std::size_t max, std::vector<Delivery>& out, aio::Deadline deadline) {
  const Time now = service_->clock().now();
  std::erase_if(inbox_->arrived, [&](const Inbox::Arrived& one) { return now - one.at >= lease_; });
  if (inbox_->arrived.empty() || closed_) {
    co_return;
  }
  if (now - inbox_->arrived.front().at > lease_ / 20) {
    std::vector<std::string> ids;
    for (const Inbox::Arrived& one : inbox_->arrived) {
      ids.push_back(one.received.ack_id);
    }
    const aio::Deadline soon = service_->clock().in(lease_ / 3).earlier(aio::Deadline{std::max(deadline.at, now + 1s)});
    const std::chrono::seconds lease = std::chrono::duration_cast<std::chrono::seconds>(lease_);
    const std::vector<Result<void>> extended = co_await settler_->modify(ids, lease, soon);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const auto one = std::ranges::find(inbox_->arrived, ids[i], [](const auto& a) { return a.received.ack_id; });
      if (one != inbox_->arrived.end() && extended[i]) {
        one->at = now;
      } else if (one != inbox_->arrived.end()) {
        inbox_->arrived.erase(one);  // it comes again when its lease ends
      }
    }
  }
  while (out.size() < max && !inbox_->arrived.empty() && !closed_) {
    Inbox::Arrived arrived = std::move(inbox_->arrived.front());
    inbox_->arrived.pop_front();
    out.push_back(deliver(std::move(arrived)));
  }
}

Delivery PubsubReceiver::deliver(Inbox::Arrived arrived) {
  Received& received = arrived.received;
  Delivery out{.message = from_attributes(received.attributes), .tag = ++last_tag_};
  out.message.id = out.message.id.empty() ? received.server_id : out.message.id;
  out.message.published_at = out.message.published_at ? out.message.published_at : received.published_at;
  out.message.ordering_key = received.ordering_key;
  out.message.body = received.body;
  const Notes::Note* note = notes_.find(received.server_id);
  const std::uint32_t before = received.delivery_attempt.value_or(1) - 1;
  const std::uint32_t uncounted = note != nullptr ? note->uncounted : 0;
  const std::uint32_t known = note != nullptr ? note->attempts : 0;
  out.attempts = std::max(known, before - std::min(before, uncounted));
  out.cause = note != nullptr ? note->cause : before > 0 ? Cause::redelivered : Cause::none;
  // A wall clock that was set back must not make a negative wait; of one that came again it is not known when it began.
  if (out.message.published_at && out.cause == Cause::none) {
    out.waited = std::max(Duration{0}, Duration{service_->clock().wall() - *out.message.published_at});
  }
  held_.emplace(out.tag, Held{.received = std::move(received), .attempts = out.attempts, .until = arrived.at + lease_});
  return out;
}

aio::Task<Result<void>> PubsubReceiver::cancel(aio::Deadline) {
  cancelled_ = true;
  inbox_->refuse();
  inbox_->changed.notify();
  co_return Result<void>{};
}

aio::Task<Result<void>> PubsubReceiver::close(aio::Deadline deadline) {
  if (std::exchange(closed_, true)) {
    co_return Result<void>{};
  }
  const Result<void> stopped = co_await cancel(deadline);
  std::vector<std::string> ids;
  for (Inbox::Arrived& one : std::exchange(inbox_->arrived, {})) {
    ids.push_back(std::move(one.received.ack_id));
  }
  for (auto& [tag, held] : std::exchange(held_, {})) {
    ids.push_back(std::move(held.received.ack_id));
  }
  if (!ids.empty()) {
    const std::vector<Result<void>> back = co_await settler_->modify(std::move(ids), 0s, deadline);
    (void)back;  // else they come back when their leases end
  }
  co_await inbox_->end(deadline);
  co_return stopped;
}

}  // namespace sluice::queue::pubsub
