// SPDX-License-Identifier: Apache-2.0
#pragma once
// `--http`: one POST a message, to a server that the user runs beside the worker.
#include <string>

#include "aio/http.h"
#include "base/random.h"
#include "worker/handler.h"

namespace sluice::worker {

struct HttpHandlerOptions {
  std::string url;  // "http://host:port/path", https, or "unix:/path/of/socket"
  // How long the server may be unreachable before the worker gives up. Chosen: a sidecar's restart.
  Duration reach_patience = std::chrono::seconds{30};
};

// The body is the message's; Sluice-Message-Id, Sluice-Message-Attempt and Sluice-Message-Headers come with it. 2xx is
// done, 429 and 503 retry later (after Retry-After seconds, if said), everything else failed, and so is an exchange
// that broke.
//
// A server that cannot be reached at all is the worker's environment and no fault of the message: it is waited for, and
// after `reach_patience` the worker ends (cannot_start) with the message handed back. Counting it as failed would send
// a whole queue to the dead letters during one long restart.
class HttpHandler final : public Handler {
 public:
  HttpHandler(aio::Loop& loop, aio::Clock& clock, Random& random, HttpHandlerOptions options,
              aio::http::ClientOptions client_options = {});
  // The URL's form; the server may come later.
  [[nodiscard]] Result<void> check() override;
  aio::Task<Outcome> handle(const queue::Delivery& delivery, std::uint32_t attempt, aio::Deadline max_runtime) override;

 private:
  aio::Task<Result<void>> reach();

  aio::Clock& clock_;
  Random& random_;
  const HttpHandlerOptions options_;
  aio::http::Client client_;
  std::string base_;
  std::string target_;
};

// What an answer means.
[[nodiscard]] Outcome judge(const aio::http::Response& response);

}  // namespace sluice::worker
