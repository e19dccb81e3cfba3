// SPDX-License-Identifier: Apache-2.0
// What a fleet of a Deployment reads: the Deployment, its pods, what the workers say of themselves, and which of them
// has which slot.
#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "kube/deployment_fleet.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;
using model::WorkerState;

constexpr Duration events_each = 5s;
constexpr Duration wait_unasked = 2s;   // what waits for less is no trouble
constexpr Duration unready_again = 2s;  // a worker that is not ready, and may say why

bool waits(const model::Worker& worker) {
  return worker.state == WorkerState::unscheduled || worker.state == WorkerState::requested;
}

}  // namespace

const Deployment* DeploymentFleet::deployment() const {
  const auto& all = deployments_.all();
  const auto at = all.find(options_.space + "/" + options_.deployment);
  if (at == all.end()) {
    return nullptr;
  }
  const bool later = looked_ && looked_->meta.uid == at->second.meta.uid && looked_->generation > at->second.generation;
  return later ? &*looked_ : &at->second;
}

Result<Time> DeploymentFleet::observed_at() const {
  Result<Time> deployments = observed(deployments_, clock_.now(), "Deployments");
  if (!deployments) {
    return deployments;
  }
  if (deployment() == nullptr) {
    return Error{Code::gone,
                 fmt::format("there is no Deployment {} in namespace {}", options_.deployment, options_.space)};
  }
  if (!pods_) {
    return Error{Code::retry, "its pods are being listed"};
  }
  Result<Time> pods = observed(*pods_, clock_.now(), "pods");
  return pods ? Result<Time>(std::min(*deployments, *pods)) : pods;
}

// Oldest first, so that a scaler that finds them gives them slots in a natural order.
std::vector<const DeploymentPod*> DeploymentFleet::own_pods() const {
  std::vector<const DeploymentPod*> out;
  if (pods_) {
    for (const auto& [where, pod] : pods_->all()) {
      if (is_of(pod, options_.deployment)) {
        out.push_back(&pod);
      }
    }
  }
  std::ranges::sort(out, {}, [](const DeploymentPod* pod) { return std::pair(pod->meta.created, pod->meta.name); });
  return out;
}

const DeploymentPod* DeploymentFleet::pod_of(std::string_view uid) const {
  const auto known = known_.find(uid);
  if (known == known_.end() || !pods_) {
    return nullptr;
  }
  const auto at = pods_->all().find(options_.space + "/" + known->second.name);
  return at != pods_->all().end() && at->second.meta.uid == uid ? &at->second : nullptr;
}

std::vector<const DeploymentPod*> DeploymentFleet::active_pods() const {
  std::vector<const DeploymentPod*> out = own_pods();
  std::erase_if(out, [](const DeploymentPod* pod) { return pod->ended() || pod->meta.deleting.has_value(); });
  return out;
}

int DeploymentFleet::terminating() const {
  return static_cast<int>(std::ranges::count_if(
      own_pods(), [](const DeploymentPod* pod) { return pod->meta.deleting.has_value() && !pod->ended(); }));
}

std::set<int> DeploymentFleet::taken() const {
  std::set<int> out;
  for (const Requested& one : requested_) {
    out.insert(one.slot);
  }
  for (const auto& [uid, known] : known_) {
    if (!known.over) {
      out.insert(known.slot);
    }
  }
  return out;
}

std::vector<int> DeploymentFleet::free_slots() const {
  const std::set<int> used = taken();
  std::vector<fleet::FreeSlot> free;
  for (int slot = 0; slot < options_.max; ++slot) {
    if (!used.contains(slot)) {
      const auto last = ended_.find(slot);
      free.push_back({slot, last != ended_.end() ? std::optional(last->second.ended_at) : std::nullopt});
    }
  }
  return fleet::in_order_of_use(std::move(free));
}

int DeploymentFleet::next_slot() const {
  const std::vector<int> free = free_slots();
  if (!free.empty()) {
    return free.front();
  }
  const std::set<int> used = taken();
  int beyond = options_.max;  // more than max: another has scaled it, or max was lowered
  while (used.contains(beyond)) {
    ++beyond;
  }
  return beyond;
}

void DeploymentFleet::settle() {
  ++look_;
  for (const DeploymentPod* pod : own_pods()) {
    settle_pod(*pod);
  }
  for (auto at = known_.begin(); at != known_.end();) {
    const bool gone = at->second.look != look_;
    if (gone && !at->second.over) {
      end(at->first, at->second);
    }
    at = gone ? known_.erase(at) : std::next(at);
  }
  settle_requested();
}

