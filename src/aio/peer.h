// SPDX-License-Identifier: Apache-2.0
#pragma once
// Who a TLS client says to be, apart from the handshake. A server of the aggregated API knows two authorities that
// change while connections stand, and an unknown client is answered with an HTTP status: so the handshake takes any
// certificate whose key the client has, and what it proves is asked afterwards, of the bytes.
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace sluice::aio {

// The certificates that a client showed, its own first, as DER. Empty: it showed none. The handshake has proved that it
// has the first one's key, and nothing else.
struct PeerChain {
  std::vector<std::string> der = {};
  friend bool operator==(const PeerChain&, const PeerChain&) = default;
};

struct PeerName {
  std::string common_name = {};  // the last one of the subject, empty when it has none
  std::vector<std::string> organizations = {};
  friend bool operator==(const PeerName&, const PeerName&) = default;
};

// Whom the chain names, when at `at` it leads to one of the certificates of `ca_pem` and may be used to authenticate a
// client: extended key usage clientAuth, or none said, which is any to Kubernetes too. Code::denied with the reason
// otherwise; invalid when `ca_pem` holds no certificate.
[[nodiscard]] Result<PeerName> verify_peer(const PeerChain& chain, const std::string& ca_pem, WallTime at);

}  // namespace sluice::aio
