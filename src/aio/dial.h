// SPDX-License-Identifier: Apache-2.0
#pragma once
// From a host's name to a connected stream.
#include <cstdint>
#include <memory>
#include <string>

#include "aio/dns.h"
#include "aio/stream.h"

namespace sluice::aio {

// Tries every address of `host` (a name or an address) in turn; each gets an equal share of the time that is left, so
// that one that swallows packets does not spend it all. Errors as of Resolver::resolve() and connect_stream(); of a
// name with the address that was tried last in front.
[[nodiscard]] Task<Result<std::unique_ptr<Stream>>> dial(Loop& loop, Clock& clock, Resolver& resolver, std::string host,
                                                         std::uint16_t port, Deadline deadline);

}  // namespace sluice::aio
