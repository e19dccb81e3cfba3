// SPDX-License-Identifier: Apache-2.0
#pragma once
// How many workers a queue needs so that every message starts in time: what must have started by a time, against what
// can have. Formulas: docs/explanation/lag-policy.md.
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "policy/lag_arrivals.h"

namespace sluice::policy {

// Times in seconds. A server is what takes one message at a time: `concurrency` of them make a worker.
struct LagService {
  double time = 1;      // of a message
  double servers = 1;   // of a worker
  double longest = 60;  // the longest wait that was asked for
  double late = 0.01;   // the share of messages that may wait longer
};

// The arrivals as one call of a curve looks at them, the same for every queue with this past: at each of some times
// from now, what of it cannot be due yet and what will be.
struct LagCurve {
  static constexpr std::size_t points_most = 18;
  struct Point {
    double tau = 0;
    double young = 0;   // arrived so late that it may start after tau
    double coming = 0;  // has not arrived yet, and must have started by tau
  };
  double start = 0;        // the start-up time
  double arriving = 0;     // within the start-up time
  double rate = 0;         // of arrivals after the start-up time
  std::int32_t floor = 0;  // servers that keep the share of late messages small while the rate stays
  std::size_t size = 0;
  std::array<Point, points_most> points{};
  [[nodiscard]] std::span<const Point> all() const { return {points.data(), size}; }
};

struct LagWindow {
  double start = 0;        // until a worker that is asked for now takes messages
  double catch_up = 0;     // what waits beyond that time is to be worked off within this one
  double limit = 0;        // the longest wait that is aimed at
  double step = 5;         // of the arrivals' curve
  double since = 0;        // its newest step
  std::int64_t fresh = 0;  // arrived after that
};
// `floor` apart, which depends on the rate alone: lag_floor().
[[nodiscard]] LagCurve lag_curve(const LagArrivals& arrivals, const LagForecast& forecast, const LagWindow& window);

// The fewest servers at which the share of messages that wait longer than `longest` is at most `late`, by Erlang C with
// exponential service. Above a load of 500 servers by the square-root rule.
[[nodiscard]] std::int32_t lag_floor(double rate, const LagService& service);

// Somebody who will take messages in `in` seconds.
struct LagReady {
  double in = 0;
  double workers = 0;
};
struct LagQueue {
  double waiting = 0;
  double working = 0;                 // messages
  double workers = 0;                 // that take messages
  std::span<const LagReady> pending;  // the next one first
};

// What made the number.
enum class LagBound { backlog, rate, floor, messages };
struct LagNeed {
  std::int32_t workers = 0;
  LagBound bound = LagBound::rate;
};
// By flows: a server that works frees itself at the rate 1 / service time, at any moment.
[[nodiscard]] LagNeed lag_need(const LagCurve& curve, const LagQueue& queue, const LagService& service);

// Who of those in work ends when, as far as the starts of the past tell it: a message ends a service time after it.
struct LagStarts {
  const LagArrivals* upto = nullptr;  // cumulative starts
  double since = 0;                   // seconds since its newest step
  std::int64_t fresh = 0;             // started after that
  double step = 5;
};
// By messages: a server starts the next one when it has ended one, and never a part of one. What is needed where the
// wait is promised: a hundred servers that have begun together end together.
[[nodiscard]] LagNeed lag_need_exact(const LagCurve& curve, const LagQueue& queue, const LagService& service,
                                     const LagStarts& starts);

}  // namespace sluice::policy
