// SPDX-License-Identifier: Apache-2.0
#pragma once
// "Did you mean ..?" for verbs, flags and fields.
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sluice {

// The candidate nearest to `word` by edit distance (insert, delete, replace, swap of neighbours), letters' case
// ignored; empty when none is near enough to be a plausible slip (more than a third of the word's length, at least 1,
// at most 3).
[[nodiscard]] std::optional<std::string> nearest(std::string_view word, std::span<const std::string> candidates);

}  // namespace sluice
