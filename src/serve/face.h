// SPDX-License-Identifier: Apache-2.0
#pragma once
// The HTTP face of a process that scales: /metrics, /healthz, /readyz, /api/v1/status, /api/v1/explain. Reads only; no
// request costs the broker or the API server anything, and none can change anything.
#include <functional>

#include "aio/http.h"
#include "serve/board.h"
#include "serve/query.h"

namespace sluice::serve {

// Of aio::http::Server: a person, a scraper or two and some probes are who asks.
[[nodiscard]] aio::http::ServerLimits face_limits();

class Face {
 public:
  // `board` outlives it. `ready`: whether everything that acting needs has been read.
  Face(aio::Clock& clock, const Board& board, std::function<bool()> ready)
      : clock_(clock), board_(board), ready_(std::move(ready)) {}

  [[nodiscard]] aio::Task<aio::http::Response> answer(aio::http::Request request);

 private:
  [[nodiscard]] aio::Task<aio::http::Response> explain(Query query);
  [[nodiscard]] aio::http::Response status(const Query& query) const;
  // The pool meant by a name or namespace/name, or the only one; else an answer that says which there are.
  [[nodiscard]] std::string pool_of(std::string_view name, aio::http::Response& refusal) const;

  aio::Clock& clock_;
  const Board& board_;
  std::function<bool()> ready_;
  int explaining_ = 0;
};

}  // namespace sluice::serve
