// SPDX-License-Identifier: Apache-2.0
// How a receiver settles what it was given.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "queue/pubsub/receiver.h"

namespace sluice::queue::pubsub {
namespace {

using namespace std::chrono_literals;

// Chosen: so long a topic is believed to be still listened to.
constexpr Duration listened_for = 60s;

Error unknown_tag() {
  return Error{Code::gone, "this delivery is settled already, or its lease has ended"};
}

// Rounded up: a retry comes after its delay, not before.
std::chrono::seconds whole_seconds(Duration delay) {
  return std::clamp(std::chrono::ceil<std::chrono::seconds>(delay), 0s, lease_max);
}

}  // namespace

PubsubReceiver::Held* PubsubReceiver::find(Tag tag) {
  const auto found = held_.find(tag);
  return found == held_.end() ? nullptr : &found->second;
}

Result<PubsubReceiver::Held*> PubsubReceiver::ours(Tag tag) {
  Held* held = find(tag);
  if (held != nullptr && service_->clock().now() >= held->until) {
    lost(tag);
    held = nullptr;
  }
  return held != nullptr ? Result<Held*>(held) : unknown_tag();
}

void PubsubReceiver::lost(Tag tag) {
  const Held* held = find(tag);
  if (held != nullptr) {
    Notes::Note& note = notes_.of(held->received.server_id);
    note.attempts = held->attempts + 1;
    note.cause = held->finished ? Cause::ack_unknown : Cause::lost_lease;
    held_.erase(tag);
  }
}

std::optional<Result<void>> PubsubReceiver::begin_at_once(Tag tag) {
  const Result<Held*> held = ours(tag);
  if (!held) {
    return held.error();
  }
  (*held)->begun = true;
  return Result<void>{};
}

aio::Task<Result<void>> PubsubReceiver::begin(Tag tag, aio::Deadline) {
  co_return *begin_at_once(tag);
}

void PubsubReceiver::finished(Tag tag) {
  if (Held* held = find(tag)) {
    held->finished = true;
  }
}

Result<void> PubsubReceiver::settled(Tag tag, Result<void> answer) {
  if (answer) {
    held_.erase(tag);
  } else if (answer.error().code == Code::gone) {
    lost(tag);
  } else if (Held* held = find(tag)) {
    held->settling = false;  // it is ours until somebody says otherwise
  }
  return answer;
}

aio::Task<Result<void>> PubsubReceiver::quiet(Tag tag, aio::Deadline deadline) {
  while (true) {
    const Result<Held*> held = ours(tag);
    if (!held) {
      co_return held.error();
    }
    (*held)->settling = true;
    if (!(*held)->extending) {
      co_return Result<void>{};
    }
    const aio::Wake why = co_await extended_.wait(deadline);
    if (why == aio::Wake::timeout) {
      co_return settled(tag, Error{Code::retry, "its lease is being extended"});
    }
  }
}

aio::Task<Result<void>> PubsubReceiver::ack(Tag tag, aio::Deadline deadline) {
  const std::vector<Result<void>> answers = co_await ack_all({tag}, deadline);
  co_return answers[0];
}

aio::Task<std::vector<Result<void>>> PubsubReceiver::ack_all(std::vector<Tag> tags, aio::Deadline deadline) {
  std::vector<Result<void>> out(tags.size());
  std::vector<std::string> ids;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < tags.size(); ++i) {
    const Result<Held*> held = ours(tags[i]);
    if (!held) {
      out[i] = held.error();
      continue;
    }
    (*held)->settling = true;  // an extension that comes after an acknowledgement does nothing
    ids.push_back((*held)->received.ack_id);
    places.push_back(i);
  }
  if (ids.empty()) {
    co_return out;
  }
  const std::vector<Result<void>> answers = co_await settler_->acknowledge(std::move(ids), deadline);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const Tag tag = tags[places[i]];
    if (const Held* held = find(tag); held != nullptr && answers[i]) {
      notes_.forget(held->received.server_id);
    }
    out[places[i]] = settled(tag, answers[i]);
  }
  co_return out;
}

aio::Task<Result<void>> PubsubReceiver::let_go(Tag tag, std::chrono::seconds after, Notes::Note note,
                                               aio::Deadline deadline) {
  const Result<void> alone = co_await quiet(tag, deadline);
  const Held* held = find(tag);
  if (!alone || held == nullptr) {
    co_return alone ? Result<void>(unknown_tag()) : alone;
  }
  const std::string id = held->received.server_id;
  const std::vector<std::string> one{held->received.ack_id};
  const std::vector<Result<void>> answers = co_await settler_->modify(one, after, deadline);
  if (answers[0]) {
    notes_.of(id) = note;
  }
  co_return settled(tag, answers[0]);
}

