// SPDX-License-Identifier: Apache-2.0
#include "app/work_endpoint.h"

namespace sluice::app {

WorkEndpoint::WorkEndpoint(aio::Loop& loop, aio::Clock& clock, worker::Runtime& runtime)
    : runtime_(runtime),
      server_(loop, clock, [this](aio::http::Request request) { return answer(std::move(request)); }, {}) {}

aio::Task<aio::http::Response> WorkEndpoint::answer(aio::http::Request request) {
  const aio::http::HeaderList text{{"Content-Type", "text/plain"}};
  const bool known = request.target == "/worker" || request.target == "/drain";
  const char* method = request.target == "/worker" ? "GET" : "POST";
  if (!known) {
    co_return aio::http::Response{.status = 404, .headers = text, .body = "accepted: GET /worker, POST /drain\n"};
  }
  if (request.method != method) {
    co_return aio::http::Response{.status = 405, .headers = {{"Allow", method}}};
  }
  if (request.target == "/drain") {
    runtime_.request_drain();
    co_return aio::http::Response{.status = 202};
  }
  co_return aio::http::Response{
      .status = 200, .headers = {{"Content-Type", "application/json"}}, .body = worker::to_json(runtime_.report())};
}

}  // namespace sluice::app
