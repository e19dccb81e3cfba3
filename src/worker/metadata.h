// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a handler program is told about a message besides its body.
#include <string>

#include "queue/message.h"

namespace sluice::worker {

// The message's headers as one JSON object of strings, in ASCII (the rest escaped), so that it fits a variable of the
// environment and a field of HTTP alike. A redelivery also has "sluice-cause": why it came again. Of a header given
// twice the last one counts.
[[nodiscard]] std::string headers_json(const queue::Delivery& delivery);

// `text` as a value of a header field: control characters as %XX, all else as it is.
[[nodiscard]] std::string field_value(const std::string& text);

}  // namespace sluice::worker
