// SPDX-License-Identifier: Apache-2.0
#pragma once
// The aggregated API server for external metrics: who asks, whether that is allowed, and the answer. No byte of the
// network is here: aio::http::Server brings requests, and what is known of a connection comes as its Visitor.
#include <functional>
#include <memory>
#include <string>

#include "aio/http.h"
#include "external/config_map.h"
#include "external/reviews.h"
#include "external/route.h"
#include "external/source.h"
#include "external/visitor.h"

namespace sluice::external {

// One answer to a question about a metric, as it was given.
struct Answered {
  const Question& question;
  int status = 200;
  const std::vector<Item>* items = nullptr;  // null: there were none
  std::string_view message;                  // why
};

struct ApiServerOptions {
  std::function<void(const Answered&)> answered = [](const Answered&) {};
  // What is not allowed or not known who: for a log. Never credentials.
  std::function<void(int status, std::string_view path, std::string_view why)> refused = [](int, std::string_view,
                                                                                            std::string_view) {};
  // Why this process should get no requests; empty: it should.
  std::function<std::string()> not_ready = [] { return std::string(); };
};

class ApiServer {
 public:
  // All references outlive it.
  ApiServer(aio::Clock& clock, ProxyConfigWatch& config, Reviews& reviews, Sources sources, ApiServerOptions options);

  // Of a connection; the handler keeps the visitor.
  [[nodiscard]] aio::http::Handler handler(std::shared_ptr<Visitor> visitor);
  [[nodiscard]] aio::Task<aio::http::Response> answer(std::shared_ptr<Visitor> visitor, aio::http::Request request);

 private:
  struct Asking {
    std::optional<User> user;
    std::optional<aio::http::Response> refusal;
  };
  [[nodiscard]] aio::Task<Asking> who(Visitor& visitor, const aio::http::Request& request, const Route& route,
                                      aio::Deadline deadline);
  [[nodiscard]] aio::Task<std::optional<aio::http::Response>> forbidden(const User& user, const Route& route,
                                                                        aio::Deadline deadline);
  [[nodiscard]] aio::http::Response health(const Route& route) const;
  [[nodiscard]] aio::Task<aio::http::Response> metric(const Route& route, aio::Deadline deadline);
  [[nodiscard]] aio::http::Response unauthorized(const Route& route, std::string_view why) const;

  aio::Clock& clock_;
  ProxyConfigWatch& config_;
  Reviews& reviews_;
  const Sources sources_;
  const ApiServerOptions options_;
};

}  // namespace sluice::external
