// SPDX-License-Identifier: Apache-2.0
#pragma once
// Why a TLS handshake failed, in words that say what to do. For tls.cc alone.
#include <string>

#include "base/result.h"

struct ssl_st;

namespace sluice::aio {

// From now on `about`, which outlives the session, gets what a refused certificate says of itself: the names it is for,
// or when it is valid.
void remember_refused(ssl_st* session, std::string& about);

// What the last call of OpenSSL on this session failed with, and empties OpenSSL's queue of errors. Code::denied when a
// certificate was refused, here or there; invalid when the peer does not speak TLS; retry for the rest.
[[nodiscard]] Error tls_failure(ssl_st* session, const std::string& about);

}  // namespace sluice::aio
