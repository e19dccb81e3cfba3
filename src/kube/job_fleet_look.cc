// SPDX-License-Identifier: Apache-2.0
// What a fleet of Jobs reads: Jobs and pods as they are kept, what the workers say of themselves, and what the cluster
// says of those that wait.
#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "kube/job_fleet.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;
using model::WorkerState;

constexpr Duration events_each = 5s;
constexpr Duration wait_unasked = 2s;  // what waits for less is no trouble

}  // namespace

std::string JobFleet::key_prefix() const {
  return fmt::format("{}/{}-w", options_.job.space, options_.job.pool);
}

// The pod that runs, or the last one: a Job of ours has one, and a second only when the first was lost.
const Pod* JobFleet::pod_of(const Job& job) const {
  const Pod* out = nullptr;
  for (const auto& [where, pod] : cluster_.pods().with(fmt::format("{}/{}-", job.meta.space, job.meta.name))) {
    const bool of_it = pod.meta.owner == job.meta.uid;
    if (of_it && (out == nullptr || (out->ended() && !pod.ended()) ||
                  (out->ended() == pod.ended() && out->meta.created < pod.meta.created))) {
      out = &pod;
    }
  }
  return out;
}

JobFleet::Known& JobFleet::know(const Job& job) {
  const auto [at, first] = known_.try_emplace(job.meta.uid);
  if (at->second.look == 0) {
    at->second.first_seen = at->second.since = clock_.now();
  }
  at->second.look = look_;
  return at->second;
}

aio::Task<Result<model::FleetView>> JobFleet::view(aio::Deadline deadline) {
  const Result<Time> observed = cluster_.observed_at();
  if (!observed) {
    co_return observed.error();
  }
  co_await ask_workers(deadline);
  co_await read_events(deadline);
  model::FleetView view;
  view.observed_at = *observed;
  look(view);
  co_return view;
}

void JobFleet::look(model::FleetView& view) {
  ++look_;
  std::vector<fleet::FreeSlot> free;
  for (const auto& [where, job] : cluster_.jobs().with(key_prefix())) {
    const std::optional<int> slot = slot_of(options_.job.pool, job.meta.name);
    if (slot && job.meta.pool == options_.job.pool) {
      look_at(job, *slot, view);
    }
  }
  std::erase_if(known_, [this](const auto& entry) { return entry.second.look != look_; });
  std::erase_if(foreign_, [this](const auto& entry) { return entry.second <= clock_.now(); });
  for (int slot = 0; slot < options_.max; ++slot) {
    const Job* const job = job_of(slot);
    if ((job == nullptr || (job->over() && !job->meta.deleting)) && !foreign_.contains(slot)) {
      const std::optional<Time> last =
          job != nullptr && job->ended ? std::optional(clock_.now() - (clock_.wall() - *job->ended)) : std::nullopt;
      free.push_back({slot, last});
    }
  }
  view.free_slots = fleet::in_order_of_use(std::move(free));
  std::ranges::sort(view.workers, {}, &model::Worker::slot);
  std::ranges::sort(view.ended, {}, [](const model::EndedWorker& end) { return std::pair(end.ended_at, end.slot); });
  const bool silent = std::ranges::any_of(view.workers, &model::Worker::silent);
  view.claim = silent || options_.readiness_is_claim ? model::ClaimRung::readiness : model::ClaimRung::reported;
  view.capacity = capacity(view);
}

void JobFleet::look_at(const Job& job, int slot, model::FleetView& view) {
  Known& known = know(job);
  const Pod* const pod = pod_of(job);
  if (pod != nullptr) {
    known.note_end(*pod, clock_.now());
    // It never ran: it was taken back, perhaps by whoever led before.
    known.withdrawn = known.withdrawn || (known.ended_at && pod->node.empty());
  }
  if (job.over()) {
    if (!known.withdrawn) {
      view.ended.push_back(ended(job, slot, known));
    }
    return;
  }
  std::string why;
  const WorkerState state = state_of(job, pod, known, why);
  known.enter(state, clock_.now());
  known.was_ready = known.was_ready || state == WorkerState::ready || state == WorkerState::busy ||
                    state == WorkerState::idle || state == WorkerState::draining;
  const bool runs = pod != nullptr && pod->ready;
  view.workers.push_back(model::Worker{.slot = slot,
                                       .name = job.meta.name,
                                       .id = job.meta.uid,
                                       .state = state,
                                       .why = std::move(why),
                                       .since = known.since,
                                       .created_at = known.first_seen,
                                       .claimed_at = known.claimed_at,
                                       .handling = known.words ? known.words->handling : 0,
                                       .place = pod != nullptr ? pod->node : "",
                                       .stays_when_idle = job.stays_when_idle,
                                       .silent = runs && state == WorkerState::starting && known.silent_n > 0,
                                       .tally = known.words ? known.words->tally : nullptr});
}

