// SPDX-License-Identifier: Apache-2.0
#include "external/authority_secret.h"

#include <array>
#include <boost/json.hpp>
#include <utility>

#include "aio/base64.h"

namespace sluice::external {
namespace {

namespace json = boost::json;

constexpr std::array<std::pair<const char*, const char*>, 2> keys{
    {{"ca.crt", "ca.key"}, {"previous.crt", "previous.key"}}};

std::string value_of(const kube::SecretData& data, std::string_view key) {
  const auto found = data.find(key);
  return found == data.end() ? "" : found->second;
}

void put(json::object& data, std::size_t place, const KeyedCertificate& pair) {
  data[keys[place].first] = aio::to_base64(pair.cert_pem);
  data[keys[place].second] = aio::to_base64(pair.key_pem);
}

}  // namespace

Authorities read_authorities(const kube::SecretData& data, WallTime at) {
  Authorities out;
  for (const auto& [cert, key] : keys) {
    KeyedCertificate pair{.cert_pem = value_of(data, cert), .key_pem = value_of(data, key)};
    if (const Result<Validity> validity = check_authority(pair, at)) {
      out.push_back({.pair = std::move(pair), .validity = *validity});
    }
  }
  return out;
}

bool needs_another(const Authorities& authorities, WallTime at) {
  return authorities.empty() || authorities.front().validity.renewal_due(at);
}

Result<std::string> with_authority(std::string_view secret, const KeyedCertificate& fresh, const Authorities& behind) {
  json::error_code failed;
  json::value value = json::parse({secret.data(), secret.size()}, failed);
  json::object* const object = failed ? nullptr : value.if_object();
  if (object == nullptr) {
    return Error{Code::invalid, "the API server's answer is no Secret"};
  }
  json::value& data = (*object)["data"];
  if (!data.is_object()) {
    data = json::object();
  }
  put(data.get_object(), 0, fresh);
  if (behind.empty()) {
    data.get_object().erase(keys[1].first);
    data.get_object().erase(keys[1].second);
  } else {
    put(data.get_object(), 1, behind.front().pair);
  }
  return json::serialize(value);
}

std::string bundle_of(const Authorities& authorities) {
  std::string out;
  for (const Authority& one : authorities) {
    out += one.pair.cert_pem;
    if (!out.ends_with('\n')) {
      out += '\n';  // what begins behind another's last line is not found
    }
  }
  return out;
}

}  // namespace sluice::external
