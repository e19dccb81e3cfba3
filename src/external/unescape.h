// SPDX-License-Identifier: Apache-2.0
#pragma once
// Percent-encoding backwards, strictly: every '%' is followed by two hexadecimal digits.
#include <optional>
#include <string>
#include <string_view>

namespace sluice::external {

// Of a path segment or a header's name. Empty when a '%' is not followed by two digits.
[[nodiscard]] std::optional<std::string> unescaped(std::string_view text);
// Of a query, where '+' is a blank.
[[nodiscard]] std::optional<std::string> unescaped_form(std::string_view text);

}  // namespace sluice::external
