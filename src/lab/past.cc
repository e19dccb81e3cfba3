// SPDX-License-Identifier: Apache-2.0
#include "lab/past.h"

#include <fmt/core.h>

#include <algorithm>

#include "pool/pool.h"

namespace sluice::lab {
namespace {

using model::WorkerState;

constexpr std::int64_t at_once_ms = 500;  // chosen: a scheduler places in less, and a node boots in more

// Journals are outside bytes: numbers beyond what a queue or a clock has are cut to what can be reckoned with.
constexpr std::int64_t most = 1'000'000'000'000;

std::int64_t cut(std::int64_t n) {
  return std::clamp<std::int64_t>(n, 0, most);
}

std::optional<std::int64_t> n_of(const std::optional<model::SeenCount>& count) {
  return count ? std::optional(cut(count->n)) : std::nullopt;
}

// The journal's time of a tick, never before the one before it: clocks are set back now and then.
std::int64_t wall_ms(const control::TickLine& tick, std::int64_t last_ms) {
  const std::optional<WallTime> at = parse_wall(tick.at);
  return std::max(last_ms, at ? at->time_since_epoch().count() : last_ms);
}

PastLook look_of(const model::Observation& seen, std::int64_t at_ms) {
  const model::SeenQueue& queue = seen.queue;
  PastLook out{.at_ms = at_ms,
               .queue_ms = at_ms,
               .ready = n_of(queue.ready),
               .in_flight = n_of(queue.in_flight),
               .published = n_of(queue.published_n),
               .acked = n_of(queue.acked_n),
               .busy = cut(seen.count(WorkerState::busy)),
               .placed = cut(seen.live() - seen.unplaced()),
               .live = cut(seen.live())};
  if (!out.ready && queue.total) {  // as Pub/Sub tells it: both together
    out.ready = cut(queue.total->n - out.in_flight.value_or(0));
  }
  const std::optional<model::SeenCount>& dated = queue.published_n ? queue.published_n : queue.ready;
  out.queue_ms -= dated ? cut(dated->age_ms) : 0;
  return out;
}

const model::SeenWaiting* waits(const model::Observation& seen, const std::string& worker) {
  const auto found = std::ranges::find(seen.waiting, worker, &model::SeenWaiting::worker);
  return found == seen.waiting.end() ? nullptr : &*found;
}

}  // namespace

PastReader::One& PastReader::of(const std::string& pool) {
  last_pool_ = pool;
  const auto found = pools_.find(pool);
  if (found != pools_.end()) {
    return found->second;
  }
  One fresh{.past = {.pool = pool}, .replay = control::Replay(pool::spec_from_json), .spec_hash = {}, .asked = {}};
  return pools_.emplace(pool, std::move(fresh)).first->second;
}

void PastReader::take(std::string_view line, const std::string& where) {
  const Result<control::JournalLine> parsed = control::parse_journal_line(line);
  settle(parsed && std::holds_alternative<control::PoolLine>(*parsed));
  if (!parsed) {
    for (auto& [name, one] : pools_) {
      one.replay.gap();
    }
    bad_ = fmt::format("{}: {}", where, parsed.error().what);
    return;
  }
  if (const auto* pool = std::get_if<control::PoolLine>(&*parsed)) {
    One& one = of(pool->pool);
    const Result<pool::PoolSpec> spec = pool::spec_from_json(pool->spec_json);
    if (spec) {
      one.past.spec = *spec;
      one.past.specs += one.spec_hash == pool->spec_hash ? 0 : 1;
      one.spec_hash = pool->spec_hash;
    }
    again(one, *parsed, where);
  } else if (const auto* tick = std::get_if<control::TickLine>(&*parsed)) {
    One& one = of(tick->pool);
    this->tick(one, *tick);
    again(one, *parsed, where);
  } else if (const auto* act = std::get_if<control::ActLine>(&*parsed)) {
    this->act(of(last_pool_), *act);
  } else if (const auto* state = std::get_if<control::StateLine>(&*parsed)) {
    again(of(state->pool), *parsed, where);
  } else if (const auto* steady = std::get_if<control::SteadyLine>(&*parsed)) {
    One& one = of(steady->pool);
    const std::optional<WallTime> to = parse_wall(steady->to);
    one.past.end_ms = std::max(one.past.end_ms, to ? to->time_since_epoch().count() : 0);
  }
}

void PastReader::again(One& one, const control::JournalLine& line, const std::string& where) {
  const Result<std::optional<control::Replayed>> replayed = one.replay.feed(line);
  const auto* tick = std::get_if<control::TickLine>(&line);
  if (!replayed) {
    one.past.undecided += tick != nullptr ? 1 : 0;
    if (tick == nullptr) {
      bad_ = fmt::format("{}: {}", where, replayed.error().what);
      settle(false);
    }
    return;
  }
  if (tick == nullptr || !*replayed) {
    return;
  }
  one.past.same += (*replayed)->same ? 1 : 0;
  one.past.different += (*replayed)->same ? 0 : 1;
  if (!(*replayed)->same && one.past.first_difference.empty()) {
    const model::Decision& now = (*replayed)->decision;
    one.past.first_difference = fmt::format("{}: tick {}: {} workers ({}); today {} ({})", where, tick->tick,
                                            tick->decision.workers, tick->decision.reason, now.workers, now.reason);
  }
}

void PastReader::tick(One& one, const control::TickLine& tick) {
  const std::int64_t now = wall_ms(tick, one.last_ms);
  const model::Observation& seen = tick.seen;
  one.past.looks.push_back(look_of(seen, now));
  one.past.full += seen.fleet.capacity == model::Room::full ? 1 : 0;
  one.past.oldest_ms = std::max(one.past.oldest_ms, seen.queue.oldest_age ? seen.queue.oldest_age->ms : 0);
  started(one, seen, now);
  one.last_ms = one.past.end_ms = now;
}

// Those that are no longer waited for have started, since the last look: the last one when it says, the others in the
// middle of what is not known. Nobody is named beyond the tenth, and who failed has not started.
void PastReader::started(One& one, const model::Observation& seen, std::int64_t now) {
  if (seen.fleet.error) {
    return;
  }
  const bool all_named = seen.not_started() <= static_cast<std::int64_t>(seen.waiting.size());
  std::vector<Asked> started;
  for (auto it = one.asked.begin(); it != one.asked.end();) {
    const model::SeenWaiting* const waiting = waits(seen, it->first);
    if (waiting == nullptr && all_named) {
      started.push_back(it->second);
      it = one.asked.erase(it);
      continue;
    }
    if (waiting != nullptr) {
      Asked& worker = it->second;
      worker.seen_ms = now;
      if (waiting->state == WorkerState::starting && !worker.placed_ms) {
        worker.placed_ms = std::max(worker.at_ms, now - cut(waiting->for_ms));
      }
      worker.waited = worker.waited || waiting->state == WorkerState::unscheduled ||
                      (worker.placed_ms && *worker.placed_ms - worker.at_ms > at_once_ms);
    }
    ++it;
  }
  const std::int64_t last_start = now - cut(seen.starts.ready_ms_ago.value_or(0));
  for (const Asked& worker : started) {
    const bool dated = seen.starts.ready_ms_ago && last_start >= worker.seen_ms && last_start <= now;
    const std::int64_t latest = dated ? last_start : now;
    const std::int64_t at = dated && started.size() == 1 ? latest : (worker.seen_ms + latest) / 2;
    if (seen.starts.failed_in_a_row == 0) {
      PastStart start{.took_ms = at - worker.at_ms, .waited_for_place = worker.waited, .place_ms = {}};
      if (worker.placed_ms) {
        start.place_ms = std::min(start.took_ms, *worker.placed_ms - worker.at_ms);
      }
      one.past.starts.push_back(start);
    }
  }
}

void PastReader::act(One& one, const control::ActLine& act) {
  one.past.asked += static_cast<std::int64_t>(act.did.started.size());
  for (const std::string& worker : act.did.started) {
    one.asked.insert_or_assign(worker, Asked{.at_ms = one.last_ms, .seen_ms = one.last_ms});
  }
  for (const std::string& worker : act.did.withdrawn) {
    one.asked.erase(worker);
  }
}

// Half a line at the end of a file, or before the pool line with which the next scaler begins, was being written when
// the scaler ended.
void PastReader::settle(bool at_end) {
  if (bad_ && !(at_end && bad_->contains(": $: not JSON"))) {
    first_unread_ = unread_ == 0 ? *bad_ : first_unread_;
    ++unread_;
  }
  bad_.reset();
}

void PastReader::end_of_file() {
  settle(true);
}

std::vector<Past> PastReader::finish() {
  std::vector<Past> out;
  for (auto& [name, one] : pools_) {
    out.push_back(std::move(one.past));
  }
  return out;
}

}  // namespace sluice::lab
