// SPDX-License-Identifier: Apache-2.0
#pragma once
// The cumulative arrival curve of the last 420 steps, and what it says of the near future.
//
// The forecast is a rate that the present regime has had for its whole age, and an excess over the time before, which
// is believed for eight times as long as it has lasted. Not a model of days and weeks: a queue may be an hour old. Nor
// has it a slope: measured, a slope beyond three standard errors of a regime of 64 steps cost more than it saved.
#include <array>
#include <cstddef>
#include <cstdint>

namespace sluice::policy {

class LagArrivals {
 public:
  static constexpr std::size_t steps = 420;  // 35 minutes of 5 s
  // Arrivals of the step that has just ended.
  void step(std::int64_t arrived);
  // Cumulative, `ago` whole steps before the newest; older than all of them is the oldest.
  [[nodiscard]] std::int64_t at(std::int64_t ago) const;
  [[nodiscard]] std::int64_t newest() const { return upto_.back(); }
  friend bool operator==(const LagArrivals&, const LagArrivals&) = default;

  // By step, oldest first, for whoever writes it down.
  [[nodiscard]] const std::array<std::int64_t, steps>& upto() const { return upto_; }
  void assign(const std::array<std::int64_t, steps>& upto) { upto_ = upto; }

 private:
  std::array<std::int64_t, steps> upto_{};
};

// The arrival rate as a test of equal rates found it. Times in seconds, rates in messages a second.
struct LagRate {
  double now = 0;       // over the present regime
  double age = 0;       // of that regime
  double error = 0;     // standard error of `now`
  double before = 0;    // over the rest of the last 120 steps
  double believed = 0;  // how much longer an excess over `before` is believed
  [[nodiscard]] double excess() const { return now > before ? now - before : 0; }
  [[nodiscard]] double base() const { return now > before ? before : now; }
};

// The rate `ago` steps before the newest. `dispersion`: variance of the arrivals of a step over their mean.
[[nodiscard]] LagRate lag_rate(const LagArrivals& arrivals, std::int64_t ago, double step_s, double dispersion);

// One step's part in the dispersion, from two neighbouring steps: successive differences do not see a slow change.
[[nodiscard]] std::int64_t lag_dispersion(std::int64_t before_milli, std::int64_t last, std::int64_t now, double decay);

// What comes within x seconds from now.
struct LagForecast {
  double base = 0;
  double excess = 0;    // times the trust in bursts
  double excess_s = 0;  // for so long
  [[nodiscard]] double within(double x) const;
  [[nodiscard]] double rate_at(double x) const;
};
[[nodiscard]] LagForecast lag_forecast(const LagRate& rate, double trust);

}  // namespace sluice::policy
