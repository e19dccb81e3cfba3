// SPDX-License-Identifier: Apache-2.0
#pragma once
// Times and durations. Time is monotonic (CLOCK_BOOTTIME: goes on while the machine sleeps) and is what decisions use;
// WallTime is for people and for the wire only. The two never mix, because they are distinct types.
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice {

using Duration = std::chrono::nanoseconds;

// Tag of the monotonic clock. It has no now(): time comes in through aio's Clock.
struct Monotonic {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = Duration;
  using time_point = std::chrono::time_point<Monotonic>;
  static constexpr bool is_steady = true;
};
using Time = std::chrono::time_point<Monotonic, Duration>;
using WallTime = std::chrono::sys_time<std::chrono::milliseconds>;

[[nodiscard]] constexpr std::int64_t to_ms(Duration d) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
}
[[nodiscard]] constexpr std::int64_t to_ms(Time t) {
  return to_ms(t.time_since_epoch());
}
[[nodiscard]] constexpr double to_s(Duration d) {
  return std::chrono::duration<double>(d).count();
}

// The pool file's durations: integers with ms, s, m, h, each unit at most once, largest first ("90s", "1h30m",
// "250ms"). Refused with Code::invalid and the accepted form: no unit, a sign, a fraction, a blank, more than 10 years.
[[nodiscard]] Result<Duration> parse_duration(std::string_view text);

// The exact inverse of parse_duration, shortest form: "1h30m", "0s", "250ms". Rounded down to milliseconds.
[[nodiscard]] std::string format_duration(Duration d);

// For people: "340 ms", "9.4 s", "68 s", "5 min 20 s", "3 h 5 min".
[[nodiscard]] std::string humane_duration(Duration d);

// RFC 3339 UTC with milliseconds: "2026-01-31T14:02:30.125Z".
[[nodiscard]] std::string format_wall(WallTime t);
// The same, also without or with other fractions; offsets other than Z are refused.
[[nodiscard]] std::optional<WallTime> parse_wall(std::string_view text);
// "14:02:30" in UTC, for screens.
[[nodiscard]] std::string format_clock(WallTime t);

}  // namespace sluice
