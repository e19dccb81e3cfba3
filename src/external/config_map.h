// SPDX-License-Identifier: Apache-2.0
#pragma once
// ConfigMap kube-system/extension-apiserver-authentication, followed: authorities and header names change while an
// aggregated API server runs.
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/random.h"
#include "external/front_proxy.h"
#include "kube/mirror.h"

namespace sluice::external {

struct ConfigMap {
  kube::Meta meta;
  ProxyConfig config;
};
// Code::invalid as parse_proxy_config().
[[nodiscard]] Result<ConfigMap> read_config_map(std::string_view json);
[[nodiscard]] Result<kube::Event<ConfigMap>> read_config_map_event(std::string_view json);

// The newest that could be read.
class ProxyConfigWatch {
 public:
  // All references outlive it. `trouble` is told when it cannot be read, in one line, and, empty, when it can again.
  ProxyConfigWatch(kube::Api& api, aio::Clock& clock, Random& random, std::function<void(const std::string&)> trouble);

  // Follows until cancelled.
  [[nodiscard]] aio::Task<void> run() { return mirror_.run(); }
  // Null until it was read once. What was read stays when it is deleted or broken: its authorities are still those of
  // the API server that runs.
  [[nodiscard]] const ProxyConfig* get() const { return version_ > 0 ? &config_ : nullptr; }
  // Another number for another content.
  [[nodiscard]] std::uint64_t version() const { return version_; }
  [[nodiscard]] aio::Event& changed() { return mirror_.changed(); }

 private:
  ProxyConfig config_;
  std::uint64_t version_ = 0;
  kube::Mirror<ConfigMap> mirror_;
};

}  // namespace sluice::external
