// SPDX-License-Identifier: Apache-2.0
#include "queue/pubsub/service.h"

#include <fmt/core.h>

#include <utility>

#include "aio/url.h"

namespace sluice::queue::pubsub {
namespace {

// Of an answer. Chosen: a pull brings at most 10 MB, a third more as base64, and room for attributes.
constexpr std::size_t answer_bytes_max = 40U << 20U;

std::string_view part(std::string_view name, std::size_t n) {
  for (; n > 0; --n) {
    const std::size_t slash = name.find('/');
    name = slash == std::string_view::npos ? std::string_view() : name.substr(slash + 1);
  }
  return name.substr(0, name.find('/'));
}

Code code_of(int status) {
  switch (status) {
    case 400:
    case 412:
      return Code::invalid;
    case 401:
    case 403:
      return Code::denied;
    case 404:
      return Code::gone;
    case 409:
      return Code::conflict;
    case 429:
      return Code::throttled;
    default:
      return status == 408 || status == 499 || status >= 500 ? Code::retry : Code::invalid;
  }
}

}  // namespace

std::string topic_name(std::string_view project, std::string_view topic) {
  return fmt::format("projects/{}/topics/{}", project, topic);
}

std::string subscription_name(std::string_view project, std::string_view subscription) {
  return fmt::format("projects/{}/subscriptions/{}", project, subscription);
}

std::string short_name(std::string_view name) {
  return std::string(part(name, 3));
}

std::string project_of(std::string_view name) {
  return std::string(part(name, 1));
}

std::string target_of(std::string_view name, std::string_view verb) {
  return fmt::format("/v1/projects/{}/{}/{}{}", aio::percent_encoded(part(name, 1)), part(name, 2),
                     aio::percent_encoded(part(name, 3)), verb);
}

std::string create_topic(std::string_view topic_name) {
  return fmt::format("gcloud pubsub topics create {} --project={}", short_name(topic_name), project_of(topic_name));
}

std::string create_subscription(std::string_view subscription_name, std::string_view topic) {
  return fmt::format("gcloud pubsub subscriptions create {} --topic={} --project={}", short_name(subscription_name),
                     topic.empty() ? "TOPIC" : topic, project_of(subscription_name));
}

Error refused(const Answer& answer, const Asked& asked) {
  const Refusal refusal = parse_refusal(answer.body);
  const std::string said =
      refusal.status.empty() ? fmt::format("{}", answer.status) : fmt::format("{} {}", answer.status, refusal.status);
  Error out{code_of(answer.status), fmt::format("{}: {}: {}", asked.of, asked.what, said)};
  if (answer.status == 403) {
    out.what += fmt::format("; needs {} on it, or on its project", asked.role);
  } else if (answer.status == 401) {
    out.what += "; the credentials are not taken";
  } else if (answer.status == 404 && !asked.command.empty()) {
    out.what += fmt::format("; it does not exist: {}", asked.command);
  }
  return out;
}

Service::Service(aio::Loop& loop, aio::Clock& clock, Random& random, ServiceOptions options)
    : loop_(loop),
      clock_(clock),
      random_(random),
      options_(std::move(options)),
      client_(loop, clock, aio::http::ClientOptions{.body_max = answer_bytes_max, .dial = options_.dial}) {}

aio::Task<Result<Answer>> Service::call(std::string method, std::string target, std::string body,
                                        aio::Deadline deadline, std::optional<Duration> server_timeout) {
  aio::http::Request request{.method = std::move(method), .target = std::move(target)};
  if (!body.empty()) {
    request.headers.emplace_back("Content-Type", "application/json");
    request.body = std::move(body);
  }
  if (server_timeout) {  // the one for Google's front ends, the other for servers that pass it on to gRPC
    request.headers.emplace_back("X-Server-Timeout", fmt::format("{:.3f}", to_s(*server_timeout)));
    request.headers.emplace_back("grpc-timeout", fmt::format("{}m", to_ms(*server_timeout)));
  }
  Result<std::string> token = std::string();
  if (options_.tokens) {
    token = co_await options_.tokens->token(deadline);
    if (!token) {
      co_return token.error();
    }
    if (!token->empty()) {
      request.headers.emplace_back("Authorization", "Bearer " + *token);
    }
  }
  Result<aio::http::Response> response = co_await client_.send(options_.base, std::move(request), deadline);
  if (!response) {
    co_return response.error();
  }
  if (response->status == 401 && options_.tokens) {
    options_.tokens->refused(*token);
  }
  co_return Answer{.status = response->status, .body = std::move(response->body)};
}

aio::Task<Result<std::string>> Service::ask(std::string method, std::string target, std::string body, Asked asked,
                                            aio::Deadline deadline) {
  Result<Answer> answer = co_await call(std::move(method), std::move(target), std::move(body), deadline);
  if (!answer) {
    co_return answer.error();
  }
  if (!answer->good()) {
    co_return refused(*answer, asked);
  }
  co_return std::move(answer->body);
}

aio::Task<Result<void>> Service::reach(aio::Deadline deadline) {
  return client_.reach(options_.base, deadline);
}

}  // namespace sluice::queue::pubsub
