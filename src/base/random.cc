// SPDX-License-Identifier: Apache-2.0
#include "base/random.h"

#include <algorithm>

namespace sluice {

std::uint64_t Random::next() {
  std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31U);
}

std::uint64_t Random::below(std::uint64_t n) {
  // The modulo's bias is n / 2^64: nobody can measure it for the small ranges used here.
  return n == 0 ? 0 : next() % n;
}

double Random::unit() {
  return static_cast<double>(next() >> 11U) * 0x1.0p-53;
}

Duration Random::between(Duration low, Duration high) {
  return low + Duration{static_cast<std::int64_t>(below(static_cast<std::uint64_t>((high - low).count()) + 1))};
}

std::string Random::hex(int n) {
  std::string out;
  for (int i = 0; i < n; ++i) {
    out += "0123456789abcdef"[below(16)];
  }
  return out;
}

Duration Backoff::next(Random& random) {
  Duration limit = options_.base;
  for (int i = 0; i < failures_ && limit < options_.cap; ++i) {
    limit *= 2;
  }
  ++failures_;
  limit = std::min(limit, options_.cap);
  const Duration least = options_.least == Duration{} ? options_.base / 10 : options_.least;
  return random.between(std::min(least, limit), limit);
}

}  // namespace sluice
