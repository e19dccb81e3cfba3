// SPDX-License-Identifier: Apache-2.0
#pragma once
// Strict UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.
#include <cstddef>
#include <string>
#include <string_view>

namespace sluice::pool {

struct Utf8 {
  char32_t code = 0;
  std::size_t length = 0;  // 0: no valid character begins here
};

// The character that begins at text[at]. Requires: at < text.size().
[[nodiscard]] Utf8 decode_utf8(std::string_view text, std::size_t at);

void append_utf8(std::string& out, char32_t code);

}  // namespace sluice::pool
