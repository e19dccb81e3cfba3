// SPDX-License-Identifier: Apache-2.0
#pragma once
// The bytes a message is stored as: checksum, length-prefixed fields, body. Apart from the database, so that a test can
// feed it any bytes.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "queue/message.h"

namespace sluice::queue::local {

// Everything of the message but its priority, which the line needs as a column. The checksum covers the id too.
[[nodiscard]] std::string encode_content(const Message& message, WallTime published_at);

// Nullopt: these are not the bytes that were stored for this id.
[[nodiscard]] std::optional<Message> decode_content(std::string_view id, std::string_view bytes);

}  // namespace sluice::queue::local
