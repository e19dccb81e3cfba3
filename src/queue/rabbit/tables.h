// SPDX-License-Identifier: Apache-2.0
#pragma once
// A look at tables before rabbitmq-c decodes them: its decoder recurses, and the 21,000 tables that fit into one inside
// another within a frame would take 3 MB of stack.
#include <string_view>

#include "base/result.h"

namespace sluice::queue::rabbit {

// Tables and arrays inside one another. Chosen: as deep as JSON is read here; the deepest that RabbitMQ itself makes,
// x-death, has 3 levels.
inline constexpr std::size_t depth_max = 64;

// Whether the table at the beginning of `bytes` (its size first, specification section 4.2.5.5) is whole, of known
// types, and nested at most depth_max deep; nothing is said of what follows it. Does not recurse. Code::invalid
// otherwise, saying which.
[[nodiscard]] Result<void> check_table(std::string_view bytes);
// The same for the headers among the properties of a message (section 4.2.6.1, without its class, weight and size).
[[nodiscard]] Result<void> check_properties(std::string_view bytes);

}  // namespace sluice::queue::rabbit
