// SPDX-License-Identifier: Apache-2.0
#pragma once
// Canonical JSON text: compact, only the escapes that JSON demands, so that equal values are equal bytes.
#include <string>
#include <string_view>

namespace sluice::pool {

void append_json_string(std::string& out, std::string_view text);
[[nodiscard]] std::string json_string(std::string_view text);

}  // namespace sluice::pool
