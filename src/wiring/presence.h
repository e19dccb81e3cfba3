// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whether a subscription is there, for whoever only reads its numbers.
#include <functional>
#include <memory>
#include <string>

#include "aio/clock.h"
#include "aio/loop.h"
#include "base/random.h"
#include "base/result.h"
#include "gcp/token.h"

namespace sluice::wiring {

using SubscriptionPresence =
    std::function<aio::Task<Result<bool>>(std::string project, std::string subscription, aio::Deadline)>;

// Asks `emulator` ("HOST:PORT"), which is never told a token; empty: Google, as who `tokens` say. References outlive
// it.
[[nodiscard]] SubscriptionPresence subscription_presence(aio::Loop& loop, aio::Clock& clock, Random& random,
                                                         std::shared_ptr<gcp::TokenSource> tokens,
                                                         const std::string& emulator);

}  // namespace sluice::wiring
