// SPDX-License-Identifier: Apache-2.0
#include "worker/endpoint.h"

#include <boost/json.hpp>
#include <utility>

namespace sluice::worker {
namespace {

// {"leave":false}: whoever asks will take it away itself. Anything else, nothing included: leave.
bool stays(const std::string& body) {
  boost::json::error_code failed;
  const boost::json::value value = boost::json::parse(body, failed);
  const boost::json::object* const object = failed ? nullptr : value.if_object();
  const boost::json::value* const leave = object != nullptr ? object->if_contains("leave") : nullptr;
  return leave != nullptr && leave->is_bool() && !leave->get_bool();
}

}  // namespace

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
  if (drain && stays(request.body)) {
    runtime_.request_rest();
  } else if (drain) {
    runtime_.request_drain();
  }
  if (drain) {
    co_return aio::http::Response{.status = 202, .headers = {}, .body = {}};
  }
  // A readiness probe asks the same: what rests must not look ready.
  co_return aio::http::Response{.status = runtime_.rests() ? 503 : 200,
                                .headers = {{"Content-Type", "application/json"}},
                                .body = to_json(runtime_.report())};
}

}  // namespace sluice::worker
