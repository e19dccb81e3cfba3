// SPDX-License-Identifier: Apache-2.0
#pragma once
// Go's arithmetic where C++ leaves it undefined: conversions as amd64's CVTTSD2SI does them, integers that wrap.
#include <cmath>
#include <cstdint>
#include <limits>

namespace sluice::policy {

// Truncates; what does not fit, infinities and NaN are the least integer.
[[nodiscard]] inline std::int32_t go_int32(double x) {
  const bool fits = x > -2147483649.0 && x < 2147483648.0;
  return fits ? static_cast<std::int32_t>(x) : std::numeric_limits<std::int32_t>::min();
}
[[nodiscard]] inline std::int64_t go_int64(double x) {
  const bool fits = x >= -9223372036854775808.0 && x < 9223372036854775808.0;
  return fits ? static_cast<std::int64_t>(x) : std::numeric_limits<std::int64_t>::min();
}

// The same, but what is too large is the largest integer.
[[nodiscard]] inline std::int32_t capped_int32(double x) {
  return x > 2147483647.0 ? std::numeric_limits<std::int32_t>::max() : go_int32(x);
}

[[nodiscard]] inline std::int32_t wrapped_int32(std::int64_t n) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(static_cast<std::uint64_t>(n)));
}
[[nodiscard]] inline std::int64_t wrapping_sum(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

}  // namespace sluice::policy
