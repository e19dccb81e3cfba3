// SPDX-License-Identifier: Apache-2.0
#pragma once
// Chance, handed in by whoever constructs: main() seeds it from the kernel, a simulation from its seed.
//
// Not std::uniform_*_distribution, whose numbers differ between standard libraries; a seed must mean the same run
// everywhere.
#include <cstdint>
#include <string>

#include "base/time.h"

namespace sluice {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  // 64 random bits (splitmix64, Steele et al. 2014).
  [[nodiscard]] std::uint64_t next();
  // Uniform in [0, n); 0 for n == 0.
  [[nodiscard]] std::uint64_t below(std::uint64_t n);
  // Uniform in [0, 1).
  [[nodiscard]] double unit();
  [[nodiscard]] bool chance(double p) { return unit() < p; }
  // Uniform in [low, high].
  [[nodiscard]] Duration between(Duration low, Duration high);
  // n lower-case hex digits.
  [[nodiscard]] std::string hex(int n);

 private:
  std::uint64_t state_;
};

// Exponential backoff with full jitter: the n-th delay is uniform in [least, min(cap, base * 2^n)], so that a herd of
// clients spreads out and no retry is ever a hot loop. `least` is a tenth of the base if it is 0.
class Backoff {
 public:
  struct Options {
    Duration base;
    Duration cap;
    Duration least{};
  };
  explicit Backoff(Options options) : options_(options) {}
  [[nodiscard]] Duration next(Random& random);
  void reset() { failures_ = 0; }
  [[nodiscard]] int failures() const { return failures_; }

 private:
  Options options_;
  int failures_ = 0;
};

}  // namespace sluice
