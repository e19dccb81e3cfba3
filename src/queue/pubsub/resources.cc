// SPDX-License-Identifier: Apache-2.0
#include "queue/pubsub/resources.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "model/json.h"

namespace sluice::queue::pubsub {
namespace {

using Level = Examined::Level;
using Topic = Examined::Topic;

// Chosen: workers extend every 10 s, and what a dead one held is back half a minute later.
constexpr int ack_deadline_s = 30;

std::string quoted(std::string_view text) {
  std::string out;
  model::append_json_string(out, text);
  return out;
}

// 409: it is there.
aio::Task<Result<bool>> put(std::shared_ptr<Service> service, std::string name, std::string body, Asked asked,
                            aio::Deadline deadline) {
  const Result<Answer> answer = co_await service->call("PUT", target_of(name), std::move(body), deadline);
  if (!answer) {
    co_return answer.error();
  }
  if (answer->status == 409) {
    co_return false;
  }
  co_return answer->good() ? Result<bool>(true) : Result<bool>(refused(*answer, asked));
}

std::string line(std::string_view what, const std::string& name, bool made) {
  return fmt::format("{} {}{}", what, name, made ? "" : " (was there)");
}

aio::Task<Result<void>> put_topic(std::shared_ptr<Service> service, std::string name, std::vector<std::string>& out,
                                  aio::Deadline deadline) {
  const Asked asked{.what = "create", .of = name, .role = "roles/pubsub.editor", .command = ""};
  const Result<bool> made = co_await put(service, name, "{}", asked, deadline);
  if (!made) {
    co_return made.error();
  }
  out.push_back(line("topic", name, *made));
  co_return Result<void>{};
}

aio::Task<Result<SubscriptionInfo>> look(std::shared_ptr<Service> service, std::string name, aio::Deadline deadline) {
  Asked asked{.what = "get", .of = name, .role = "roles/pubsub.viewer", .command = create_subscription(name, "")};
  const Result<std::string> body = co_await service->ask("GET", target_of(name), "", std::move(asked), deadline);
  if (!body) {
    co_return body.error();
  }
  Result<SubscriptionInfo> info = parse_subscription(*body);
  co_return info ? std::move(info) : info.error().in(name);
}

aio::Task<Result<void>> put_subscription(std::shared_ptr<Service> service, std::string name, std::string topic,
                                         std::string policy, std::vector<std::string>& out, aio::Deadline deadline) {
  const Asked asked{.what = "create", .of = name, .role = "roles/pubsub.editor", .command = ""};
  std::string body = fmt::format(R"({{"topic":{},"ackDeadlineSeconds":{},"expirationPolicy":{{}}{}}})", quoted(topic),
                                 ack_deadline_s, policy);
  const Result<bool> made = co_await put(service, name, std::move(body), asked, deadline);
  if (!made) {
    co_return made.error();
  }
  if (!*made) {
    const Result<SubscriptionInfo> info = co_await look(service, name, deadline);
    if (!info) {
      co_return info.error();
    }
    if (info->topic != topic) {
      co_return Error{Code::conflict, fmt::format("{} is there, on the topic {}, not {}", name, info->topic, topic)};
    }
  }
  out.push_back(line("subscription", name, *made));
  co_return Result<void>{};
}

// Whether each permission is there; empty where the server cannot tell (an emulator) or does not say.
aio::Task<std::optional<bool>> may(std::shared_ptr<Service> service, std::string name, std::string permission,
                                   aio::Deadline deadline) {
  std::string body = fmt::format(R"({{"permissions":[{}]}})", quoted(permission));
  const Result<Answer> answer =
      co_await service->call("POST", target_of(name, ":testIamPermissions"), std::move(body), deadline);
  if (!answer || !answer->good()) {
    co_return std::nullopt;
  }
  const Result<std::vector<std::string>> granted = parse_names(answer->body, "permissions");
  co_return granted ? std::optional(std::ranges::find(*granted, permission) != granted->end()) : std::nullopt;
}

std::string grant(std::string_view kind, const std::string& name, std::string_view role) {
  return fmt::format(
      "gcloud pubsub {} add-iam-policy-binding {} --member=serviceAccount:ACCOUNT --role={} --project={}", kind,
      short_name(name), role, project_of(name));
}

struct Right {
  std::string name;
  std::string permission;
  std::string role;
  std::string_view kind;
};

aio::Task<void> examine_rights(std::shared_ptr<Service> service, Resources resources, std::vector<Examined>& out,
                               aio::Deadline deadline) {
  std::vector<Right> rights{
      {resources.subscription, "pubsub.subscriptions.consume", "roles/pubsub.subscriber", "subscriptions"},
      {resources.dead_letter_topic, "pubsub.topics.publish", "roles/pubsub.publisher", "topics"}};
  if (!resources.topic.empty()) {
    rights.push_back({resources.topic, "pubsub.topics.publish", "roles/pubsub.publisher", "topics"});
  }
  for (const Right& right : rights) {
    const std::optional<bool> granted = co_await may(service, right.name, right.permission, deadline);
    if (granted) {
      out.push_back(
          {.topic = Topic::permission,
           .level = *granted ? Level::ok : Level::failed,
           .text = fmt::format("{} {} on {}", right.permission, *granted ? "is granted" : "is missing", right.name),
           .fix = *granted ? "" : grant(right.kind, right.name, right.role)});
    }
  }
}

aio::Task<void> examine_dead_letters(std::shared_ptr<Service> service, Resources resources, std::vector<Examined>& out,
                                     aio::Deadline deadline) {
  const std::string& topic = resources.dead_letter_topic;
  const std::string keep = create_subscription(dead_letter_subscription(resources), short_name(topic));
  const Asked asked{.what = "list subscriptions", .of = topic, .role = "roles/pubsub.viewer", .command = ""};
  // The emulator lists none for a topic that is not there.
  const Result<std::string> there = co_await service->ask("GET", target_of(topic), "", asked, deadline);
  const Result<std::string> body =
      co_await service->ask("GET", target_of(topic, "/subscriptions"), "", asked, deadline);
  const Result<std::vector<std::string>> names =
      body ? parse_names(*body, "subscriptions") : Result<std::vector<std::string>>(body.error());
  if ((!there && there.error().code == Code::gone) || (!names && names.error().code == Code::gone)) {
    out.push_back({.topic = Topic::dead_letters,
                   .level = Level::failed,
                   .text = fmt::format("{}: no such topic: messages that are given up have no way", topic),
                   .fix = create_topic(topic) + " && " + keep});
  } else if (!names) {
    out.push_back({.topic = Topic::dead_letters, .level = Level::warning, .text = names.error().what, .fix = ""});
  } else {
    out.push_back({.topic = Topic::dead_letters,
                   .level = names->empty() ? Level::failed : Level::ok,
                   .text = names->empty() ? fmt::format("{}: no subscription keeps what is published to it", topic)
                                          : fmt::format("{} takes what is given up", topic),
                   .fix = names->empty() ? keep : ""});
  }
}

}  // namespace

aio::Task<Result<bool>> is_there(std::shared_ptr<Service> service, std::string subscription, aio::Deadline deadline) {
  const Result<SubscriptionInfo> info = co_await look(std::move(service), std::move(subscription), deadline);
  if (!info && info.error().code != Code::gone) {
    co_return info.error();
  }
  co_return info.has_value();
}

std::string dead_letter_subscription(const Resources& resources) {
  return subscription_name(project_of(resources.dead_letter_topic), short_name(resources.dead_letter_topic));
}

std::int64_t attempts_max(const Resources& resources) {
  return std::clamp<std::int64_t>(resources.attempts * 4, 5, 100);
}

aio::Task<Result<std::vector<std::string>>> declare(std::shared_ptr<Service> service, Resources resources,
                                                    aio::Deadline deadline) {
  std::vector<std::string> out;
  Result<void> done = co_await put_topic(service, resources.topic, out, deadline);
  if (done) {
    done = co_await put_topic(service, resources.dead_letter_topic, out, deadline);
  }
  if (done) {
    done = co_await put_subscription(service, dead_letter_subscription(resources), resources.dead_letter_topic, "", out,
                                     deadline);
  }
  if (done) {
    const std::string policy = fmt::format(R"(,"deadLetterPolicy":{{"deadLetterTopic":{},"maxDeliveryAttempts":{}}})",
                                           quoted(resources.dead_letter_topic), attempts_max(resources));
    done = co_await put_subscription(service, resources.subscription, resources.topic, policy, out, deadline);
  }
  if (!done) {
    co_return done.error();
  }
  co_return out;
}

std::vector<Examined> judge(const SubscriptionInfo& info, const Resources& resources,
                            std::optional<Duration> max_runtime) {
  std::vector<Examined> out;
  const std::string& name = resources.subscription;
  const std::string update =
      fmt::format("gcloud pubsub subscriptions update {} --project={}", short_name(name), project_of(name));
  if (info.pushes || info.orphaned || info.topic == "_deleted-topic_") {
    out.push_back({.topic = Topic::kind,
                   .level = Level::failed,
                   .text = fmt::format("{} {}: nothing can be pulled from it", name,
                                       info.pushes ? "pushes to an address of its own" : "has no topic any more"),
                   .fix = info.pushes ? update + " --push-endpoint=''" : create_subscription(name, "")});
  }
  if (!resources.topic.empty() && info.topic != resources.topic) {
    out.push_back(
        {.topic = Topic::kind,
         .level = Level::failed,
         .text = fmt::format("{} is on the topic {}, and the pool publishes to {}", name, info.topic, resources.topic),
         .fix = "correct queue.pubsub.topic"});
  }
  if (info.dead_letter_topic.empty()) {
    out.push_back({.topic = Topic::dead_letters,
                   .level = Level::warning,
                   .text = fmt::format("{} has no dead-letter policy: Pub/Sub does not say how often it delivered a "
                                       "message, so that each worker counts for itself",
                                       name),
                   .fix = fmt::format("{} --dead-letter-topic={} --max-delivery-attempts={}", update,
                                      short_name(resources.dead_letter_topic), attempts_max(resources))});
  } else if (info.attempts_max <= resources.attempts) {
    out.push_back({.topic = Topic::dead_letters,
                   .level = Level::warning,
                   .text = fmt::format("{} gives a message up after {} deliveries, before the pool does after {}", name,
                                       info.attempts_max, resources.attempts),
                   .fix = fmt::format("{} --max-delivery-attempts={}", update, attempts_max(resources))});
  }
  const Duration lease = std::clamp<Duration>(info.ack_deadline, std::chrono::seconds{10}, std::chrono::seconds{60});
  out.push_back({.topic = Topic::timeout,
                 .level = Level::ok,
                 .text = fmt::format("{}: a delivery is a worker's for {} at a time, extended while its handler runs{}",
                                     name, format_duration(lease),
                                     max_runtime ? fmt::format(" (at most {})", format_duration(*max_runtime)) : ""),
                 .fix = ""});
  return out;
}

aio::Task<std::vector<Examined>> examine(std::shared_ptr<Service> service, Resources resources,
                                         std::optional<Duration> max_runtime, aio::Deadline deadline) {
  std::vector<Examined> out;
  const Result<SubscriptionInfo> info = co_await look(service, resources.subscription, deadline);
  if (info) {
    out.push_back({.topic = Topic::missing,
                   .level = Level::ok,
                   .text = fmt::format("{} is there, on {}", resources.subscription, info->topic),
                   .fix = ""});
    std::ranges::move(judge(*info, resources, max_runtime), std::back_inserter(out));
  } else if (info.error().code == Code::gone) {
    out.push_back({.topic = Topic::missing,
                   .level = Level::failed,
                   .text = fmt::format("{} is not there", resources.subscription),
                   .fix = create_subscription(resources.subscription, short_name(resources.topic))});
  } else if (info.error().code == Code::denied) {
    out.push_back({.topic = Topic::permission,
                   .level = Level::warning,
                   .text = info.error().what,
                   .fix = grant("subscriptions", resources.subscription, "roles/pubsub.viewer")});
  } else {
    out.push_back({.topic = Topic::connection,
                   .level = Level::failed,
                   .text = info.error().what,
                   .fix = fmt::format("curl -i {}", service->base())});
    co_return out;
  }
  co_await examine_rights(service, resources, out, deadline);
  co_await examine_dead_letters(service, resources, out, deadline);
  co_return out;
}

}  // namespace sluice::queue::pubsub
