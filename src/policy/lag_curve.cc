// SPDX-License-Identifier: Apache-2.0
#include "policy/lag_curve.h"

#include <algorithm>
#include <cmath>

namespace sluice::policy {
namespace {

constexpr double workers_most = 1e6;     // far above workers.max of any pool
constexpr double exact_load_most = 500;  // beyond it, the recursion costs more than its exactness is worth
constexpr std::int64_t moments_most = LagCurve::points_most - 1;
constexpr double slack = 1e-6;  // of sums of doubles: no worker for a millionth of a message

double rounded(double x) {
  return std::round(x * 1e9) / 1e9;  // the same on every platform, whatever its exp gives in the last bit
}

std::int32_t whole(double workers) {
  return static_cast<std::int32_t>(std::ceil(std::clamp(workers - slack, 0.0, workers_most)));
}

}  // namespace

LagCurve lag_curve(const LagArrivals& arrivals, const LagForecast& forecast, const LagWindow& window) {
  LagCurve out;
  out.start = window.start;
  out.arriving = forecast.within(window.start);
  out.rate = forecast.rate_at(window.start);
  const double first = window.start + window.catch_up;
  const auto add = [&](double tau, double young, double coming) { out.points[out.size++] = {tau, young, coming}; };
  // What arrived in a step is as old as its beginning, and all that arrived in the j-th step before the newest is due
  // at one moment.
  const auto since = [&](std::int64_t j) {
    return j <= 0 ? 0.0 : static_cast<double>(arrivals.newest() - arrivals.at(j - 1) + window.fresh);
  };
  const double young_s = window.limit - first;
  if (young_s <= 0) {
    add(first, 0, forecast.within(-young_s));
    return out;
  }
  const auto steps = static_cast<std::int64_t>(std::ceil((young_s - window.since - slack) / window.step));
  add(first, since(steps), 0);
  // Where there are too many such moments, several are taken for the first of them.
  const std::int64_t stride = std::max<std::int64_t>((steps + moments_most - 1) / moments_most, 1);
  for (std::int64_t j = steps - 1; j >= 0; j -= stride) {
    add(window.limit - window.since - static_cast<double>(j) * window.step, since(j - stride + 1), 0);
  }
  return out;
}

std::int32_t lag_floor(double rate, const LagService& service) {
  const double load = rate * service.time;
  if (load <= 0) {
    return 0;
  }
  const double exact = std::min(load, exact_load_most);
  const double decay = rounded(std::exp(-service.longest / service.time));  // one server more than the load
  double inverse = 1;                                                       // of Erlang's B with n servers
  double n = 0;
  for (; n < exact; ++n) {
    inverse = 1 + inverse * (n + 1) / exact;
  }
  double tail = n > exact ? rounded(std::pow(decay, n - exact)) : 1;
  for (; n < exact + workers_most; ++n) {
    if (n > exact) {
      const double waits = n / (exact + (n - exact) * inverse);  // Erlang's C
      if (waits * tail <= service.late) {
        break;
      }
    }
    inverse = 1 + inverse * (n + 1) / exact;
    tail = n > exact ? tail * decay : rounded(std::pow(decay, n + 1 - exact));
  }
  const double beyond = load > exact ? (n - exact) * std::sqrt(load / exact) + load : n;
  return whole(beyond);
}

namespace {

// What the curve asks for, against the floor and the messages that there are for so many.
struct LagAsk {
  double more = 0;   // servers beyond those that are there or will be
  double least = 0;  // servers, where those are enough
};
LagNeed verdict(const LagCurve& curve, const LagQueue& queue, const LagService& service, const LagAsk& ask) {
  double all = queue.workers;
  for (const LagReady& ready : queue.pending) {
    all += ready.workers;
  }
  const std::int32_t wanted =
      ask.more > slack ? whole(all) + whole(ask.more / service.servers) : whole(ask.least / service.servers);
  const std::int32_t floor = whole(curve.floor / service.servers);
  const std::int32_t messages = whole((queue.waiting + queue.working + curve.arriving) / service.servers);
  LagNeed out{.workers = floor, .bound = LagBound::floor};
  if (wanted > floor) {
    out.bound = wanted <= messages ? LagBound::backlog : LagBound::messages;
    out.workers = std::max(floor, std::min(wanted, messages));
  }
  if (out.workers <= whole(curve.rate * service.time / service.servers) + 1 && out.bound == LagBound::floor) {
    out.bound = LagBound::rate;
  }
  return out;
}

double due_by(const LagCurve::Point& point, const LagQueue& queue) {
  return std::max(queue.waiting - point.young, 0.0) + point.coming;
}

// Whole messages that a free server has started after so long.
double turns(double seconds, const LagService& service) {
  return 1 + std::floor((seconds + slack) / service.time);
}

}  // namespace

LagNeed lag_need(const LagCurve& curve, const LagQueue& queue, const LagService& service) {
  const double servers = queue.workers * service.servers;
  const double idle = std::max(servers - queue.working, 0.0);
  LagAsk ask;
  double pending = 0;
  double pending_in = 0;
  auto next = queue.pending.begin();
  for (const LagCurve::Point& point : curve.all()) {
    for (; next != queue.pending.end() && next->in < point.tau; ++next) {
      pending += next->workers;
      pending_in += next->workers * next->in;
    }
    const double due = due_by(point, queue);
    const double soon = service.servers * (pending + (pending * point.tau - pending_in) / service.time);
    const double have = idle + servers * point.tau / service.time + soon;
    ask.more = std::max(ask.more, (due - have) / (1 + (point.tau - curve.start) / service.time));
    ask.least = std::max(ask.least, due / (1 + point.tau / service.time));
  }
  return verdict(curve, queue, service, ask);
}

LagNeed lag_need_exact(const LagCurve& curve, const LagQueue& queue, const LagService& service,
                       const LagStarts& starts) {
  const double servers = queue.workers * service.servers;
  const double busy = std::min(queue.working, servers);
  const auto started = static_cast<double>(starts.upto->newest() + starts.fresh);
  LagAsk ask;
  for (const LagCurve::Point& point : curve.all()) {
    const double whole_turns = std::floor((point.tau + slack) / service.time);
    // Of those in work, the ones that started before this long ago have ended by then.
    const double ago = std::max(service.time * (whole_turns + 1) - point.tau - starts.since, 0.0);
    const auto back = static_cast<std::int64_t>(std::ceil(ago / starts.step - slack));
    const double after = started - static_cast<double>(starts.upto->at(back));
    double have = (servers - busy) * (whole_turns + 1) + busy * whole_turns + std::clamp(busy - after, 0.0, busy);
    for (const LagReady& ready : queue.pending) {
      have += ready.in < point.tau ? service.servers * ready.workers * turns(point.tau - ready.in, service) : 0;
    }
    const double due = due_by(point, queue);
    ask.more = std::max(ask.more, (due - have) / turns(point.tau - curve.start, service));
    ask.least = std::max(ask.least, due / turns(point.tau, service));
  }
  return verdict(curve, queue, service, ask);
}

}  // namespace sluice::policy
