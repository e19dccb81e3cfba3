// SPDX-License-Identifier: Apache-2.0
#include "serve/pool_watch.h"

#include <fmt/core.h>

#include <algorithm>

#include "model/json.h"

namespace sluice::serve {
namespace {

using model::WorkerState;

// Chosen: from a local queue's millisecond to the deadline of a tick.
constexpr std::array<std::int64_t, 6> tick_bounds_ms{5, 25, 100, 500, 2'000, 10'000};
// Chosen: a process starts within a second, an image is pulled in minutes, a node comes within some.
constexpr std::array<std::int64_t, 8> startup_bounds_ms{500, 2'000, 5'000, 15'000, 60'000, 180'000, 600'000, 1'800'000};
// A fleet that cannot be read for longer than this shows no counts any more. Chosen: as a queue's readings at least.
constexpr std::int64_t workers_known_ms = 30'000;
// Rates: shorter spans tell nothing, longer ones not of now. Chosen.
constexpr std::int64_t rate_ms_least = 300;
constexpr std::int64_t rate_ms_calm = 5'000;
constexpr std::int64_t rate_ms_most = 120'000;

std::optional<double> rate(const std::optional<std::int64_t>& then, const std::optional<std::int64_t>& now,
                           std::int64_t ms) {
  if (!then || !now || *now < *then || ms < rate_ms_least || ms > rate_ms_most) {
    return std::nullopt;
  }
  return static_cast<double>(*now - *then) * 1000.0 / static_cast<double>(ms);
}

std::optional<std::int64_t> n_of(const std::optional<model::SeenCount>& seen) {
  return seen ? std::optional(seen->n) : std::nullopt;
}

std::optional<PoolStatus::Count> count_of(const std::optional<model::SeenCount>& seen) {
  return seen ? std::optional(PoolStatus::Count{.n = seen->n}) : std::nullopt;
}

std::string_view word_of(std::string_view reason) {
  return reason.substr(0, reason.find(':'));
}

bool has_started(WorkerState state) {
  return state == WorkerState::ready || state == WorkerState::busy || state == WorkerState::idle ||
         state == WorkerState::draining;
}

void append_errors(std::vector<std::string>& out, const model::Observation& seen) {
  if (seen.queue.error) {
    out.push_back(*seen.queue.error);
  }
  if (seen.fleet.error) {
    out.push_back(*seen.fleet.error);
  }
}

// Of what says how much there is to do.
std::optional<std::int64_t> age_of_backlog(const model::SeenQueue& queue) {
  std::optional<std::int64_t> out;
  for (const std::optional<model::SeenCount>& count : {queue.ready, queue.in_flight, queue.total}) {
    if (count) {
      out = std::max(out.value_or(0), count->age_ms);
    }
  }
  return out;
}

// What `now` has more than `then`; a worker that counts backwards adds nothing.
std::int64_t more(std::int64_t now, std::int64_t then) {
  return std::max<std::int64_t>(0, now - then);
}

void add_more(Histogram& to, const model::Durations& now, const model::Durations& then) {
  std::array<std::int64_t, model::Durations::bounds_ms.size()> at_most{};
  std::int64_t least = 0;
  const std::int64_t count = more(now.count, then.count);
  for (std::size_t i = 0; i < at_most.size(); ++i) {
    // Cumulative even where a worker's own numbers are not.
    least = std::clamp(more(now.at_most[i], then.at_most[i]), least, std::max(least, count));
    at_most[i] = least;
  }
  to.add(at_most, count, more(now.sum_ms, then.sum_ms));
}

}  // namespace

PoolWatch::PoolWatch(std::string id, std::int64_t max, PoolStatus::Scaler scaler)
    : id_(std::move(id)),
      max_(max),
      scaler_(scaler),
      tick_durations_(tick_bounds_ms),
      startups_(startup_bounds_ms),
      waits_(model::Durations::bounds_ms),
      works_(model::Durations::bounds_ms) {}

std::string_view PoolWatch::space() const {
  const std::size_t slash = id_.find('/');
  return slash == std::string::npos ? std::string_view{} : std::string_view(id_).substr(0, slash);
}

std::string_view PoolWatch::name() const {
  return std::string_view(id_).substr(id_.find('/') + 1);  // npos + 1 is 0
}

bool PoolWatch::workers_known() const {
  if (last_ == nullptr || !last_->seen.fleet.age_ms) {
    return false;
  }
  return !last_->seen.fleet.error || *last_->seen.fleet.age_ms <= workers_known_ms;
}

void PoolWatch::ticked(const control::Snapshot& snapshot) {
  last_ = &snapshot;
  ++ticks_;
  tick_durations_.add(snapshot.took);
  if (!snapshot.recorded) {
    ++unrecorded_;
  } else {
    for (std::size_t i = 0; i < decision_words; ++i) {
      decisions_[i] += model::word(static_cast<model::Word>(i)) == word_of(snapshot.decision.reason) ? 1 : 0;
    }
    count_refused(snapshot);
  }
  if (snapshot.view && workers_known()) {
    see_workers(*snapshot.view);
  }
  take_rates(snapshot);
}

void PoolWatch::count_refused(const control::Snapshot& snapshot) {
  for (const std::string& error : snapshot.did.errors) {
    const auto named = [&](int slot) { return error.starts_with(fmt::format("{}-w{}: ", name(), slot)); };
    starts_.refused += std::ranges::any_of(snapshot.plan.start, named) ? 1 : 0;
  }
}

PoolWatch::Life& PoolWatch::life_of(const std::string& id) {
  const auto [at, fresh] = lives_.try_emplace(id);
  at->second.found = fresh ? look_ == 1 : at->second.found;
  at->second.look = look_;
  return at->second;
}

void PoolWatch::see_workers(const model::FleetView& view) {
  ++look_;
  for (const model::Worker& worker : view.workers) {
    Life& life = life_of(worker.id);
    if (!life.started && has_started(worker.state)) {
      life.started = true;
      if (!life.found) {
        ++starts_.started;
        const Time at = std::min(worker.since, worker.claimed_at.value_or(worker.since));
        startups_.add(std::max(Duration{0}, at - worker.created_at));
      }
    }
    take(life, worker.tally);
  }
  for (const model::EndedWorker& ended : view.ended) {
    Life& life = life_of(ended.id);
    if (!std::exchange(life.ended, true) && !life.found && !life.started) {
      ++(ended.started ? starts_.started : starts_.failed);
    }
    take(life, ended.tally);
  }
  std::erase_if(lives_, [this](const auto& one) { return one.second.look != look_; });
}

void PoolWatch::take(Life& life, const model::SaidTally& tally) {
  if (tally == nullptr || tally == life.tally) {
    return;
  }
  const bool before_us = life.found && life.tally == nullptr;
  const model::Tally then = life.tally != nullptr ? *life.tally : before_us ? *tally : model::Tally{};
  life.tally = tally;
  messages_known_ = true;
  messages_.done += more(tally->done, then.done);
  messages_.retried += more(tally->retried, then.retried);
  messages_.failed += more(tally->failed, then.failed);
  messages_.dead_lettered += more(tally->dead_lettered, then.dead_lettered);
  messages_.requeued += more(tally->requeued, then.requeued);
  add_more(waits_, tally->wait, then.wait);
  add_more(works_, tally->work, then.work);
}

void PoolWatch::take_rates(const control::Snapshot& snapshot) {
  const model::SeenQueue& queue = snapshot.seen.queue;
  const Base now{.at_ms = snapshot.seen.at_ms, .published_n = n_of(queue.published_n), .acked_n = n_of(queue.acked_n)};
  if (!base_) {
    base_ = now;
    return;
  }
  const std::int64_t ms = now.at_ms - base_->at_ms;
  in_per_s_ = rate(base_->published_n, now.published_n, ms);
  out_per_s_ = rate(base_->acked_n, now.acked_n, ms);
  if (ms >= rate_ms_calm) {
    base_ = now;
  }
}

PoolStatus PoolWatch::status(WallTime now) const {
  PoolStatus out{.pool = id_, .at = now, .state = "new", .max = max_, .scaler = scaler_};
  if (!accepted()) {
    out.state = "broken";
    out.why = refusal_;
    out.max.reset();
    out.errors.push_back(refusal_);
  } else if (last_ == nullptr) {
    out.why = "the scaler has not decided yet";
  } else {
    const model::SeenQueue& queue = last_->seen.queue;
    const std::string& reason = last_->decision.reason;
    out.state = word_of(reason);
    out.why = reason.size() > out.state.size() + 2 ? reason.substr(out.state.size() + 2) : "";
    out.ready = count_of(queue.ready);
    out.in_flight = count_of(queue.in_flight);
    out.total = count_of(queue.total);
    out.stale_after_ms = to_ms(last_->stale_after);
    out.delayed = count_of(queue.delayed);
    out.dead = count_of(queue.dead);
    if (queue.oldest_age) {
      out.oldest_age_ms = queue.oldest_age->ms;
      out.oldest_kind = model::word(queue.oldest_age->kind);
    }
    out.published_n = n_of(queue.published_n);
    out.acked_n = n_of(queue.acked_n);
    out.in_per_s = in_per_s_;
    out.out_per_s = out_per_s_;
    out.workers = workers_known() ? std::optional(last_->seen.workers) : std::nullopt;
    out.desired = last_->decision.workers;
    out.tick = last_->tick;
    out.decided_ms_ago = std::max<std::int64_t>(0, (now - last_->at).count());
    if (const std::optional<std::int64_t> age = age_of_backlog(queue)) {
      out.sample_age_ms = *age + *out.decided_ms_ago;
    }
    append_errors(out.errors, last_->seen);
  }
  out.needs_you = needs_a_person(out.state, out.dead, !out.errors.empty());
  return out;
}

}  // namespace sluice::serve
