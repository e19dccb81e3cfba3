// SPDX-License-Identifier: Apache-2.0
#include "lab/draw.h"

#include <algorithm>
#include <cmath>

#include "lab/math.h"

namespace sluice::lab {
namespace {

// A year: beyond it no run is interested, and no sum of times can overflow.
constexpr double longest_us = 366.0 * 86400 * 1e6;

Us whole(double us) {
  return std::llround(std::clamp(us, 0.0, longest_us));
}

}  // namespace

Random stream(std::int64_t seed, Stream what, std::uint64_t index) {
  // One draw apart mixes the three; neighbouring seeds then have nothing in common.
  Random mixed(static_cast<std::uint64_t>(seed) * 0x9e3779b97f4a7c15ULL ^ static_cast<std::uint64_t>(what) << 32U ^
               index);
  return Random(mixed.next());
}

Us exponential(Random& random, double mean_us) {
  return whole(-mean_us * log_of(1 - random.unit()));
}

double normal(Random& random) {
  while (true) {
    const double u = 2 * random.unit() - 1;
    const double v = 2 * random.unit() - 1;
    const double s = u * u + v * v;
    if (s > 0 && s < 1) {
      return u * std::sqrt(-2 * log_of(s) / s);  // the root is exact by IEEE 754, on every machine
    }
  }
}

Draw::Draw(const Times& times, const Files& files) {
  const auto us = [](Duration d) { return static_cast<double>(to_us(d)); };
  if (times.quantiles) {
    way_ = Way::quantiles;
    b_ = us(*times.unit);
    sizes_ = files.quantiles.find(*times.quantiles)->second;
  } else if (times.least) {
    way_ = Way::uniform;
    a_ = us(*times.least);
    b_ = us(*times.most);
  } else if (times.exponential) {
    way_ = Way::exponential;
    a_ = us(*times.exponential);
  } else if (times.mean && times.cv.millionths > 0 && *times.mean > Duration{0}) {
    way_ = Way::lognormal;
    const double variance = log_of(1 + times.cv.value() * times.cv.value());
    a_ = log_of(us(*times.mean)) - variance / 2;
    b_ = std::sqrt(variance);
  } else {
    a_ = us(times.mean.value_or(Duration{0}));
  }
}

Us Draw::next(Random& random) const {
  switch (way_) {
    case Way::constant:
      return whole(a_);
    case Way::lognormal:
      return whole(exp_of(std::min(a_ + b_ * normal(random), 60.0)));
    case Way::uniform:
      return whole(a_ + (b_ - a_) * random.unit());
    case Way::exponential:
      return exponential(random, a_);
    case Way::quantiles:
      break;
  }
  const double at = random.unit() * static_cast<double>(sizes_.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const double part = at - static_cast<double>(below);
  return whole(b_ * (sizes_[below] + part * (sizes_[below + 1] - sizes_[below])));
}

double Draw::mean_us() const {
  switch (way_) {
    case Way::constant:
    case Way::exponential:
      return a_;
    case Way::lognormal:
      return exp_of(std::min(a_ + b_ * b_ / 2, 60.0));
    case Way::uniform:
      return (a_ + b_) / 2;
    case Way::quantiles:
      break;
  }
  double sum = (sizes_.front() + sizes_.back()) / 2;  // straight between the sizes
  for (std::size_t i = 1; i + 1 < sizes_.size(); ++i) {
    sum += sizes_[i];
  }
  return b_ * sum / static_cast<double>(sizes_.size() - 1);
}

}  // namespace sluice::lab
