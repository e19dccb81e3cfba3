// SPDX-License-Identifier: Apache-2.0
#pragma once
// What can be told about a file before reading it as YAML or JSON: size, encoding, control characters, tabs,
// directives.
#include <string_view>

#include "pool/problem.h"

namespace sluice::pool {

// False when the text cannot be read at all (too long, not UTF-8, control characters, an unreadable directive). Tabs
// that indent are reported and also end the reading, since what they mean depends on who looks at them.
[[nodiscard]] bool check_text(std::string_view text, bool json, Report& report);

// The text without a leading UTF-8 byte order mark, which editors on Windows write.
[[nodiscard]] std::string_view without_bom(std::string_view text);

}  // namespace sluice::pool
