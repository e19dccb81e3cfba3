// SPDX-License-Identifier: Apache-2.0
#include "worker/http_handler.h"

#include <algorithm>
#include <utility>

#include "aio/url.h"
#include "worker/metadata.h"

namespace sluice::worker {

using namespace std::chrono_literals;

namespace {

constexpr Duration dial_timeout = 5s;
constexpr Backoff::Options dial_backoff{.base = 50ms, .cap = 2s};
// A server may ask for at most this much: more is a mistake of units, and would hide a message for weeks.
constexpr Duration retry_after_max = 24h;

}  // namespace

Outcome judge(const aio::http::Response& response) {
  const std::string what = "the handler answered " + std::to_string(response.status);
  if (response.status >= 200 && response.status < 300) {
    return Outcome::done();
  }
  if (response.status == 429 || response.status == 503) {
    const std::optional<std::chrono::seconds> after = aio::http::retry_after(response.headers);
    return Outcome::retry(what, after ? std::optional(std::min<Duration>(*after, retry_after_max)) : std::nullopt);
  }
  return Outcome::failed(what);
}

HttpHandler::HttpHandler(aio::Loop& loop, aio::Clock& clock, Random& random, HttpHandlerOptions options,
                         aio::http::ClientOptions client_options)
    : clock_(clock), random_(random), options_(std::move(options)), client_(loop, clock, std::move(client_options)) {}

Result<void> HttpHandler::check() {
  const Result<aio::Url> url = aio::parse_url(options_.url);
  if (!url) {
    return url.error().in("--http");
  }
  base_ = url->base();
  target_ = url->target;
  return {};
}

aio::Task<Result<void>> HttpHandler::reach() {
  const aio::Deadline patience = clock_.in(options_.reach_patience);
  Backoff backoff(dial_backoff);
  while (true) {
    const aio::Deadline deadline = clock_.in(dial_timeout).earlier(patience);
    Result<void> reached = co_await client_.reach(base_, deadline);
    const Time again = clock_.now() + backoff.next(random_);
    if (reached || reached.error().code != Code::retry || patience.passed(again)) {
      co_return reached;
    }
    co_await clock_.sleep_until(again);
  }
}

aio::Task<Outcome> HttpHandler::handle(const queue::Delivery& delivery, std::uint32_t attempt,
                                       aio::Deadline max_runtime) {
  const Result<void> reached = co_await reach();
  if (!reached) {
    co_return Outcome::cannot_start("cannot reach the handler: " + reached.error().what);
  }
  aio::http::Request request{.method = "POST", .target = target_, .headers = {}, .body = delivery.message.body};
  request.headers = {{"Content-Type", "application/octet-stream"},
                     {"Sluice-Message-Id", field_value(delivery.message.id)},
                     {"Sluice-Message-Attempt", std::to_string(attempt)},
                     {"Sluice-Message-Headers", headers_json(delivery)}};
  const Result<aio::http::Response> response = co_await client_.send(base_, std::move(request), max_runtime);
  if (!response) {
    co_return Outcome::failed(response.error().what);
  }
  co_return judge(*response);
}

}  // namespace sluice::worker
