// SPDX-License-Identifier: Apache-2.0
#include "queue/pubsub/publisher.h"

#include <fmt/core.h>

#include <deque>
#include <utility>

#include "aio/task_group.h"

namespace sluice::queue::pubsub {
namespace {

using namespace std::chrono_literals;

// Chosen: one waits for its answer while the next one is on its way.
constexpr int requests_at_once = 2;
// Of one try; a request into nowhere is sent again within a publish of 60 s.
constexpr Duration try_max = 20s;
constexpr Backoff::Options again{.base = 100ms, .cap = 5s};

}  // namespace

struct PubsubPublisher::Call {
  std::vector<Outgoing> all;
  std::vector<Published> answers;
  std::deque<std::vector<std::size_t>> parts;  // not begun
  bool ordered = false;
  std::string stopped;  // why nothing more is sent: one of an ordered call was not confirmed
};

std::vector<std::vector<std::size_t>> in_requests(const std::vector<Outgoing>& all,
                                                  const std::vector<std::size_t>& which) {
  std::vector<std::vector<std::size_t>> out;
  std::size_t bytes = 0;
  for (const std::size_t i : which) {
    if (out.empty() || out.back().size() >= batch_max || bytes + all[i].bytes > request_bytes_max) {
      out.emplace_back();
      bytes = 0;
    }
    out.back().push_back(i);
    bytes += all[i].bytes;
  }
  return out;
}

PubsubPublisher::PubsubPublisher(std::shared_ptr<Service> service, std::string topic)
    : service_(std::move(service)), topic_(std::move(topic)) {}

Asked PubsubPublisher::asked() const {
  return {.what = "publish", .of = topic_, .role = "roles/pubsub.publisher", .command = create_topic(topic_)};
}

aio::Task<std::vector<Published>> PubsubPublisher::publish(std::vector<Message> batch, aio::Deadline deadline) {
  const auto call = std::make_shared<Call>();
  call->answers.resize(batch.size(), Published{PublishState::failed, "not sent"});
  call->all.resize(batch.size());
  std::vector<std::size_t> good;
  const bool late = deadline.passed(service_->clock().now());
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (!batch[i].published_at) {
      batch[i].published_at = service_->clock().wall();
    }
    const Result<Attributes> attributes = to_attributes(batch[i]);
    if (late || topic_.empty() || !attributes) {
      call->answers[i].why = !attributes ? attributes.error().what
                             : late      ? "not sent: the deadline has passed"
                                         : "no topic to publish to: set queue.pubsub.topic";
      continue;
    }
    Outgoing& out = call->all[i];
    append_message(out.json, *attributes, batch[i].body, batch[i].ordering_key);
    out.bytes = size_of(*attributes, batch[i].body.size());
    out.ordered = !batch[i].ordering_key.empty();
    call->ordered = call->ordered || out.ordered;
    std::string().swap(batch[i].body);
    good.push_back(i);
  }
  for (std::vector<std::size_t>& part : in_requests(call->all, good)) {
    call->parts.push_back(std::move(part));
  }
  co_await send_all(call, deadline);
  co_return std::move(call->answers);
}

aio::Task<Published> PubsubPublisher::publish_raw(const Attributes& attributes, std::string_view body,
                                                  aio::Deadline deadline) {
  const auto call = std::make_shared<Call>();
  call->answers.push_back(Published{PublishState::failed, "not sent"});
  call->all.emplace_back();
  append_message(call->all[0].json, attributes, body, "");
  call->parts.push_back({0});
  co_await send_all(call, deadline);
  co_return std::move(call->answers[0]);
}

aio::Task<void> PubsubPublisher::send_all(std::shared_ptr<Call> call, aio::Deadline deadline) {
  aio::TaskGroup group(service_->loop(), service_->clock());
  const std::size_t lines = call->ordered ? 1 : std::min<std::size_t>(requests_at_once, call->parts.size());
  for (std::size_t i = 0; i < lines; ++i) {
    group.spawn(drain(call, deadline));
  }
  co_await group.join();
}

aio::Task<void> PubsubPublisher::drain(std::shared_ptr<Call> call, aio::Deadline deadline) {
  while (!call->parts.empty()) {
    std::vector<std::size_t> part = std::move(call->parts.front());
    call->parts.pop_front();
    if (call->stopped.empty()) {
      co_await send_part(call, part, deadline);
      continue;
    }
    for (const std::size_t i : part) {
      call->answers[i] = {PublishState::failed, "not sent: one before it was not confirmed: " + call->stopped};
    }
  }
}

aio::Task<void> PubsubPublisher::send_part(std::shared_ptr<Call> call, std::vector<std::size_t> part,
                                           aio::Deadline deadline) {
  std::vector<std::string_view> messages;
  messages.reserve(part.size());
  for (const std::size_t i : part) {
    messages.emplace_back(call->all[i].json);
  }
  const std::string body = publish_body(messages);
  const auto say = [&call, &part](PublishState state, const std::string& why) {
    for (const std::size_t i : part) {
      call->answers[i] = {state, why};
    }
    if (call->ordered && state != PublishState::confirmed) {
      call->stopped = why;
    }
  };
  Backoff backoff(again);
  bool unheard = false;  // one try may have arrived
  while (true) {
    const aio::Deadline soon = service_->clock().in(try_max).earlier(deadline);
    const Result<void> reached = co_await service_->reach(soon);
    Error error{Code::retry, ""};
    if (!reached) {
      error = reached.error();
    } else {
      const Result<Answer> answer = co_await service_->call("POST", target_of(topic_, ":publish"), body, soon);
      if (answer && answer->good()) {
        const Result<std::vector<std::string>> ids = parse_published(answer->body, part.size());
        co_return say(ids ? PublishState::confirmed : PublishState::unknown, ids ? "" : ids.error().what);
      }
      error = answer ? refused(*answer, asked()) : answer.error();
      // No token: nothing was sent. A refusal below 500 took nothing.
      unheard = unheard || (!answer && error.code == Code::retry) || (answer && answer->status >= 500);
    }
    if (error.code == Code::invalid && reached && part.size() > 1 && !unheard) {
      // One of them is not taken, and is found by halves, in order.
      const auto middle = part.begin() + static_cast<std::ptrdiff_t>(part.size() / 2);
      call->parts.emplace_front(middle, part.end());
      call->parts.emplace_front(part.begin(), middle);
      co_return;
    }
    const Time next = service_->clock().now() + backoff.next(service_->random());
    const bool hopeless = error.code != Code::retry && error.code != Code::throttled;
    if (hopeless || deadline.passed(next)) {
      co_return say(unheard ? PublishState::unknown : PublishState::failed,
                    unheard ? "sent and not confirmed: " + error.what : error.what);
    }
    co_await service_->clock().sleep_until(next);
  }
}

}  // namespace sluice::queue::pubsub
