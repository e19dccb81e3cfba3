// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a worker answers on its socket or port: GET /worker says how it is, POST /drain asks it to finish and leave, or,
// with {"leave":false}, to finish and rest: GET /worker is 503 from then on, so that a probe finds it not ready. It
// needs no address of the scaler: whoever can reach it asks. Listen after the broker has accepted the consumer
// (Observer::ready): an answer means that this worker consumes.
#include <cstdint>
#include <string>

#include "aio/http.h"
#include "base/result.h"
#include "worker/runtime.h"

namespace sluice::worker {

inline constexpr std::uint16_t endpoint_port = 7172;  // SLUICE_WORKER_PORT's default (contracts)

class Endpoint {
 public:
  // All references outlive it.
  Endpoint(aio::Loop& loop, aio::Clock& clock, Runtime& runtime);
  // Errors as of aio::http::Server.
  [[nodiscard]] Result<void> listen_unix(const std::string& path) { return server_.listen_unix(path); }
  [[nodiscard]] Result<std::uint16_t> listen_tcp(const std::string& address, std::uint16_t port) {
    return server_.listen_tcp(address, port);
  }
  // Serves until cancelled.
  [[nodiscard]] aio::Task<void> run() { return server_.run(); }

 private:
  [[nodiscard]] aio::Task<aio::http::Response> answer(aio::http::Request request);

  Runtime& runtime_;
  aio::http::Server server_;
};

}  // namespace sluice::worker
