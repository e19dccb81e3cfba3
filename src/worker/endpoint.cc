// SPDX-License-Identifier: Apache-2.0
#include "worker/endpoint.h"

#include <utility>

namespace sluice::worker {

Endpoint::Endpoint(aio::Loop& loop, aio::Clock& clock, Runtime& runtime)
    : runtime_(runtime),
      server_(loop, clock, [this](aio::http::Request request) { return answer(std::move(request)); }, {}) {}

aio::Task<aio::http::Response> Endpoint::answer(aio::http::Request request) {
  const bool drain = request.target == "/drain";
  if (!drain && request.target != "/worker") {
    co_return aio::http::Response{
        .status = 404, .headers = {{"Content-Type", "text/plain"}}, .body = "accepted: GET /worker, POST /drain\n"};
  }
  const char* method = drain ? "POST" : "GET";
  if (request.method != method) {
    co_return aio::http::Response{.status = 405, .headers = {{"Allow", method}}, .body = {}};
  }
  if (drain) {
    runtime_.request_drain();
    co_return aio::http::Response{.status = 202, .headers = {}, .body = {}};
  }
  co_return aio::http::Response{
      .status = 200, .headers = {{"Content-Type", "application/json"}}, .body = to_json(runtime_.report())};
}

}  // namespace sluice::worker
