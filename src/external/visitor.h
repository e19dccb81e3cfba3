// SPDX-License-Identifier: Apache-2.0
#pragma once
// The client of one connection. What its certificate proves is asked once, and again when the authorities change or
// some time has passed: a certificate ends while a kept connection goes on.
#include <cstdint>

#include "aio/peer.h"
#include "base/time.h"
#include "external/front_proxy.h"

namespace sluice::external {

class Visitor {
 public:
  explicit Visitor(aio::PeerChain chain) : chain_(std::move(chain)) {}

  // `version` is another one when `config` is.
  [[nodiscard]] const PeerFacts& facts(const ProxyConfig& config, std::uint64_t version, Time now, WallTime wall);

 private:
  aio::PeerChain chain_;
  PeerFacts facts_;
  std::uint64_t version_ = 0;
  Time looked_ = Time::min();
};

}  // namespace sluice::external
