// SPDX-License-Identifier: Apache-2.0
#pragma once
// Who asks, in the order of an aggregated API server:
//
//   1. the front proxy (kube-apiserver), proven by a certificate of the requestheader authority with an allowed name,
//      speaks for the user that its headers name;
//   2. a client certificate of the cluster's authority: CN is the user, O the groups;
//   3. a bearer token, which only a TokenReview tells more of;
//   4. system:anonymous.
//
// What one cannot tell, the next one may. But a certificate or token that is shown and proves nothing never ends as
// anonymous, and headers that name a user count for nothing without 1.: whoever reaches the port could else be anybody.
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "aio/http.h"
#include "aio/peer.h"
#include "base/result.h"

namespace sluice::external {

struct User {
  std::string name;
  std::string uid = {};
  std::vector<std::string> groups = {};
  std::map<std::string, std::vector<std::string>, std::less<>> extra = {};
  friend bool operator==(const User&, const User&) = default;
};

inline constexpr std::string_view authenticated_group = "system:authenticated";

// With the group of all who are somebody, unless it says one of the two already.
[[nodiscard]] User authenticated(User user);

// ConfigMap kube-system/extension-apiserver-authentication. Its authorities are renewed: it is watched, and read again.
struct ProxyConfig {
  std::string client_ca_pem = {};               // empty: client certificates say nothing
  std::string proxy_ca_pem = {};                // empty: there is no front proxy
  std::vector<std::string> allowed_names = {};  // of the front proxy's certificate; empty: any
  std::vector<std::string> user_headers = {};
  std::vector<std::string> uid_headers = {};
  std::vector<std::string> group_headers = {};
  std::vector<std::string> extra_prefixes = {};
  friend bool operator==(const ProxyConfig&, const ProxyConfig&) = default;
};

// Of the ConfigMap as the API server gives it. What it does not hold stays empty; Code::invalid names the key of what
// cannot be read, a name list that is no JSON array of strings before all: half a list could allow everybody.
[[nodiscard]] Result<ProxyConfig> parse_proxy_config(std::string_view config_map);

// What is known of a connection's certificate. Filled from verify_peer() for each of the two authorities.
struct PeerFacts {
  bool shown = false;                        // a certificate at all
  std::optional<aio::PeerName> proxy = {};   // as which the requestheader authority vouches for it
  std::optional<aio::PeerName> client = {};  // the same of the clients' authority
};

struct BearerToken {
  std::string token;
};
struct Refused {
  std::string why;  // for a log: what is wrong with the credentials, never the credentials
};
using Asker = std::variant<User, BearerToken, Refused>;

[[nodiscard]] Asker who_asks(const PeerFacts& peer, const ProxyConfig& config, const aio::http::HeaderList& headers);

}  // namespace sluice::external
