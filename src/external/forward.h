// SPDX-License-Identifier: Apache-2.0
#pragma once
// Metrics that are unknown here, from another server of external metrics: one name belongs to one server in a cluster,
// and so two can live in it. Who asks was judged here; there we ask as ourselves, with our token.
#include <functional>
#include <memory>
#include <string>

#include "aio/http.h"
#include "external/source.h"

namespace sluice::external {

struct ForwardOptions {
  std::string url;          // "https://HOST:PORT"
  std::string ca_pem = {};  // what its certificate leads to; empty: the system's bundle
  // Read for each question; empty: none is shown. An Error is the question's.
  std::function<Result<std::string>()> token = [] { return Result<std::string>(""); };
  aio::http::Dial dial = {};  // tests
};

class Forward final : public Source {
 public:
  // References outlive it.
  Forward(aio::Loop& loop, aio::Clock& clock, ForwardOptions options);

  [[nodiscard]] bool knows(std::string_view /*metric*/) const override { return true; }
  [[nodiscard]] aio::Task<Result<std::vector<Item>>> read(Question question, aio::Deadline deadline) override;

 private:
  const ForwardOptions options_;
  aio::Clock& clock_;
  aio::http::Client client_;
};

// Outside bytes: the other server's ExternalMetricValueList. Code::invalid with the path of what cannot be used.
[[nodiscard]] Result<std::vector<Item>> parse_value_list(std::string_view json);

}  // namespace sluice::external