void DeploymentFleet::settle_pod(const DeploymentPod& pod) {
  const auto [at, first] = known_.try_emplace(pod.meta.uid);
  Known& known = at->second;
  known.look = look_;
  const Container* const container = pod.worker();
  const int restarts = container != nullptr ? container->restarts : 0;
  if (first) {
    known.name = pod.meta.name;
    known.first_seen = known.since = clock_.now();
    known.restarts = restarts;
    known.over = look_ == 1 && pod.ended();  // of before our time
    if (!known.over && !requested_.empty()) {
      known.slot = requested_.front().slot;
      known.first_seen = known.since = requested_.front().since;
      requested_.erase(requested_.begin());
    } else if (!known.over) {
      known.slot = next_slot();
    }
    ended_.erase(known.slot);
  }
  if (restarts > known.restarts) {
    // Another life of its container, which knows nothing of what the last one was asked.
    known.restarts = restarts;
    known.was_ready = known.asked = known.deaf = false;
    known.words.reset();
    known.claimed_at.reset();
    known.ask_at = Time::min();
  }
  known.placed = known.placed || !pod.node.empty();
  known.doomed = known.doomed || pod.meta.deleting.has_value();
  const bool ended = container != nullptr && container->state == Container::State::terminated;
  if (!known.over && (pod.ended() || (pod.meta.deleting && ended))) {
    known.note_end(pod, clock_.now());
  }
  if (!known.over && pod.ended()) {
    end(pod.meta.uid, known);
  }
  if (known.leaves && !pod.meta.deleting && !pod.ended()) {
    stood_in(known);
  }
}

// Replicas were lowered for it, and are what there is, and it is still there: another one went.
void DeploymentFleet::stood_in(Known& known) {
  const Deployment* const is = deployment();
  if (is->observed >= is->generation && is->replicas == static_cast<int>(active_pods().size())) {
    known.leaves = false;
    options_.trouble(
        fmt::format("another pod left in place of {}, which has drained and is taken away next", known.name));
  }
}

// One that never had a node, or was taken back, has not ended: it never ran.
void DeploymentFleet::end(const std::string& uid, Known& known) {
  known.over = true;
  if (!known.placed || (known.leaves && !known.asked)) {
    return;
  }
  model::EndedWorker out{.slot = known.slot,
                         .name = known.name,
                         .id = uid,
                         .kind = known.asked ? model::EndKind::succeeded : model::EndKind::lost,
                         .why = known.asked ? "it was asked to leave" : "its pod was deleted",
                         .ended_at = known.ended_at.value_or(clock_.now())};
  out.tally = known.tally != nullptr ? known.tally : known.words ? known.words->tally : nullptr;
  if (known.end) {
    out.kind = fleet::end_kind(*known.end);
    out.started = known.doomed || fleet::has_started(*known.end);  // nothing says that it could not start
    out.kind = known.doomed && out.kind == model::EndKind::failed ? model::EndKind::lost : out.kind;
    out.why = known.end_why;
  }
  ended_[known.slot] = std::move(out);
}

void DeploymentFleet::settle_requested() {
  const Deployment* const is = deployment();
  const int missing = is->replicas - static_cast<int>(active_pods().size());
  while (!requested_.empty() && static_cast<int>(requested_.size()) > missing) {
    requested_.pop_back();
  }
  while (static_cast<int>(requested_.size()) < missing) {
    const int slot = next_slot();
    requested_.push_back({.slot = slot, .id = fmt::format("asked-{}", ++asked_n_), .since = clock_.now()});
    ended_.erase(slot);
  }
}

void DeploymentFleet::look(model::FleetView& view) {
  settle();
  for (const DeploymentPod* pod : own_pods()) {
    Known& known = known_.at(pod->meta.uid);
    if (!known.over) {
      view.workers.push_back(worker_of(*pod, known));
    }
  }
  const Deployment* const is = deployment();
  for (const Requested& one : requested_) {
    view.workers.push_back({.slot = one.slot,
                            .name = name(one.slot),
                            .id = one.id,
                            .state = WorkerState::requested,
                            .why = is->refused.empty() ? "no pod was made for it yet" : fleet::last_line(is->refused),
                            .since = one.since,
                            .created_at = one.since});
  }
  for (const auto& [slot, one] : ended_) {
    view.ended.push_back(one);
  }
  std::ranges::sort(view.workers, {}, &model::Worker::slot);
  std::ranges::sort(view.ended, {}, [](const model::EndedWorker& end) { return std::pair(end.ended_at, end.slot); });
  view.free_slots = free_slots();
  const bool silent = std::ranges::any_of(view.workers, &model::Worker::silent);
  view.claim = silent || options_.readiness_is_claim ? model::ClaimRung::readiness : model::ClaimRung::reported;
  view.hold = hold(*is);
  view.capacity = capacity(view);
}

