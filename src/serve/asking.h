// SPDX-License-Identifier: Apache-2.0
#pragma once
// What `sluice explain` and /api/v1/explain share: which decisions are meant, and how they are told, so that the same
// journal gives the same text by either way.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/story.h"

namespace sluice::serve {

inline constexpr std::int64_t last_max = 1000;  // chosen: more than a person reads, little to keep

// A whole time, or a time of day in UTC, which is the latest such time that is not in the future.
[[nodiscard]] std::optional<WallTime> time_of(const std::string& text, WallTime now);
// Empty texts were not given. An Error says what is accepted; `at`, `tick` and `last` are named as in `names`.
struct AskNames {
  std::string_view at, tick, last;
};
[[nodiscard]] Result<control::Ask> ask_of(const std::string& at, const std::string& tick, std::int64_t last,
                                          WallTime now, const AskNames& names);

// Why a story has not the tick that was asked for.
[[nodiscard]] std::string no_tick(const std::string& pool, const control::Ask& ask, bool any_line);

struct Form {
  bool json = false;
  std::size_t columns = 100;
  WallTime now;
};
// How told[i] is told: a JSON line each; as text the last in full, those before it in a line.
[[nodiscard]] std::string tell(const std::vector<control::Told>& told, std::size_t i, const Form& form);

}  // namespace sluice::serve
