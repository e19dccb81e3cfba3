// SPDX-License-Identifier: Apache-2.0
#include "policy/lag_learn.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "policy/lag_service.h"

namespace sluice::policy {
namespace {

using model::Observation;
using model::WorkerState;

// Chosen: a sixth of the longest wait, so that it has a few steps; measured in simulation at 5 s, of which a shorter
// one is no better; of very long waits a step long enough for the ring to span them.
constexpr std::int64_t step_least_ms = 1'000;
constexpr std::int64_t step_usual_ms = 5'000;
constexpr std::int64_t steps_of_max = 6;
constexpr std::int64_t steps_of_max_most = 120;
constexpr double aim = 0.8;  // of the longest wait: what is rounded and delayed has room
constexpr double half_life_dispersion = 600;
constexpr double half_life_trust = 2400;
constexpr double half_life_shadow = 1800;
constexpr double trust_prior = 6;         // predictions that came true, before any
constexpr double predicted_most = 1e6;    // messages; keeps squares and their sums exact in 64 bits
constexpr std::int64_t ahead_most = 290;  // steps: the ring minus the longest window
constexpr std::int64_t moment_ms = 5;     // two roundings of one time differ by less
constexpr double delay_percentile = 0.8;
constexpr std::size_t warm_enough = 5;  // chosen: more than a node that happens to be half full usually has room for
constexpr std::int64_t count_most = 1'000'000'000'000'000;  // messages; more than any broker ever had
constexpr std::int64_t came_most = 1'000'000'000'000;       // in one look
constexpr std::int64_t ago_most = 1'000'000'000'000;        // ms

double rounded(double x) {
  return std::round(x * 1e9) / 1e9;  // what exp gives in the last bit is not the same everywhere
}
double seconds(std::int64_t ms) {
  return static_cast<double>(ms) / 1000;
}

std::int64_t step_of(const LagOptions& options) {
  const std::int64_t short_one = std::clamp(options.max_ms / steps_of_max, step_least_ms, step_usual_ms);
  return std::max({short_one, options.max_ms / steps_of_max_most, options.every_ms});
}

double percentile_of(std::vector<std::int64_t> delays_ms, std::int64_t prior_ms) {
  if (delays_ms.empty()) {
    return seconds(prior_ms);
  }
  std::ranges::sort(delays_ms);
  const double rank = std::ceil(delay_percentile * static_cast<double>(delays_ms.size()));
  return seconds(delays_ms[static_cast<std::size_t>(rank) - 1]);
}

void remember_delay(std::vector<std::int64_t>& delays, std::int64_t ms) {
  delays.push_back(std::max<std::int64_t>(ms, 0));
  if (delays.size() > LagMemory::delays_most) {
    delays.erase(delays.begin());
  }
}

struct Count {
  LagCounter counter = LagCounter::none;
  std::int64_t n = 0;
};
// Sums of such numbers fit into 64 bits, whatever a broker says.
std::int64_t counted(const model::SeenCount& count) {
  return std::min(count.n, count_most);
}
Count arrived(const Observation& seen) {
  const model::SeenQueue& queue = seen.queue;
  if (queue.published_n) {
    return {LagCounter::published, counted(*queue.published_n)};
  }
  if (queue.acked_n && queue.in_flight && queue.ready) {
    return {LagCounter::conserved, counted(*queue.acked_n) + counted(*queue.in_flight) + counted(*queue.ready)};
  }
  return {};
}

// Done by now: counted, or what arrived and is neither waiting nor in work.
std::int64_t done_by(const Count& count, const Observation& seen) {
  if (seen.queue.acked_n) {
    return counted(*seen.queue.acked_n);
  }
  const bool whole = count.counter == LagCounter::published && seen.queue.ready && seen.queue.in_flight;
  return whole ? std::max<std::int64_t>(count.n - counted(*seen.queue.ready) - counted(*seen.queue.in_flight), 0) : -1;
}

// The next one to leave: those that started were asked for first, those taken back last.
void leave(LagMemory& memory, std::int64_t n, std::optional<std::int64_t> started_at_ms) {
  for (; n > 0 && !memory.asked.empty(); --n) {
    const std::size_t i = started_at_ms ? 0 : memory.asked.size() - 1;
    LagAsked& asked = memory.asked[i];
    if (started_at_ms) {
      remember_delay(asked.cold ? memory.cold_ms : memory.warm_ms, *started_at_ms - asked.at_ms);
    }
    if (--asked.n == 0) {
      memory.asked.erase(memory.asked.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
}

void enter(LagMemory& memory, std::int64_t n, std::int64_t at_ms) {
  if (n <= 0) {
    return;
  }
  if (memory.asked.size() == LagMemory::asked_most) {
    memory.asked.back().n += n;
  } else {
    memory.asked.push_back({at_ms, n, false});
  }
}

// Which of those that have not started wait for a node: the youngest, as places go to the oldest first.
void mark_cold(LagMemory& memory, std::int64_t unscheduled) {
  for (auto asked = memory.asked.rbegin(); asked != memory.asked.rend() && unscheduled > 0; ++asked) {
    asked->cold = true;
    unscheduled -= asked->n;
  }
}

// How many of those that have not started are new. Where some have started since, counts alone do not tell: then it is
// those that were to be asked for, if any were.
std::int64_t newly_asked(const LagMemory& memory, std::int64_t known, std::int64_t now, bool one_started,
                         bool one_asked) {
  if (!one_started) {
    return std::max<std::int64_t>(now - std::max<std::int64_t>(known - memory.taken_back, 0), 0);
  }
  const std::int64_t asked = one_asked ? std::min(memory.asked_for, now) : 0;
  return std::clamp<std::int64_t>(std::max(asked, now - known + 1), 0, now);
}

void see_workers(LagMemory& memory, const Observation& seen) {
  const model::SeenStarts& starts = seen.starts;
  const auto moment = [&](const std::optional<std::int64_t>& ms_ago) {
    return ms_ago ? seen.at_ms - std::min(*ms_ago, ago_most) : -1;
  };
  const std::int64_t ready_ms = moment(starts.ready_ms_ago);
  const std::int64_t asked_ms = moment(starts.last_ms_ago);
  const bool one_started = ready_ms > memory.ready_ms + moment_ms;
  const bool one_asked = asked_ms > memory.asked_ms + moment_ms;
  std::int64_t known = 0;
  for (const LagAsked& asked : memory.asked) {
    known += asked.n;
  }
  const std::int64_t now = seen.not_started();
  const std::int64_t fresh = newly_asked(memory, known, now, one_started, one_asked);
  const std::int64_t gone = std::max<std::int64_t>(known + fresh - now, 0);
  const std::int64_t taken_back = one_started ? std::min(gone, memory.taken_back) : gone;
  leave(memory, taken_back, std::nullopt);
  leave(memory, gone - taken_back, ready_ms);
  enter(memory, fresh, starts.last_ms_ago ? asked_ms : seen.at_ms);
  mark_cold(memory, seen.count(WorkerState::unscheduled));
  memory.ready_ms = one_started ? ready_ms : memory.ready_ms;
  memory.asked_ms = one_asked ? asked_ms : memory.asked_ms;
}

// What was predicted one start-up time ago, against what has come since.
void learn_trust(LagMemory& memory, const LagEstimates& known) {
  const auto ahead = std::clamp<std::int64_t>(std::llround(known.cold / known.step), 1, ahead_most);
  const double horizon = static_cast<double>(ahead) * known.step;
  const LagRate then = lag_rate(memory.arrivals, ahead, known.step, known.dispersion);
  const double predicted = std::min(std::round(then.excess() * std::min(horizon, then.believed)), predicted_most);
  if (predicted < 1) {
    return;
  }
  const auto came = static_cast<double>(memory.arrivals.newest() - memory.arrivals.at(ahead));
  const double realized = std::clamp(std::round(came - then.before * horizon), -predicted, 2 * predicted);
  const double factor = lag_fade(known.step, half_life_trust);
  memory.predicted_realized =
      lag_faded(memory.predicted_realized, factor) + static_cast<std::int64_t>(predicted * realized);
  memory.predicted_squared =
      lag_faded(memory.predicted_squared, factor) + static_cast<std::int64_t>(predicted * predicted);
  memory.predicted_milli = lag_faded(memory.predicted_milli, factor) + 1000;
}

void run_shadows(const LagOptions& options, LagMemory& memory, const LagEstimates& known) {
  const LagCurves curves = lag_curves(options, memory, known, {});
  const auto parts = [&](double s) {
    return std::max(1, static_cast<std::int32_t>(std::lround(s / known.step * LagWorld::parts)));
  };
  const auto back = static_cast<std::int64_t>(known.service.longest / known.step);
  const auto mean = [&](std::int64_t ago) {
    return static_cast<double>(memory.arrivals.at(ago) + memory.arrivals.at(ago + 1)) / 2;
  };
  const LagWorld world{.step = known.step,
                       .arrived = static_cast<double>(memory.last),
                       .due = mean(back),
                       .due_before = mean(back + 1),
                       .all = static_cast<double>(memory.arrivals.newest()),
                       .cold = parts(known.cold),
                       .warm = parts(known.warm),
                       .node_idle = parts(seconds(options.node_idle_ms)),
                       .slots = static_cast<std::int32_t>(options.slots),
                       .reserve = static_cast<std::int32_t>(options.reserve),
                       .workers_max = static_cast<std::int32_t>(options.workers_max),
                       .fade = lag_fade(known.step, half_life_shadow),
                       .finish = 1 - rounded(std::exp(-known.step / LagWorld::parts / known.service.time)),
                       .service = known.service};
  const std::span<const LagExpert> experts = lag_experts(options.parts.experts);
  for (std::size_t i = 0; i < memory.shadows.size(); ++i) {
    lag_shadow(memory.shadows[i], world, curves.cold_of(experts[i]), curves.warm_of(experts[i]),
               lag_keep(options, memory, known, experts[i].keep_ms));
  }
}

// What happened in one step. done < 0: unknown.
struct Came {
  std::int64_t came = 0;
  std::int64_t began = 0;
  std::int64_t done = -1;
};

void step(const LagOptions& options, LagMemory& memory, const Observation& seen, const Came& all) {
  const auto [came, began, done] = all;
  const double step_s = seconds(memory.step_ms);
  memory.dispersion_milli =
      lag_dispersion(memory.dispersion_milli, memory.last, came, lag_fade(step_s, half_life_dispersion));
  memory.last = came;
  memory.arrivals.step(came);
  memory.started.step(began);
  const LagWork work = lag_work(options, seen);
  lag_learn_service(memory, std::min(work.working, work.servers), done);
  const LagEstimates known = lag_estimates(options, memory);
  learn_trust(memory, known);
  memory.needs.pass(lag_keep_longest(options, memory, known));
  memory.placed.pass(lag_node_idle(options, memory));
  memory.placed.see(static_cast<std::int32_t>(std::min<std::int64_t>(seen.live() - seen.unplaced(), 1'000'000)),
                    lag_node_idle(options, memory));
  if (options.parts.choice) {
    run_shadows(options, memory, known);
  }
}

void begin(const LagOptions& options, LagMemory& memory, const Observation& seen, const Count& count) {
  LagMemory fresh;
  fresh.step_ms = step_of(options);
  fresh.grid_ms = seen.at_ms;
  fresh.calm_ms = seen.at_ms;
  fresh.counter = count.counter;
  fresh.counted = count.n;
  fresh.done = done_by(count, seen);
  fresh.waiting = counted(*seen.queue.ready);
  fresh.started.step(lag_work(options, seen).working);  // when those began is not known: just now, at the worst
  // What does not depend on when it was learned.
  fresh.busy_ms = memory.busy_ms;
  fresh.done_milli = memory.done_milli;
  fresh.ended_ms = memory.ended_ms;
  fresh.cold_ms = memory.cold_ms;
  fresh.warm_ms = memory.warm_ms;
  fresh.shadows.resize(options.parts.choice ? lag_experts(options.parts.experts).size() : 0);
  memory = std::move(fresh);
}

bool usable(const LagOptions& options, const LagMemory& memory, const Observation& seen) {
  const std::size_t shadows = options.parts.choice ? lag_experts(options.parts.experts).size() : 0;
  const std::int64_t longest = memory.step_ms * static_cast<std::int64_t>(LagArrivals::steps);
  return memory.step_ms == step_of(options) && memory.shadows.size() == shadows &&
         memory.grid_ms - memory.step_ms / 5 <= seen.at_ms && seen.at_ms - memory.grid_ms <= longest;
}

}  // namespace

std::size_t memory_size(const LagMemory& memory) {
  return sizeof(LagMemory) + memory.asked.capacity() * sizeof(LagAsked) +
         (memory.cold_ms.capacity() + memory.warm_ms.capacity()) * sizeof(std::int64_t) +
         memory.shadows.capacity() * sizeof(LagShadow);
}

LagEstimates lag_estimates(const LagOptions& options, const LagMemory& memory) {
  LagEstimates out;
  out.step = seconds(memory.step_ms);
  out.service.time = lag_service_time(options, memory);
  out.service.servers = static_cast<double>(options.concurrency);
  out.service.longest = seconds(options.max_ms);
  out.service.late = 1 - static_cast<double>(options.percentile_millionths) / 1e8;
  out.dispersion = static_cast<double>(memory.dispersion_milli) / 1000;
  out.warm = percentile_of(memory.warm_ms, options.warm_ms);
  // Where one worker after the other has found a place at once, the next one will.
  const bool never_cold = memory.cold_ms.empty() && memory.warm_ms.size() >= warm_enough;
  out.cold = never_cold ? out.warm : std::max(percentile_of(memory.cold_ms, options.cold_ms), out.warm);
  if (options.parts.credibility && memory.predicted_squared > 0) {
    const double slope = static_cast<double>(memory.predicted_realized) / static_cast<double>(memory.predicted_squared);
    const double count = static_cast<double>(memory.predicted_milli) / 1000;
    out.trust = std::clamp((count * slope + trust_prior) / (count + trust_prior), 0.0, 1.0);
  }
  out.rate = lag_rate(memory.arrivals, 0, out.step, out.dispersion);
  out.limit = aim * out.service.longest;
  out.feasible = options.parts.feasible && out.limit >= out.cold + out.step;
  return out;
}

bool lag_learn(const LagOptions& options, LagMemory& memory, const Observation& seen) {
  const Count count = arrived(seen);
  const bool readable = count.counter != LagCounter::none;
  if (memory.step_ms == 0 || !usable(options, memory, seen)) {
    if (!readable) {
      return false;
    }
    begin(options, memory, seen, count);
  }
  see_workers(memory, seen);
  // A look that comes a little early counts as one of its step, or periodic looks would beat against the steps.
  const std::int64_t steps = (seen.at_ms - memory.grid_ms + memory.step_ms / 10) / memory.step_ms;
  if (steps == 0 || !readable) {
    return true;
  }
  const bool same = count.counter == memory.counter;
  const std::int64_t came = same ? std::clamp<std::int64_t>(count.n - memory.counted, 0, came_most) : 0;
  const std::int64_t by_now = done_by(count, seen);
  const std::int64_t began = std::max<std::int64_t>(came - (counted(*seen.queue.ready) - memory.waiting), 0);
  const bool known = by_now >= 0 && memory.done >= 0 && by_now >= memory.done;
  const std::int64_t done = known ? by_now - memory.done : -1;
  for (std::int64_t i = 0; i < steps; ++i) {  // looks that are missing: what came, came evenly
    const auto part = [&](std::int64_t all) { return all * (i + 1) / steps - all * i / steps; };
    step(options, memory, seen, {.came = part(came), .began = part(began), .done = known ? part(done) : -1});
  }
  memory.grid_ms += steps * memory.step_ms;
  memory.counter = count.counter;
  memory.counted = count.n;
  memory.done = by_now;
  memory.waiting = counted(*seen.queue.ready);
  return true;
}

std::int64_t lag_fresh(const LagMemory& memory, const Observation& seen) {
  const Count count = arrived(seen);
  return count.counter == memory.counter ? std::max<std::int64_t>(count.n - memory.counted, 0) : 0;
}

LagStarts lag_starts(const LagMemory& memory, const Observation& seen) {
  const std::int64_t fresh = lag_fresh(memory, seen) - (counted(*seen.queue.ready) - memory.waiting);
  return {.upto = &memory.started,
          .since = seconds(std::max<std::int64_t>(seen.at_ms - memory.grid_ms, 0)),
          .fresh = std::max<std::int64_t>(fresh, 0),
          .step = seconds(memory.step_ms)};
}

LagWork lag_work(const LagOptions& options, const Observation& seen) {
  LagWork out;
  out.workers = seen.claimed() + seen.count(WorkerState::ready) + seen.count(WorkerState::unknown);
  const std::int64_t most = std::numeric_limits<std::int64_t>::max() / std::max<std::int64_t>(options.concurrency, 1);
  out.servers = std::min(out.workers, most) * options.concurrency;
  out.working = seen.queue.in_flight ? counted(*seen.queue.in_flight)
                                     : std::min(seen.count(WorkerState::busy), most) * options.concurrency;
  return out;
}

LagPending lag_pending(const LagMemory& memory, const LagEstimates& known, const Observation& seen) {
  LagPending out;
  std::int64_t on_node = seen.count(WorkerState::starting);
  std::int64_t unplaced = seen.unplaced();
  for (const LagAsked& asked : memory.asked) {
    const double age = seconds(std::max<std::int64_t>(seen.at_ms - asked.at_ms, 0));
    const double left = std::max(known.cold - age, 0.0);
    const std::int64_t soon = std::min(asked.n, on_node);
    const std::int64_t later = asked.n - soon;
    const std::int64_t stuck = age > 3 * known.cold ? std::min(later, unplaced) : 0;
    on_node -= soon;
    unplaced -= stuck;
    out.stuck += stuck;
    out.workers += asked.n - stuck;
    for (const auto& [in, n] : {std::pair(std::min(left, known.warm), soon), {left, later - stuck}}) {
      if (n > 0 && out.size < out.ready.size()) {
        out.ready[out.size++] = {in, static_cast<double>(n)};
      } else if (n > 0) {
        out.ready.back().workers += static_cast<double>(n);
      }
    }
  }
  std::sort(out.ready.begin(), out.ready.begin() + static_cast<std::ptrdiff_t>(out.size),
            [](const LagReady& a, const LagReady& b) { return a.in < b.in; });
  return out;
}

LagCurves lag_curves(const LagOptions& options, const LagMemory& memory, const LagEstimates& known, const LagNow& now) {
  LagCurves out;
  const double left = known.limit - known.cold - known.step;
  double usual = std::max(known.cold / 2, std::min(known.cold, left));
  if (!options.parts.feasible) {
    usual = std::min(known.cold, std::max(known.service.longest, known.cold / 2));
  }
  for (std::size_t trust = 0; trust < 2; ++trust) {
    const double believed = trust == 1 ? known.trust : 0;
    const LagForecast forecast = lag_forecast(known.rate, believed);
    const auto curve = [&](double start, double catch_up) {
      return lag_curve(memory.arrivals, forecast,
                       {.start = start,
                        .catch_up = catch_up,
                        .limit = known.limit,
                        .step = known.step,
                        .since = now.since,
                        .fresh = now.fresh});
    };
    const auto floor = [&](double rate) -> std::int32_t {
      const double load = rate * known.service.time;
      // Where a worker that is asked for when a message comes is in time for it, nobody needs to wait for a rare one.
      return !options.parts.floor || (known.feasible && load < 0.05) ? 0 : lag_floor(rate, known.service);
    };
    for (std::size_t i = 0; i < LagCurves::catch_ups.size(); ++i) {
      const double scaled = std::max(2 * known.step, usual * LagCurves::catch_ups[i]);
      const double within = std::max(usual, std::min(2 * known.step, left));
      out.cold[i][trust] = curve(known.cold, known.feasible ? within : scaled);
    }
    const std::int32_t cold_floor = floor(out.cold[0][trust].rate);
    for (auto& one : out.cold) {
      one[trust].floor = cold_floor;
    }
    out.warm[trust] = curve(known.warm, std::max(known.warm, 2 * known.step));
    out.warm[trust].floor = out.warm[trust].rate == out.cold[0][trust].rate ? cold_floor : floor(out.warm[trust].rate);
  }
  return out;
}

std::int32_t lag_keep(const LagOptions& options, const LagMemory& memory, const LagEstimates& known,
                      std::int64_t keep_ms) {
  const double keep_s = options.parts.keep ? std::max(seconds(keep_ms), 4 * known.warm) : 0;
  return std::max(1, static_cast<std::int32_t>(std::ceil(keep_s * 1000 / static_cast<double>(memory.step_ms))));
}

std::int32_t lag_keep_longest(const LagOptions& options, const LagMemory& memory, const LagEstimates& known) {
  return lag_keep(options, memory, known, 480'000);
}

std::int32_t lag_node_idle(const LagOptions& options, const LagMemory& memory) {
  return static_cast<std::int32_t>(std::max<std::int64_t>(options.node_idle_ms / memory.step_ms, 1));
}

}  // namespace sluice::policy
