// SPDX-License-Identifier: Apache-2.0
#include "external/visitor.h"

#include <optional>
#include <string>

namespace sluice::external {
namespace {

// Chosen: how much longer than its end a certificate may count.
constexpr Duration again_each = std::chrono::seconds{10};

std::optional<aio::PeerName> proven(const aio::PeerChain& chain, const std::string& authority, WallTime at) {
  if (authority.empty()) {
    return std::nullopt;
  }
  Result<aio::PeerName> name = aio::verify_peer(chain, authority, at);
  return name ? std::optional(std::move(*name)) : std::nullopt;
}

}  // namespace

const PeerFacts& Visitor::facts(const ProxyConfig& config, std::uint64_t version, Time now, WallTime wall) {
  if (chain_.der.empty() || (version == version_ && now - looked_ < again_each)) {
    return facts_;
  }
  facts_ = {.shown = true,
            .proxy = proven(chain_, config.proxy_ca_pem, wall),
            .client = proven(chain_, config.client_ca_pem, wall)};
  version_ = version;
  looked_ = now;
  return facts_;
}

}  // namespace sluice::external
