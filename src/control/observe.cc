// SPDX-License-Identifier: Apache-2.0
#include "control/observe.h"

#include <fmt/core.h>

#include <algorithm>

namespace sluice::control {
namespace {

using namespace std::chrono_literals;
using model::Observation;
using model::WorkerState;

constexpr std::size_t waiting_max = 10;  // contract: at most 10 entries
constexpr std::size_t text_max = 300;    // an operator reads a line, and a journal line has a bound

std::string line_of(std::string_view text) {
  std::string out(text.substr(0, text_max));
  std::ranges::replace(out, '\n', ' ');
  return out;
}

bool waits(WorkerState state) {
  return state == WorkerState::requested || state == WorkerState::unscheduled || state == WorkerState::starting ||
         state == WorkerState::suspended || state == WorkerState::failing;
}

// A claim that is newer than the reading is not in that reading yet: the worker still covers a waiting message.
WorkerState claim_as_read(const model::Worker& worker, const Result<model::Sample>& sample) {
  const bool claimed = worker.state == WorkerState::busy || worker.state == WorkerState::idle;
  const bool later =
      claimed && worker.claimed_at && sample && sample->ready && *worker.claimed_at > sample->ready->observed_at;
  return later ? WorkerState::ready : worker.state;
}

// Cloud Monitoring samples once a minute and shows it up to two minutes later; sluice's own answers allow as much.
constexpr Duration monitored_stale_after = 300s;

}  // namespace

// Three missed looks make a reading stale (design section 10's rule for brokers), but never less than 30 s.
Observer::Observer(const pool::PoolSpec& spec)
    : stale_after_(std::max<Duration>(3 * pool::every(spec.policy).period.value_or(1s), 30s)),
      claims_(spec.workers.claim),
      starts_(spec.workers.start_deadline) {
  if (std::holds_alternative<pool::PubsubQueue>(spec.queue)) {
    stale_after_ = std::max(stale_after_, monitored_stale_after);
  }
}

void Observer::acted(Time at) {
  acted_ = at;
}

Observation Observer::observe(Time now, const Result<model::FleetView>& fleet, const Result<model::Sample>& sample) {
  Observation out;
  out.at_ms = to_ms(now);
  see_fleet(out, now, fleet, sample);
  see_queue(out, now, sample);
  return out;
}

void Observer::see_fleet(Observation& out, Time now, const Result<model::FleetView>& fleet,
                         const Result<model::Sample>& sample) {
  if (fleet) {
    view_ = *fleet;
    claims_.apply(*view_, sample, now);
    settled_.see(*view_);
    starts_.update(*view_, now);
  } else {
    out.fleet.error = line_of(fleet.error().what);
  }
  out.starts = starts_.seen(now);
  if (acted_) {
    const std::int64_t ago = std::max<std::int64_t>(0, to_ms(now - *acted_));
    out.starts.last_ms_ago = std::min(out.starts.last_ms_ago.value_or(ago), ago);
  }
  if (!view_) {
    return;
  }
  if (fleet && acted_ && view_->observed_at < *acted_) {
    out.fleet.error = "the view is older than the last start";
  }
  out.fleet.age_ms = std::max<std::int64_t>(0, to_ms(now - view_->observed_at));
  out.fleet.capacity = view_->capacity.room;
  out.fleet.why = line_of(view_->capacity.why);
  out.fleet.claim = view_->claim;
  if (!view_->hold.empty()) {
    out.fleet.hold = line_of(view_->hold);
  }
  out.fleet.deaf = std::ranges::count(view_->workers, true, &model::Worker::deaf);
  for (const model::Worker& worker : view_->workers) {
    const bool overdue = starts_.overdue(worker, now);
    const WorkerState state = overdue ? WorkerState::failing : claim_as_read(worker, sample);
    ++out.workers[static_cast<std::size_t>(state)];
    if (waits(state) && out.waiting.size() < waiting_max) {
      const Time since = state == WorkerState::starting ? worker.since : worker.created_at;
      out.waiting.push_back({worker.name, state, line_of(worker.why), std::max<std::int64_t>(0, to_ms(now - since))});
    }
  }
}

void Observer::see_queue(Observation& out, Time now, const Result<model::Sample>& sample) {
  if (!sample) {
    out.queue.error = line_of(sample.error().what);
    return;
  }
  const auto count = [&](const std::optional<model::Reading>& reading) -> std::optional<model::SeenCount> {
    if (!reading || reading->n < 0 || now - reading->observed_at > stale_after_) {
      return std::nullopt;
    }
    return model::SeenCount{reading->n, std::max<std::int64_t>(0, to_ms(now - reading->observed_at))};
  };
  out.queue.ready = count(sample->ready);
  out.queue.in_flight = count(sample->in_flight);
  out.queue.total = count(sample->total);
  out.queue.delayed = count(sample->delayed);
  out.queue.dead = count(sample->dead);
  out.queue.consumers = count(sample->consumers);
  out.queue.published_n = count(sample->published_n);
  out.queue.acked_n = count(sample->acked_n);
  // Nothing newer says what waits: what our workers did since then is taken off.
  if (out.queue.total && sample->total->approximate && !out.queue.ready) {
    const std::int64_t since = settled_.since(sample->total->observed_at);
    out.queue.total->n = brought_up(out.queue.total->n, since, view_ ? &*view_ : nullptr);
  }
  if (sample->total && !sample->ready && !out.queue.total && sample->total->n >= 0) {
    out.queue.error = fmt::format("the last reading is {} old", humane_duration(now - sample->total->observed_at));
  }
  if (sample->ready && !out.queue.ready && sample->ready->n >= 0) {
    out.queue.error = fmt::format("the last reading is {} old", humane_duration(now - sample->ready->observed_at));
  }
  if (!out.queue.error && !sample->missing.empty()) {
    out.queue.error = line_of(sample->missing);
  }
  out.queue.workers_max = sample->workers_max;
  if (const auto age = ages_.climb(*sample); age && now - age->observed_at <= stale_after_) {
    out.queue.oldest_age = model::SeenAge{std::max<std::int64_t>(0, to_ms(age->age)), age->kind,
                                          std::max<std::int64_t>(0, to_ms(now - age->observed_at))};
  }
}

}  // namespace sluice::control
