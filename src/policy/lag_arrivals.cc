// SPDX-License-Identifier: Apache-2.0
#include "policy/lag_arrivals.h"

#include <algorithm>
#include <cmath>

namespace sluice::policy {
namespace {

constexpr std::array<std::int64_t, 8> windows = {1, 2, 4, 8, 16, 32, 64, 120};
constexpr std::int64_t window_most = windows.back();
constexpr double sigmas = 3;             // of every test: one false alarm in 370
constexpr double believed_times = 8;     // measured in simulation: 4 is worse on steps, 16 is the same
constexpr std::int64_t batch_steps = 2;  // what came within two steps is a batch, and no rate
constexpr double outlier_times = 6;      // a change of the rate is not learned as noise

}  // namespace

void LagArrivals::step(std::int64_t arrived) {
  std::copy(upto_.begin() + 1, upto_.end(), upto_.begin());
  upto_.back() += std::max<std::int64_t>(arrived, 0);
}

std::int64_t LagArrivals::at(std::int64_t ago) const {
  const std::int64_t back = std::clamp<std::int64_t>(ago, 0, steps - 1);
  return upto_[steps - 1 - static_cast<std::size_t>(back)];
}

LagRate lag_rate(const LagArrivals& arrivals, std::int64_t ago, double step_s, double dispersion) {
  const std::int64_t upto = arrivals.at(ago);
  std::array<double, windows.size()> rates{};
  std::size_t chosen = 0;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    const double length = static_cast<double>(windows[i]) * step_s;
    rates[i] = static_cast<double>(upto - arrivals.at(ago + windows[i])) / length;
    bool agrees = true;
    for (std::size_t j = 0; j < i; ++j) {
      const double shorter = static_cast<double>(windows[j]) * step_s;
      const double allowed = sigmas * std::sqrt(dispersion * rates[i] / shorter) + 1 / shorter;
      agrees = agrees && std::abs(rates[j] - rates[i]) <= allowed;
    }
    if (!agrees) {
      break;
    }
    chosen = i;
  }
  const std::int64_t window = windows[chosen];
  LagRate out;
  out.now = rates[chosen];
  out.age = static_cast<double>(window) * step_s;
  out.error = std::sqrt(dispersion * out.now / out.age);
  const std::int64_t rest = window_most - window;
  out.before = rest == 0 ? out.now
                         : static_cast<double>(arrivals.at(ago + window) - arrivals.at(ago + window_most)) /
                               (static_cast<double>(rest) * step_s);
  out.believed = believed_times * static_cast<double>(std::max<std::int64_t>(window - batch_steps, 0)) * step_s;
  return out;
}

std::int64_t lag_dispersion(std::int64_t before_milli, std::int64_t last, std::int64_t now, double decay) {
  if (last + now == 0) {
    return before_milli;
  }
  const auto difference = static_cast<double>(now - last);
  const double seen = difference * difference / static_cast<double>(last + now) * 1000;
  const auto before = static_cast<double>(before_milli);
  const double capped = std::min(seen, outlier_times * before);
  return std::max<std::int64_t>(1000, std::llround(before * decay + capped * (1 - decay)));
}

double LagForecast::within(double x) const {
  return base * x + excess * std::min(x, excess_s);
}

double LagForecast::rate_at(double x) const {
  return base + (x < excess_s ? excess : 0);
}

LagForecast lag_forecast(const LagRate& rate, double trust) {
  LagForecast out;
  out.base = rate.base() + rate.error;
  out.excess = trust * rate.excess();
  out.excess_s = rate.believed;
  return out;
}

}  // namespace sluice::policy