aio::Task<Result<void>> PubsubReceiver::retry(Tag tag, Duration delay, Cause cause, std::string,
                                              aio::Deadline deadline) {
  const Result<Held*> held = ours(tag);
  if (!held) {
    co_return held.error();
  }
  const Notes::Note* before = notes_.find((*held)->received.server_id);
  const Notes::Note note{
      .attempts = (*held)->attempts + 1, .uncounted = before != nullptr ? before->uncounted : 0, .cause = cause};
  const Result<void> done = co_await let_go(tag, whole_seconds(delay), note, deadline);
  co_return done;
}

aio::Task<Result<void>> PubsubReceiver::requeue(Tag tag, aio::Deadline deadline) {
  const Result<Held*> held = ours(tag);
  if (!held) {
    co_return held.error();
  }
  const bool done_before = (*held)->finished;
  const Notes::Note* before = notes_.find((*held)->received.server_id);
  const Notes::Note note{.attempts = (*held)->attempts + (done_before ? 1 : 0),
                         .uncounted = (before != nullptr ? before->uncounted : 0) + (done_before ? 0 : 1),
                         .cause = done_before ? Cause::ack_unknown : Cause::requeued};
  const Result<void> done = co_await let_go(tag, 0s, note, deadline);
  co_return done;
}

// A topic without a subscription drops what it is given, and says that all is well.
aio::Task<Result<void>> PubsubReceiver::somebody_listens(aio::Deadline deadline) {
  if (listened_ && service_->clock().now() - *listened_ < listened_for) {
    co_return Result<void>{};
  }
  const std::string& topic = options_.dead_letter_topic;
  Asked asked{.what = "list subscriptions", .of = topic, .role = "roles/pubsub.viewer", .command = create_topic(topic)};
  const Result<std::string> body =
      co_await service_->ask("GET", target_of(topic, "/subscriptions"), "", std::move(asked), deadline);
  if (!body && body.error().code != Code::denied) {
    co_return body.error();
  }
  const Result<std::vector<std::string>> names = body ? parse_names(*body, "subscriptions") : std::vector{topic};
  if (!names || names->empty()) {
    const std::string name = subscription_name(project_of(topic), short_name(topic));
    co_return names ? Error{Code::denied, fmt::format("{}: no subscription keeps what is published to it: {}", topic,
                                                      create_subscription(name, short_name(topic)))}
                    : names.error();
  }
  listened_ = service_->clock().now();
  co_return Result<void>{};
}

aio::Task<Result<void>> PubsubReceiver::dead_letter(Tag tag, Cause cause, std::string why, aio::Deadline deadline) {
  if (const Result<Held*> held = ours(tag); !held) {
    co_return held.error();
  }
  if (options_.dead_letter_topic.empty()) {
    co_return Error{Code::invalid, options_.subscription + ": no topic for dead letters: set deadLetter.queue"};
  }
  const Result<void> listens = co_await somebody_listens(deadline);
  if (!listens) {
    co_return listens;
  }
  const Held* held = find(tag);
  if (held == nullptr) {
    co_return unknown_tag();
  }
  const Obituary obituary{.cause = cause,
                          .attempts = held->attempts + (held->begun ? 1 : 0),
                          .why = std::move(why),
                          .origin = options_.subscription,
                          .origin_id = held->received.server_id};
  const Result<Attributes> attributes = with_obituary(held->received.attributes, obituary);
  if (!attributes) {
    co_return attributes.error();
  }
  const std::string body = held->received.body;  // the delivery may be lost while this waits
  const Published copied = co_await dead_letters_.publish_raw(*attributes, body, deadline);
  if (copied.state != PublishState::confirmed) {
    co_return Error{copied.state == PublishState::failed ? Code::denied : Code::retry, copied.why};
  }
  const Result<void> acknowledged = co_await ack(tag, deadline);
  co_return acknowledged;
}

aio::Task<Result<void>> PubsubReceiver::extend(Tag tag, aio::Deadline deadline) {
  const Result<Held*> held = ours(tag);
  if (!held) {
    co_return held.error();
  }
  if ((*held)->settling) {
    co_return Result<void>{};
  }
  (*held)->extending = true;
  const Time sent = service_->clock().now();
  const std::vector<std::string> one{(*held)->received.ack_id};
  const std::chrono::seconds lease = std::chrono::duration_cast<std::chrono::seconds>(lease_);
  const auto over = [tag](PubsubReceiver* self) {
    if (Held* still = self->find(tag)) {
      still->extending = false;
    }
    self->extended_.notify();
  };
  const std::unique_ptr<PubsubReceiver, decltype(over)> scope(this, over);
  const std::vector<Result<void>> answers = co_await settler_->modify(one, lease, deadline);
  Held* still = find(tag);
  if (still == nullptr) {
    co_return unknown_tag();
  }
  if (answers[0]) {
    still->until = sent + lease_;
  } else if (answers[0].error().code == Code::gone) {
    lost(tag);
  }
  co_return answers[0];
}

}  // namespace sluice::queue::pubsub
