// SPDX-License-Identifier: Apache-2.0
#pragma once
// Key files as Google hands them out: who somebody is, and what proves it. Parsed apart from where they lie.
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "base/time.h"
#include "gcp/secret.h"

namespace sluice::gcp {

// `gcloud iam service-accounts keys create`, or a key made in the console.
struct ServiceAccountKey {
  std::string email;
  std::string key_id;
  std::string project;
  std::string token_uri;
  Secret private_key;  // PEM, of an RSA key that can sign
  friend bool operator==(const ServiceAccountKey&, const ServiceAccountKey&) = default;
};

// `gcloud auth application-default login`: a person on a laptop.
struct UserKey {
  std::string client_id;
  std::string project;  // quota_project_id; often empty
  Secret client_secret;
  Secret refresh_token;
  friend bool operator==(const UserKey&, const UserKey&) = default;
};

using Key = std::variant<ServiceAccountKey, UserKey>;

struct KeyLimits {
  // http://127.0.0.1, http://[::1] or http://localhost as token_uri: for tests. Otherwise it must be https.
  bool loopback_token_uri = false;
};

constexpr std::size_t key_bytes_max = 64U << 10U;  // a service account's key has 2.4 KB

// Code::invalid names the field and what belongs there, never what is in it. A private key is loaded once, so that half
// a file is refused here and not at the first request. Of at most key_bytes_max.
[[nodiscard]] Result<Key> parse_key(std::string_view text, KeyLimits limits);

// The signed statement (RFC 7523) that a token is got with; good for an hour from `now`. Code::invalid for a key that
// cannot sign.
[[nodiscard]] Result<Secret> make_assertion(const ServiceAccountKey& key, std::string_view scope, WallTime now);

// http://127.0.0.1.., http://[::1].., http://localhost..
[[nodiscard]] bool is_loopback(const std::string& host);

}  // namespace sluice::gcp
