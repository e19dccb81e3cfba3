// SPDX-License-Identifier: Apache-2.0
// What a record says of arrivals and service times.
#include <algorithm>
#include <cmath>

#include "lab/replay.h"

namespace sluice::lab {
namespace {

constexpr std::int64_t finished_least = 10;  // chosen: fewer messages than this tell no service time
// A window of thirty services says how much they vary: in fewer it counts more where in a service it was cut, above all
// with workers in step. Ten windows tell a deviation to a quarter.
constexpr double window_services = 30;
constexpr std::int64_t windows_least = 10;
constexpr std::int64_t busy_finished_least = 200;  // chosen: a mean to a tenth, whatever the distribution
constexpr double spread_most = 10;
constexpr Duration longest{std::chrono::hours{24 * 400}};  // as a scenario's
constexpr std::int64_t messages_most = 1'000'000'000;      // chosen: more cannot be simulated in an hour

// What workers had in hand at a look: with more than one message at a time, what is delivered, at most what they work
// on.
double in_hand(const PastLook& look, std::int64_t concurrency) {
  const std::int64_t lanes = look.busy * concurrency;
  return static_cast<double>(concurrency == 1 ? lanes : std::min(look.in_flight.value_or(lanes), lanes));
}

double seconds_between(const PastLook& a, const PastLook& b) {
  return static_cast<double>(b.at_ms - a.at_ms) / 1e3;
}

bool counted(const PastLook& a, const PastLook& b) {
  return a.acked && b.acked && *b.acked >= *a.acked && b.at_ms > a.at_ms;
}

// Nobody was idle in between: as many were busy before as after, and messages waited.
bool saturated(const PastLook& a, const PastLook& b) {
  return a.busy == b.busy && a.busy > 0 && a.ready.value_or(0) > 0 && b.ready.value_or(0) > 0;
}

struct Handled {
  double hand_s = 0;
  std::int64_t finished = 0;
  void add(const Handled& one) {
    hand_s += one.hand_s;
    finished += one.finished;
  }
};

std::optional<double> spread_of(const Past& past, double mean_s) {
  double squares = 0, expected_all = 0;
  std::int64_t windows = 0;
  double expected = 0, lasted = 0;
  std::int64_t finished = 0;
  for (std::size_t i = 1; i < past.looks.size(); ++i) {
    const PastLook& a = past.looks[i - 1];
    const PastLook& b = past.looks[i];
    if (!counted(a, b) || !saturated(a, b)) {
      expected = lasted = 0;
      finished = 0;
      continue;
    }
    lasted += seconds_between(a, b);
    expected += seconds_between(a, b) * in_hand(a, past.spec.workers.concurrency) / mean_s;
    finished += *b.acked - *a.acked;
    if (lasted >= window_services * mean_s) {
      const double off = static_cast<double>(finished) - expected;
      squares += off * off;
      expected_all += expected;
      ++windows;
      expected = lasted = 0;
      finished = 0;
    }
  }
  if (windows < windows_least) {
    return std::nullopt;
  }
  return std::min(std::sqrt(squares / expected_all), spread_most);
}

std::int64_t there(const PastLook& look) {
  return look.ready.value_or(0) + look.in_flight.value_or(0);
}

// Between two looks.
struct Between {
  std::int64_t arrived = 0;
  bool reset = false;
};
Between between(const Past& past, const PastLook& a, const PastLook& b, bool by_counter,
                const std::optional<Duration>& service) {
  if (by_counter) {
    const bool reset = *b.published < *a.published;
    return {.arrived = reset ? *b.published : *b.published - *a.published, .reset = reset};
  }
  double finished = 0;
  if (counted(a, b)) {
    finished = static_cast<double>(*b.acked - *a.acked);
  } else if (service) {
    const double busy = (in_hand(a, past.spec.workers.concurrency) + in_hand(b, past.spec.workers.concurrency)) / 2;
    finished = busy * seconds_between(a, b) / to_s(*service);
  }
  return {.arrived = there(b) - there(a) + std::llround(std::min(finished, 1e12))};
}

bool usable(const PastLook& look, bool by_counter) {
  return by_counter ? look.published.has_value() : look.ready.has_value();
}

}  // namespace

std::optional<PastService> past_service(const Past& past) {
  if (!past.services_ms.empty()) {
    std::int64_t sum = 0;
    for (const std::int64_t one : past.services_ms) {
      sum += one;
    }
    const auto n = static_cast<std::int64_t>(past.services_ms.size());
    return PastService{.mean = std::chrono::milliseconds{std::max<std::int64_t>(1, sum / n)}, .messages = n};
  }
  // Stretches in which all were busy tell it exactly; the others with an error at each change.
  Handled all, busy;
  for (std::size_t i = 1; i < past.looks.size(); ++i) {
    const PastLook& a = past.looks[i - 1];
    const PastLook& b = past.looks[i];
    if (!counted(a, b)) {
      continue;
    }
    const std::int64_t lanes = past.spec.workers.concurrency;
    const Handled one{.hand_s = seconds_between(a, b) * (in_hand(a, lanes) + in_hand(b, lanes)) / 2,
                      .finished = *b.acked - *a.acked};
    all.add(one);
    if (saturated(a, b)) {
      busy.add(one);
    }
  }
  // Elsewhere than in a journal nobody tells who is busy while nothing waits.
  const Handled& used = !past.journal || busy.finished >= busy_finished_least ? busy : all;
  if (used.finished < finished_least || used.hand_s <= 0) {
    return std::nullopt;
  }
  const double mean_s = used.hand_s / static_cast<double>(used.finished);
  return PastService{.mean = std::chrono::milliseconds{std::max<std::int64_t>(1, std::llround(mean_s * 1e3))},
                     .spread = spread_of(past, mean_s),
                     .messages = used.finished};
}

Result<PastArrivals> past_arrivals(const Past& past, const std::optional<Duration>& service) {
  const auto published = std::ranges::count_if(past.looks, [](const PastLook& l) { return l.published.has_value(); });
  const auto acked = std::ranges::count_if(past.looks, [](const PastLook& l) { return l.acked.has_value(); });
  PastArrivals out{.counted = published >= 2};
  const bool estimable = service.has_value() && past.workers_known;
  if (!past.journal && !out.counted && acked < 2 && !estimable) {
    return Error{Code::invalid,
                 "only the backlog is known: what came is its change and what was finished meanwhile; accepted: "
                 "--service TIME and --workers N beside it, or counts of what came or of what was done"};
  }
  if (!out.counted && acked < 2 && !estimable) {
    return Error{Code::invalid,
                 "the journal has no counts of published or finished messages (RabbitMQ tells them to a pool with "
                 "`management`); accepted: --service TIME beside it, how long a worker has a message"};
  }
  const PastLook* last = nullptr;
  std::int64_t begin_ms = 0, owed = 0;
  for (const PastLook& look : past.looks) {
    if (!usable(look, out.counted) || (last != nullptr && look.queue_ms <= last->queue_ms)) {
      continue;
    }
    if (last == nullptr) {
      begin_ms = look.queue_ms;
      out.first = there(look);
      out.bins.push_back({Duration{0}, out.first});
      out.bins.push_back({std::chrono::milliseconds{1}, 0});
      last = &look;
      continue;
    }
    const Between one = between(past, *last, look, out.counted, service);
    const std::int64_t arrived = one.arrived + owed;  // less than nothing: more was finished than can be explained
    out.bins.back().arrivals = std::max<std::int64_t>(arrived, 0);
    owed = std::min<std::int64_t>(arrived, 0);
    out.resets += one.reset ? 1 : 0;
    const Duration at = std::chrono::milliseconds{look.queue_ms - begin_ms};
    out.bins.push_back({std::max<Duration>(at, out.bins.back().at + std::chrono::milliseconds{1}), 0});
    last = &look;
  }
  for (const Bin& bin : out.bins) {
    out.messages = std::min(out.messages + std::min(bin.arrivals, messages_most), messages_most + 1);
  }
  if (out.messages > messages_most) {
    return Error{Code::invalid, "more than a billion messages; accepted: a shorter part of the record"};
  }
  if (out.bins.size() < 3 || out.messages == 0) {
    return Error{Code::invalid, "no message came while this was recorded; accepted: a record with some load"};
  }
  out.lasts = std::max<Duration>(std::chrono::seconds{1}, std::chrono::milliseconds{past.end_ms - begin_ms});
  if (out.lasts > longest) {
    return Error{Code::invalid,
                 "a record of more than 400 days; accepted: a part of it, times in seconds or as "
                 "2026-01-31T14:02:30Z"};
  }
  return out;
}

PastTotals past_totals(const Past& past) {
  PastTotals out;
  for (std::size_t i = 0; i < past.looks.size(); ++i) {
    const PastLook& look = past.looks[i];
    out.workers_peak = std::max(out.workers_peak, look.live);
    if (i > 0) {
      const auto placed = static_cast<double>(past.looks[i - 1].placed + look.placed) / 2;
      out.worker_s += seconds_between(past.looks[i - 1], look) * placed;
    }
  }
  return out;
}

}  // namespace sluice::lab
