// SPDX-License-Identifier: Apache-2.0
#pragma once
// Asking a process that scales instead of looking oneself: by its URL, or through the API server of a cluster, whose
// service proxy reaches a controller without a port-forward. That takes the right to get services/proxy.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/cli.h"
#include "app/context.h"
#include "kube/api.h"
#include "serve/pool_status.h"

namespace sluice::app {

// --server, --context, --namespace, --kubeconfig, --service.
[[nodiscard]] std::vector<Flag> remote_flags();
// Those of places.h and these: pools here, or there.
[[nodiscard]] std::vector<Flag> place_and_remote_flags();
// Whether one of them was given.
[[nodiscard]] bool asks_remote(const Args& args);

class Remote {
 public:
  // Says on stderr what is wrong with the flags; null: exit_usage.
  static std::unique_ptr<Remote> open(Context& context, const Args& args, const std::string& verb);

  // The body of a 200; `target` is a path with its query. A controller that stands by is asked again: another one
  // answers to the same name. The error is what the other side says, in one line.
  [[nodiscard]] aio::Task<Result<std::string>> get(std::string target, aio::Deadline deadline);
  // /api/v1/status, and of it the pools that the words name; all of them without words. Code::invalid: no such pool.
  [[nodiscard]] aio::Task<Result<std::vector<serve::PoolStatus>>> pools(std::vector<std::string> words,
                                                                        aio::Deadline deadline);

  // " --server URL", or what else a command needs to ask there again.
  [[nodiscard]] const std::string& again() const { return again_; }

 private:
  explicit Remote(Context& context) : context_(context) {}
  Result<void> by_url(const std::string& url);
  Result<void> by_cluster(const Args& args);
  [[nodiscard]] aio::Task<Result<aio::http::Response>> exchange(std::string target, aio::Deadline deadline);

  Context& context_;
  std::string base_;    // of a URL
  std::string prefix_;  // of every path
  std::unique_ptr<kube::Api> api_;
  std::string space_;
  std::string again_;
};

inline constexpr Duration remote_timeout = std::chrono::seconds{10};

}  // namespace sluice::app
