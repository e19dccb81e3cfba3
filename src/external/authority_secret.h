// SPDX-License-Identifier: Apache-2.0
#pragma once
// The authority that replicas share, in a Secret that only they may read: ca.crt and ca.key sign, previous.crt and
// previous.key did before and live until their end. Values alone; certificate_keeper.h asks the API server.
//
// Who makes the next authority puts it beside the old one: the caBundle then trusts both, and nobody who serves by the
// old one is cut off. The Secret is the whole truth: what is not in it is trusted no longer, so that emptying it takes
// back a key that somebody has seen.
#include <string>
#include <string_view>
#include <vector>

#include "external/serving_certificate.h"
#include "kube/secret.h"

namespace sluice::external {

struct Authority {
  KeyedCertificate pair;
  Validity validity;
};
using Authorities = std::vector<Authority>;  // the newest first, at most two

// Those that can sign at `at`; the others count for nothing.
[[nodiscard]] Authorities read_authorities(const kube::SecretData& data, WallTime at);
// There is none, or the newest is close to its end.
[[nodiscard]] bool needs_another(const Authorities& authorities, WallTime at);

// The Secret with `fresh` for the newest, and what was the newest behind it, as the body of a PUT: it fails with a
// conflict when the Secret has changed since `secret` was read. Everything else in it stays. Code::invalid for what is
// no object of the API server.
[[nodiscard]] Result<std::string> with_authority(std::string_view secret, const KeyedCertificate& fresh,
                                                 const Authorities& behind);

// The caBundle, PEM: all of them.
[[nodiscard]] std::string bundle_of(const Authorities& authorities);

}  // namespace sluice::external
