// SPDX-License-Identifier: Apache-2.0
#include "external/unescape.h"

#include <charconv>

namespace sluice::external {
namespace {

std::optional<std::string> decoded(std::string_view text, bool plus_is_blank) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += plus_is_blank && text[i] == '+' ? ' ' : text[i];
      continue;
    }
    const std::string_view digits = text.substr(i + 1, 2);
    unsigned char byte = 0;
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    if (digits.size() != 2 || failed != std::errc{} || end != digits.data() + digits.size()) {
      return std::nullopt;
    }
    out += static_cast<char>(byte);
    i += 2;
  }
  return out;
}

}  // namespace

std::optional<std::string> unescaped(std::string_view text) {
  return decoded(text, false);
}

std::optional<std::string> unescaped_form(std::string_view text) {
  return decoded(text, true);
}

}  // namespace sluice::external
