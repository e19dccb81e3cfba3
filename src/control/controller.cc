// SPDX-License-Identifier: Apache-2.0
#include "control/controller.h"

#include <fmt/core.h>

#include <algorithm>

#include "aio/task_group.h"

namespace sluice::control {
namespace {

using namespace std::chrono_literals;

// Chosen: Kubernetes' own controllers begin so as well; 100 Jobs are 7 rounds.
constexpr std::size_t at_once_max = 32;

// Design, section 4: how long a pool is busy, as PollBudget means it, after work was due or seen.
constexpr Duration adaptive_memory = 10min;

bool work_seen(const model::Observation& seen) {
  return (!seen.queue.ready && !seen.queue.total) || (seen.queue.ready && seen.queue.ready->n > 0) ||
         (seen.queue.total && seen.queue.total->n > 0) || (seen.queue.in_flight && seen.queue.in_flight->n > 0) ||
         seen.live() > 0;
}

}  // namespace

Controller::Controller(aio::Loop& loop, aio::Clock& clock, aio::Event& due, queue::BacklogSource& source,
                       fleet::Fleet& fleet, Journal& journal, const Log& log, const pool::Pool& pool,
                       ControllerOptions options)
    : loop_(loop),
      clock_(clock),
      due_(due),
      source_(source),
      fleet_(fleet),
      journal_(journal),
      log_(log),
      pool_(pool),
      options_(std::move(options)),
      share_(*options_.budget),
      observer_(pool.spec),
      state_(options_.initial) {}

aio::Task<void> Controller::run() {
  co_await clock_.sleep_for(share_.head_start());
  while (true) {
    const Time started = clock_.now();
    co_await tick();
    if (after_tick) {
      after_tick(snapshot_);
    }
    const Time due = next_due(started);
    const aio::Wake why = co_await due_.wait(aio::Deadline{due});
    if (why == aio::Wake::ready) {
      // Events come in bursts; the tenth of a second between ticks holds for them too.
      co_await clock_.sleep_until(std::min(due, started + PollBudget::busy));
    }
  }
}

Time Controller::next_due(Time started) {
  const std::optional<Duration> period = pool::every(pool_.spec.policy).period;
  const bool busy = last_work_ && started - *last_work_ < adaptive_memory;
  Time due = started + share_.period(period, busy);
  if (again_in_ms_) {
    due = std::min(due, clock_.now() + std::chrono::milliseconds{*again_in_ms_});
  }
  return std::max(due, clock_.now());
}

aio::Task<void> Controller::tick() {
  const Time started = clock_.now();
  const aio::Deadline deadline = clock_.in(options_.tick_deadline);
  // The fleet first, then the queue: see Observer::observe.
  const Result<model::FleetView> fleet = co_await fleet_.view(deadline);
  const Result<model::Sample> sample = co_await source_.sample(deadline);
  if (judge(fleet, sample) && !options_.dry_run && !snapshot_.plan.empty()) {
    co_await act();
  }
  snapshot_.took = clock_.now() - started;
}

// Apart from tick(), so that what a thousand pools wait with for their queues stays small.
bool Controller::judge(const Result<model::FleetView>& fleet, const Result<model::Sample>& sample) {
  const model::Observation seen = observer_.observe(clock_.now(), fleet, sample);
  Step step = options_.decide(pool_.spec, state_, seen);
  model::Plan what = observer_.view() ? plan(pool_.spec, step.decision, *observer_.view(), step.spare) : model::Plan{};
  const WallTime at = clock_.wall();
  const Result<std::string> recorded = journal_.tick({at, seen, state_, step.next, step.decision, what});
  if (work_seen(seen)) {
    last_work_ = clock_.now();
  }
  again_in_ms_ = step.again_in_ms;
  if (!recorded) {
    // No decision without a line: what cannot be recorded is not done.
    log_.error("control", "journal not written, not acting", {{"pool", pool_.id()}, {"error", recorded.error().what}});
    snapshot_ = unrecorded(at, seen, recorded.error());
    return false;
  }
  state_ = step.next;
  snapshot_ = Snapshot{.tick = *recorded,
                       .at = at,
                       .stale_after = observer_.stale_after(),
                       .seen = seen,
                       .decision = std::move(step.decision),
                       .plan = std::move(what),
                       .did = {},
                       .view = observer_.view()};
  return true;
}

Snapshot Controller::unrecorded(WallTime at, const model::Observation& seen, const Error& why) const {
  return {.tick = snapshot_.tick,
          .recorded = false,
          .at = at,
          .stale_after = observer_.stale_after(),
          .seen = seen,
          .decision = {.workers = seen.useful(), .reason = "hold: the journal cannot be written: " + why.what},
          .plan = {},
          .did = {},
          .view = observer_.view()};
}

aio::Task<void> Controller::act() {
  const aio::Deadline act_by = clock_.in(options_.tick_deadline);
  co_await apply(snapshot_.plan, act_by);
  const Result<void> acted = journal_.act(snapshot_.tick, snapshot_.did);
  if (!acted) {
    log_.error("control", "journal not written", {{"pool", pool_.id()}, {"error", acted.error().what}});
  }
}

std::string Controller::worker_id(int slot) const {
  for (const model::Worker& worker : observer_.view()->workers) {
    if (worker.slot == slot) {
      return worker.id;
    }
  }
  return "";
}

void Controller::note(std::vector<std::string>& done, int slot, const Result<void>& result) {
  std::string name = fmt::format("{}-w{}", pool_.name, slot);
  if (result) {
    done.push_back(std::move(name));
  } else {
    log_.warn("control", "could not act", {{"worker", name}, {"error", result.error().what}});
    snapshot_.did.errors.push_back(fmt::format("{}: {}", name, result.error().what));
  }
}

aio::Task<void> Controller::start_one(Started* one, aio::Deadline deadline) {
  const bool stays = one->slot < pool_.spec.workers.min;
  one->done = co_await fleet_.start(one->slot, stays, deadline);
  // After the answer, and whatever it says: an error may have started it, and only a later view knows.
  observer_.acted(clock_.now());
}

aio::Task<void> Controller::start_all(std::vector<Started>& batch, aio::Deadline deadline) {
  if (batch.size() == 1) {
    co_await start_one(batch.data(), deadline);
    co_return;
  }
  aio::TaskGroup group(loop_, clock_);
  for (Started& one : batch) {
    group.spawn(start_one(&one, deadline));
  }
  co_await group.join();
}

aio::Task<void> Controller::apply(model::Plan what, aio::Deadline deadline) {
  // One, then two, then four at a time: what refuses one would refuse a hundred, and the next tick looks again.
  std::size_t at_once = 1;
  bool good = true;
  for (std::size_t begin = 0; good && begin < what.start.size(); at_once = std::min(2 * at_once, at_once_max)) {
    const std::size_t end = std::min(what.start.size(), begin + at_once);
    std::vector<Started> batch;
    for (; begin < end; ++begin) {
      batch.push_back({.slot = what.start[begin]});
    }
    co_await start_all(batch, deadline);
    for (const Started& one : batch) {
      note(snapshot_.did.started, one.slot, one.done);
      good = good && one.done;
    }
  }
  for (const int slot : what.withdraw) {
    std::string id = worker_id(slot);
    const Result<void> done = co_await fleet_.withdraw(slot, std::move(id), deadline);
    note(snapshot_.did.withdrawn, slot, done);
  }
  for (const int slot : what.drain) {
    std::string id = worker_id(slot);
    const Result<void> done = co_await fleet_.drain(slot, std::move(id), deadline);
    note(snapshot_.did.drained, slot, done);
  }
}

}  // namespace sluice::control