model::Worker DeploymentFleet::worker_of(const DeploymentPod& pod, Known& known) const {
  std::string why;
  WorkerState state = WorkerState::terminating;
  if (pod.meta.deleting) {
    why = "its pod is being deleted";
  } else if (known.asked) {
    state = WorkerState::draining;
    why = known.end_why.empty() ? "it takes no more, and is taken away when it is done" : known.end_why;
  } else {
    state = pod_state(pod, known, options_.readiness_is_claim, clock_.now(), why);
  }
  known.enter(state, clock_.now());
  known.was_ready = known.was_ready || state == WorkerState::ready || state == WorkerState::busy ||
                    state == WorkerState::idle || state == WorkerState::draining;
  const bool silent = pod.ready && !known.words && known.silent_n > 0;
  return {.slot = known.slot,
          .name = pod.meta.name,
          .id = pod.meta.uid,
          .state = state,
          .why = std::move(why),
          .since = known.since,
          .created_at = known.first_seen,
          .claimed_at = known.claimed_at,
          .handling = known.words ? known.words->handling : 0,
          .place = pod.node,
          .silent = silent && state == WorkerState::starting,
          .deaf = known.deaf || silent,
          .tally = known.words ? known.words->tally : nullptr};
}

model::Capacity DeploymentFleet::capacity(const model::FleetView& view) const {
  if (wall_ && clock_.now() < wall_->until) {
    return {model::Room::full, wall_->why};
  }
  const auto waiting = std::ranges::count_if(view.workers, waits);
  if (waiting == 0) {
    return {};
  }
  const std::string& refused = deployment()->refused;
  if (!event_.empty() || (!refused.empty() && !requested_.empty())) {
    return {model::Room::full, event_.empty() ? fleet::last_line(refused) : event_};
  }
  const std::string& why = std::ranges::find_if(view.workers, waits)->why;
  return {model::Room::waiting, fmt::format("{} {}: {}", waiting, waiting == 1 ? "worker waits" : "workers wait", why)};
}

// One that is not ready may have drained; that it says nothing means nothing then.
aio::Task<void> DeploymentFleet::ask_workers(bool only_asked, aio::Deadline deadline) {
  std::vector<Question> questions;
  for (auto& [uid, known] : known_) {
    const DeploymentPod* const pod = known.over || (only_asked && !known.asked) ? nullptr : pod_of(uid);
    const bool there = pod != nullptr && pod->phase == Pod::Phase::running && !pod->ip.empty() && !pod->meta.deleting;
    if (there && (only_asked || clock_.now() >= known.ask_at)) {
      questions.push_back({.uid = uid, .url = worker_url(*pod)});
    }
  }
  co_await ask_all(cluster_, questions, deadline);
  for (const Question& question : questions) {
    const auto at = known_.find(question.uid);
    const DeploymentPod* const pod = at != known_.end() ? pod_of(question.uid) : nullptr;
    if (pod == nullptr) {
      continue;
    }
    Known& known = at->second;
    if (!question.words && !pod->ready) {
      known.ask_at = clock_.now() + unready_again;
      continue;
    }
    hear(known, question, clock_.now(), clock_.wall());
    // It may have been asked before our time, or by somebody else.
    const bool takes_no_more = question.words && (question.words->state == WorkerState::draining ||
                                                  question.words->state == WorkerState::terminating);
    if (takes_no_more && !known.asked) {
      known.asked = true;
      known.asked_at = question.at;
      work_.notify();
    }
  }
}

// Only where somebody waits, and of the one that waits longest.
aio::Task<void> DeploymentFleet::read_events(aio::Deadline deadline) {
  std::string about;
  Time since = clock_.now() - wait_unasked;
  for (const auto& [uid, known] : known_) {
    if (!known.over && known.state == WorkerState::unscheduled && known.first_seen < since) {
      about = uid;
      since = known.first_seen;
    }
  }
  if (about.empty()) {
    event_.clear();
    co_return;
  }
  if (clock_.now() < events_at_) {
    co_return;
  }
  events_at_ = clock_.now() + events_each;
  const Result<std::string> said = co_await full_event(cluster_, options_.space, about, deadline);
  if (said) {
    event_ = *said;
  }
}

}  // namespace sluice::kube
