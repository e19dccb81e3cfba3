// SPDX-License-Identifier: Apache-2.0
#pragma once
// The certificates of an aggregated API server that was given none: an authority of its own, which is trusted in the
// APIService's caBundle and nowhere else, and what that signs for the server. PEM in and out; time comes in.
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace sluice::external {

struct ServiceName {
  std::string space;
  std::string name;
  // The one name that the API server checks.
  [[nodiscard]] std::string host() const { return name + "." + space + ".svc"; }
  friend bool operator==(const ServiceName&, const ServiceName&) = default;
};

// A certificate, with those it is followed by, and its key.
struct KeyedCertificate {
  std::string cert_pem;
  std::string key_pem;
  friend bool operator==(const KeyedCertificate&, const KeyedCertificate&) = default;
};

struct Validity {
  WallTime from;
  WallTime until;
  [[nodiscard]] bool ended(WallTime at) const { return at >= until; }
  // Two thirds are over: what is renewed now has its predecessor beside it for the last third.
  [[nodiscard]] bool renewal_due(WallTime at) const { return at >= from + (until - from) / 3 * 2; }
  friend bool operator==(const Validity&, const Validity&) = default;
};

inline constexpr std::chrono::hours authority_life{24 * 3652};  // ten years
inline constexpr std::chrono::hours serving_life{24 * 30};
// Clocks of a cluster differ: a certificate begins so long before it is made.
inline constexpr std::chrono::minutes clock_skew{10};

// EC P-256. Code::invalid for what is no name of a Service.
[[nodiscard]] Result<KeyedCertificate> make_authority(const ServiceName& service, WallTime now);
// Signed by `authority`, which it does not outlive. Code::invalid for one that cannot sign.
[[nodiscard]] Result<KeyedCertificate> make_serving(const KeyedCertificate& authority, const ServiceName& service,
                                                    WallTime now);

// That the first certificate can be read and the key is its own. Code::invalid, in words that repeat neither.
[[nodiscard]] Result<Validity> check_pair(const KeyedCertificate& pair);
// And that it may sign the certificates of servers, and has not ended. One that begins in the future is not used from
// an hour on; less is another machine's clock.
[[nodiscard]] Result<Validity> check_authority(const KeyedCertificate& pair, WallTime at);

// Whether the certificate is in the bundle; how they are written, and what is between them, does not matter.
[[nodiscard]] bool bundle_holds(std::string_view bundle, std::string_view cert_pem);

}  // namespace sluice::external
