// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace sluice {

// The number that is the whole of `text`, in decimal; empty where there is anything else, a blank or a plus sign
// included, a minus sign where N has none, and where N cannot hold it.
template <typename N>
[[nodiscard]] std::optional<N> parse_number(std::string_view text) {
  N n{};
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, n);
  return error == std::errc{} && end == last ? std::optional(n) : std::nullopt;
}

}  // namespace sluice
