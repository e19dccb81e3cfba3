// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a worker answers on its socket: GET /worker says how it is, POST /drain asks it to finish and leave.
#include <string>

#include "aio/http.h"
#include "base/result.h"
#include "worker/runtime.h"

namespace sluice::app {

class WorkEndpoint {
 public:
  // `runtime` outlives it.
  WorkEndpoint(aio::Loop& loop, aio::Clock& clock, worker::Runtime& runtime);
  [[nodiscard]] Result<void> listen_unix(const std::string& path) { return server_.listen_unix(path); }
  // Serves until cancelled.
  [[nodiscard]] aio::Task<void> run() { return server_.run(); }

 private:
  [[nodiscard]] aio::Task<aio::http::Response> answer(aio::http::Request request);

  worker::Runtime& runtime_;
  aio::http::Server server_;
};

}  // namespace sluice::app
