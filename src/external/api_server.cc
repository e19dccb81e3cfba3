// SPDX-License-Identifier: Apache-2.0
#include "external/api_server.h"

#include <fmt/core.h>

#include <variant>

#include "external/documents.h"
#include "external/selector.h"

namespace sluice::external {
namespace {

using aio::http::Request;
using aio::http::Response;

// All of an answer, reviews included. kube-apiserver itself gives up after 60 s; an HPA's worker waits as long.
constexpr Duration answer_max = std::chrono::seconds{15};

// What stands before a source's own words is not needed: they are for the owner of an HPA.
int status_of(Code code) {
  switch (code) {
    case Code::invalid:
      return 400;
    case Code::gone:
      return 404;
    default:
      return 503;
  }
}

Response text(int status, std::string body) {
  return {.status = status, .headers = {{"Content-Type", "text/plain; charset=utf-8"}}, .body = std::move(body)};
}

Response not_found(const Route& route) {
  return failure(404, route.kind == Route::Kind::openapi ? "this API has no OpenAPI document"
                                                         : "the server could not find the requested resource");
}

Response document(const Route& route) {
  switch (route.kind) {
    case Route::Kind::apis:
      return group_list_document();
    case Route::Kind::group:
      return group_document();
    case Route::Kind::group_version:
      return resource_list_document();
    default:
      return not_found(route);
  }
}

}  // namespace

ApiServer::ApiServer(aio::Clock& clock, ProxyConfigWatch& config, Reviews& reviews, Sources sources,
                     ApiServerOptions options)
    : clock_(clock), config_(config), reviews_(reviews), sources_(std::move(sources)), options_(std::move(options)) {}

aio::http::Handler ApiServer::handler(std::shared_ptr<Visitor> visitor) {
  return [this, visitor = std::move(visitor)](Request request) { return answer(visitor, std::move(request)); };
}

aio::Task<Response> ApiServer::answer(std::shared_ptr<Visitor> visitor, Request request) {
  const Result<Route> route = parse_route(request.target);
  if (!route) {
    co_return failure(400, route.error().what);
  }
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (always_allowed(*route)) {
    co_return reads ? health(*route) : failure(405, "accepted: GET");
  }
  const aio::Deadline deadline = clock_.in(answer_max);
  Asking asking = co_await who(*visitor, request, *route, deadline);
  if (asking.refusal) {
    co_return std::move(*asking.refusal);
  }
  if (!reads) {
    co_return failure(405, fmt::format("{} is not supported here; accepted: GET", request.method));
  }
  std::optional<Response> refusal = co_await forbidden(*asking.user, *route, deadline);
  if (refusal) {
    co_return std::move(*refusal);
  }
  if (route->kind != Route::Kind::metric) {
    co_return document(*route);
  }
  Response values = co_await metric(*route, deadline);
  co_return values;
}

Response ApiServer::health(const Route& route) const {
  const std::string why = route.path == "/readyz" ? options_.not_ready() : "";
  return why.empty() ? text(200, "ok") : text(503, why + "\n");
}

Response ApiServer::unauthorized(const Route& route, std::string_view why) const {
  options_.refused(401, route.path, why);
  return failure(401, "Unauthorized");
}

aio::Task<ApiServer::Asking> ApiServer::who(Visitor& visitor, const Request& request, const Route& route,
                                            aio::Deadline deadline) {
  const ProxyConfig* const config = config_.get();
  if (config == nullptr) {
    co_return Asking{.user = {}, .refusal = failure(503, "the authorities of clients are not known yet")};
  }
  Asker asker =
      who_asks(visitor.facts(*config, config_.version(), clock_.now(), clock_.wall()), *config, request.headers);
  if (const Refused* const refused = std::get_if<Refused>(&asker)) {
    co_return Asking{.user = {}, .refusal = unauthorized(route, refused->why)};
  }
  if (User* const user = std::get_if<User>(&asker)) {
    co_return Asking{.user = std::move(*user), .refusal = {}};
  }
  Result<std::optional<User>> user = co_await reviews_.user_of(std::move(std::get<BearerToken>(asker).token), deadline);
  if (!user) {
    const std::string why = "the token could not be reviewed: " + user.error().what;
    options_.refused(503, route.path, why);
    co_return Asking{.user = {}, .refusal = failure(503, why)};
  }
  if (!*user) {
    co_return Asking{.user = {}, .refusal = unauthorized(route, "the token is nobody's")};
  }
  co_return Asking{.user = std::move(*user), .refusal = {}};
}

aio::Task<std::optional<Response>> ApiServer::forbidden(const User& user, const Route& route, aio::Deadline deadline) {
  if (always_allowed(user)) {
    co_return std::nullopt;
  }
  const Act act = act_of(route);
  const Result<Ruling> ruling = co_await reviews_.ruling(user, act, deadline);
  if (!ruling) {
    const std::string why = "whether this is allowed could not be found out: " + ruling.error().what;
    options_.refused(503, route.path, why);
    co_return failure(503, why);
  }
  if (!ruling->allowed) {
    std::string message = forbidden_message(user, act, *ruling);
    options_.refused(403, route.path, message);
    co_return failure(403, message);
  }
  co_return std::nullopt;
}

aio::Task<Response> ApiServer::metric(const Route& route, aio::Deadline deadline) {
  Question question{.space = route.space, .metric = route.metric, .selector = {}, .selector_text = route.selector};
  Result<model::Selector> selector = parse_selector(route.selector);
  if (!selector) {
    const std::string why = "labelSelector: " + selector.error().what;
    options_.answered({.question = question, .status = 400, .message = why});
    co_return failure(400, why);
  }
  question.selector = std::move(*selector);
  const Result<std::vector<Item>> items = co_await read(sources_, question, deadline);
  if (!items) {
    const int status = status_of(items.error().code);
    options_.answered({.question = question, .status = status, .message = items.error().what});
    co_return failure(status, items.error().what);
  }
  options_.answered({.question = question, .status = 200, .items = &*items});
  co_return value_list(route.metric, *items);
}

}  // namespace sluice::external