WorkerState JobFleet::state_of(const Job& job, const Pod* pod, Known& known, std::string& why) const {
  if (job.meta.deleting) {
    why = "its Job is being deleted";
    return WorkerState::terminating;
  }
  if (job.suspended) {
    why = "its Job is suspended";
    return WorkerState::suspended;
  }
  if (job.end != Job::End::none || known.ended_at || (pod != nullptr && (pod->meta.deleting || pod->ended()))) {
    why = known.ended_at ? "it has ended, its pod not yet" : "its pod is being deleted";
    return WorkerState::terminating;
  }
  if (pod == nullptr) {
    why = known.was_ready ? "its pod is gone" : "no pod was made for it yet";
    return known.was_ready ? WorkerState::terminating : WorkerState::requested;
  }
  return pod_state(*pod, known, options_.readiness_is_claim, clock_.now(), why);
}

model::EndedWorker JobFleet::ended(const Job& job, int slot, Known& known) const {
  const Time now = clock_.now();
  const bool seen_alive = known.since != known.first_seen || known.state != WorkerState::requested;
  if (!known.ended_at || !seen_alive) {
    const Time at = job.ended ? now - (clock_.wall() - *job.ended) : now;
    known.ended_at = seen_alive ? now : std::min(now, at);
  }
  model::EndedWorker out{.slot = slot, .name = job.meta.name, .id = job.meta.uid, .ended_at = *known.ended_at};
  out.tally = known.tally != nullptr ? known.tally : known.words ? known.words->tally : nullptr;
  if (known.end) {
    out.kind = fleet::end_kind(*known.end);
    out.started = fleet::has_started(*known.end);
    out.why = known.end_why;
  } else {
    // A worker that fails leaves its pod. One whose pod is gone was deleted, and nobody knows how far it was.
    out.kind = job.end == Job::End::complete ? model::EndKind::succeeded : model::EndKind::lost;
    out.why = reason_with(job.end_reason, job.end_message);
  }
  return out;
}

model::Capacity JobFleet::capacity(const model::FleetView& view) const {
  if (wall_ && clock_.now() < wall_->until) {
    return {model::Room::full, wall_->why};
  }
  int waiting = 0;
  std::string why;
  for (const model::Worker& worker : view.workers) {
    if (worker.state == WorkerState::unscheduled || worker.state == WorkerState::requested) {
      why = waiting++ == 0 ? worker.why : why;
    }
  }
  if (waiting == 0) {
    return {};
  }
  if (!event_.empty()) {
    return {model::Room::full, event_};
  }
  return {model::Room::waiting, fmt::format("{} {}: {}", waiting, waiting == 1 ? "worker waits" : "workers wait", why)};
}

aio::Task<void> JobFleet::ask_workers(aio::Deadline deadline) {
  std::vector<Question> questions;
  for (const auto& [where, job] : cluster_.jobs().with(key_prefix())) {
    const Pod* const pod = job.over() || job.meta.deleting ? nullptr : pod_of(job);
    if (pod == nullptr || !pod->ready || pod->ip.empty() || pod->meta.deleting) {
      continue;
    }
    const Known& known = know(job);
    if (!known.ended_at && clock_.now() >= known.ask_at) {
      questions.push_back({.uid = job.meta.uid, .url = worker_url(*pod)});
    }
  }
  co_await ask_all(cluster_, questions, deadline);
  for (const Question& question : questions) {
    if (const auto at = known_.find(question.uid); at != known_.end()) {
      hear(at->second, question, clock_.now(), clock_.wall());
    }
  }
}

// Only where somebody waits, and of the one that waits longest.
aio::Task<void> JobFleet::read_events(aio::Deadline deadline) {
  const Meta* about = nullptr;
  Time since = clock_.now() - wait_unasked;
  for (const auto& [where, job] : cluster_.jobs().with(key_prefix())) {
    const auto known = known_.find(job.meta.uid);
    const bool waits = known != known_.end() && (known->second.state == WorkerState::unscheduled ||
                                                 known->second.state == WorkerState::requested);
    if (waits && !job.over() && known->second.first_seen < since) {
      const Pod* const pod = pod_of(job);
      about = pod != nullptr ? &pod->meta : &job.meta;
      since = known->second.first_seen;
    }
  }
  if (about == nullptr) {
    event_.clear();
    co_return;
  }
  if (clock_.now() < events_at_) {
    co_return;
  }
  events_at_ = clock_.now() + events_each;
  const Result<std::string> said = co_await full_event(cluster_, options_.job.space, about->uid, deadline);
  if (said) {
    event_ = *said;
  }
}

}  // namespace sluice::kube
