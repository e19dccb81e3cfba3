// SPDX-License-Identifier: Apache-2.0
#pragma once
// Chance as scenarios mean it: streams of a seed, and times by their distribution. Own code throughout, since the
// standard's distributions differ between libraries and a seed must mean the same run everywhere.
#include <cstdint>
#include <vector>

#include "base/random.h"
#include "lab/agenda.h"
#include "lab/scenario_read.h"

namespace sluice::lab {

// What a stream of chance is for. Each has its own, so that the same seed gives every policy the same messages.
enum class Stream : std::uint64_t { arrivals = 1, service = 2, pods = 3, nodes = 4, metrics = 5, marks = 6 };
[[nodiscard]] Random stream(std::int64_t seed, Stream what, std::uint64_t index = 0);

[[nodiscard]] constexpr Us to_us(Duration d) {
  return std::chrono::duration_cast<std::chrono::microseconds>(d).count();
}
[[nodiscard]] constexpr Duration to_duration(Us us) {
  return std::chrono::microseconds{us};
}

// Exponential with this mean, in whole microseconds.
[[nodiscard]] Us exponential(Random& random, double mean_us);
// Normal, mean 0, deviation 1 (Marsaglia's polar method).
[[nodiscard]] double normal(Random& random);

class Draw {
 public:
  Draw(const Times& times, const Files& files);
  [[nodiscard]] Us next(Random& random) const;
  [[nodiscard]] double mean_us() const;

 private:
  enum class Way { constant, lognormal, uniform, exponential, quantiles };
  Way way_ = Way::constant;
  double a_ = 0;  // constant, least, mean: microseconds; lognormal: mu
  double b_ = 0;  // most; sigma; microseconds of a size
  std::vector<double> sizes_;
};

}  // namespace sluice::lab
