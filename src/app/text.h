// SPDX-License-Identifier: Apache-2.0
#pragma once
// Text for terminals: width in columns, not bytes. Every character we print ourselves is one column wide.
#include <string>
#include <string_view>

namespace sluice::app {

// Columns of UTF-8 text; colour sequences (ESC [ .. m) count nothing.
[[nodiscard]] int width(std::string_view text);
// At most `columns` wide, "…" at the end when something was cut. Colour sequences are kept and end with a reset.
[[nodiscard]] std::string cut(std::string_view text, int columns);
// Filled up with blanks to `columns`.
[[nodiscard]] std::string padded(std::string text, int columns);

enum class Colour { none, bold, dim, red, green, yellow, blue, cyan };
// `text` in a colour, or as it is when `on` is false.
[[nodiscard]] std::string coloured(std::string_view text, Colour colour, bool on);

}  // namespace sluice::app
