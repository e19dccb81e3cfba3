// SPDX-License-Identifier: Apache-2.0
// links: external
//
// Any bytes as a certificate that a client shows, as the authorities it is judged by, as the Secret of an authority and
// as a pair of files. Nobody is vouched for by an authority whose key the bytes cannot have; what is taken can be used;
// a refusal is one line.
#include <algorithm>
#include <cstdint>

#include "aio/base64.h"
#include "aio/peer.h"
#include "base/check.h"
#include "external/authority_secret.h"

using namespace sluice;
using namespace sluice::external;

namespace {

const WallTime at = *parse_wall("2027-06-01T00:00:00Z");
const ServiceName service{.space = "ops", .name = "adapter"};
const KeyedCertificate authority = make_authority(service, at).value();
const KeyedCertificate serving = make_serving(authority, service, at).value();

void check_line(const Error& error) {
  check(!error.what.empty() && std::ranges::all_of(error.what, [](char c) { return c >= ' ' && c < '\x7f'; }),
        "a refusal is one line");
}

std::string pem_of(const std::string& der) {
  std::string out = "-----BEGIN CERTIFICATE-----\n";
  const std::string text = aio::to_base64(der);
  for (std::size_t i = 0; i < text.size(); i += 64) {
    out += text.substr(i, 64) + "\n";
  }
  return out + "-----END CERTIFICATE-----\n";
}

void as_peer(const std::string& bytes) {
  const auto refused = aio::verify_peer({{bytes}}, authority.cert_pem, at);
  check(!refused, "nobody has the authority's key");
  check_line(refused.error());
  const auto alone = aio::verify_peer({{bytes}}, pem_of(bytes), at);
  if (alone) {
    const auto beside = aio::verify_peer({{bytes, bytes}}, authority.cert_pem + pem_of(bytes), at);
    check(beside && *alone == *beside, "who is trusted by itself is so beside others");
  } else {
    check_line(alone.error());
  }
  if (const auto others = aio::verify_peer({{"no certificate"}}, bytes, at); !others) {
    check_line(others.error());
  }
}

void as_secret(const std::string& text) {
  const auto data = kube::read_secret(text);
  if (!data) {
    check_line(data.error());
    return;
  }
  const Authorities found = read_authorities(*data, at);
  check(found.size() <= 2, "two at most");
  for (const Authority& one : found) {
    check(!one.validity.ended(at) && bundle_holds(bundle_of(found), one.pair.cert_pem), "it is good and in the bundle");
    if (const auto made = make_serving(one.pair, service, at)) {
      check(check_pair(*made).has_value(), "what it signs can be used");
    } else {
      check_line(made.error());
    }
  }
  const auto body = with_authority(text, authority, found);
  check(body.has_value(), "a Secret that was read takes an authority");
  const auto again = kube::read_secret(*body);
  check(again.has_value(), "and can be read again");
  const Authorities after = read_authorities(*again, at);
  check(after.size() == (found.empty() ? 1U : 2U) && after.front().pair == authority, "the new one comes first");
  check(found.empty() || after.back().pair == found.front().pair, "and the old one stays");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  as_peer(bytes);
  as_secret(bytes);
  for (const KeyedCertificate& pair :
       {KeyedCertificate{bytes, bytes}, KeyedCertificate{bytes, serving.key_pem},
        KeyedCertificate{serving.cert_pem, bytes}, KeyedCertificate{pem_of(bytes), bytes}}) {
    const auto signs = check_authority(pair, at);  // and so check_pair()
    if (!signs) {
      check_line(signs.error());
    }
  }
  check(bundle_holds(authority.cert_pem + bytes, authority.cert_pem), "what comes behind does not matter");
  check(!bundle_holds(bytes, authority.cert_pem), "nobody has seen it");
  return 0;
}
