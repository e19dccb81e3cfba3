// SPDX-License-Identifier: Apache-2.0
// What a fleet of Jobs reads: Jobs and pods as they are kept, what the workers say of themselves, and what the cluster
// says of those that wait.
#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "aio/task_group.h"
#include "base/text.h"
#include "kube/job_fleet.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;
using model::WorkerState;

constexpr std::size_t asked_at_once = 64;  // chosen: far fewer open connections than a process may have
constexpr Duration answer_timeout = 500ms;
constexpr Duration ask_busy_each = 2s;  // one that has claimed: only its state may change
constexpr Duration ask_silent_max = 5min;
constexpr Duration words_for = 10s;  // what a worker said holds so long when it answers no more
constexpr Duration events_each = 5s;
constexpr Duration wait_unasked = 2s;  // what waits for less is no trouble
constexpr std::uint16_t worker_port = 7172;

constexpr std::array broken_for_good{
    "ImagePullBackOff",     "InvalidImageName",  "ErrImageNeverPull", "CreateContainerConfigError",
    "CreateContainerError", "RunContainerError", "CrashLoopBackOff"};

bool is(const std::string& word, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, word) != words.end();
}

std::string with(std::string_view reason, std::string_view message) {
  return message.empty() ? std::string(reason) : fmt::format("{}: {}", reason, fleet::last_line(message));
}

}  // namespace

std::string JobFleet::worker_url(const Pod& pod) {
  return fmt::format(fmt::runtime(pod.ip.contains(':') ? "http://[{}]:{}" : "http://{}:{}"), pod.ip, worker_port);
}

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

void JobFleet::enter(Known& known, WorkerState state) const {
  if (known.state != state) {
    known.state = state;
    known.since = clock_.now();
  }
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
    note_end(known, *pod);
  }
  if (job.over()) {
    if (!known.withdrawn) {
      view.ended.push_back(ended(job, slot, known));
    }
    return;
  }
  std::string why;
  const WorkerState state = state_of(job, pod, known, why);
  enter(known, state);
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
  if (pod->phase == Pod::Phase::unknown || pod->reason == "NodeLost") {
    why = fmt::format("node {} does not answer", pod->node);
    return WorkerState::unknown;
  }
  if (pod->node.empty()) {
    why = pod->unscheduled_message.empty() ? "waits for the scheduler" : fleet::last_line(pod->unscheduled_message);
    return pod->unscheduled_reason == "SchedulingGated" ? WorkerState::suspended : WorkerState::unscheduled;
  }
  return running_state(*pod, known, why);
}

WorkerState JobFleet::running_state(const Pod& pod, const Known& known, std::string& why) const {
  const Container* const container = pod.worker();
  if (!pod.ready) {
    if (container != nullptr && container->state == Container::State::waiting) {
      why = with(container->reason, container->message);
      const bool broken = std::ranges::find(broken_for_good, container->reason) != broken_for_good.end();
      return broken ? WorkerState::failing : WorkerState::starting;
    }
    why = known.was_ready
              ? "it is not ready any more"
              : (container != nullptr && container->state == Container::State::running ? "it runs and is not ready yet"
                                                                                       : "its node prepares it");
    return known.was_ready ? WorkerState::unknown : WorkerState::starting;
  }
  if (known.words && (known.silent_n == 0 || clock_.now() - known.words_at <= words_for)) {
    return known.words->state;
  }
  if (known.words) {
    why = fmt::format("no answer from it for {}", humane_duration(clock_.now() - known.words_at));
    return WorkerState::unknown;
  }
  if (options_.readiness_is_claim) {
    return WorkerState::ready;
  }
  why = "it runs, and does not say whether it takes messages";
  return WorkerState::starting;
}

// How the worker ended, as long as there is a pod to tell it.
void JobFleet::note_end(Known& known, const Pod& pod) {
  const Container* const container = pod.worker();
  const bool terminated = container != nullptr && container->state == Container::State::terminated;
  if (!terminated && !pod.ended()) {
    return;
  }
  known.ended_at = known.ended_at.value_or(clock_.now());
  if (pod.node.empty()) {
    known.withdrawn = true;  // it never ran: whoever led before took it back
    return;
  }
  fleet::EndFacts facts{.was_ready = known.was_ready};
  facts.from_outside =
      !pod.disrupted.empty() ||
      is(pod.reason, {"Evicted", "NodeLost", "NodeShutdown", "Preempting", "DeadlineExceeded", "Terminated",
                      "NodeAffinity", "UnexpectedAdmissionError", "OutOfcpu", "OutOfmemory", "OutOfpods"});
  known.end_why = with(pod.reason, pod.message);
  if (terminated) {
    facts.exit_code = container->exit_code;
    const bool by_signal = container->exit_code > 128 && container->exit_code < 160 && container->reason != "OOMKilled";
    facts.signal = by_signal ? container->exit_code - 128 : 0;
    if (container->started && container->finished) {
      facts.ran = *container->finished - *container->started;
    }
    const std::optional<fleet::WorkerWords> words = fleet::parse_words(container->message);
    facts.settled = words ? words->settled : known.words ? known.words->settled : 0;
    known.tally = words ? words->tally : nullptr;
    const std::string said = fleet::last_line(words ? words->reason : container->message);
    const std::string how =
        container->reason.empty() || container->reason == "Error" || container->reason == "Completed"
            ? fmt::format("exit {}", container->exit_code)
            : fmt::format("{}, exit {}", container->reason, container->exit_code);
    known.end_why = said.empty() ? how : fmt::format("{}: {}", how, said);
  }
  known.end = facts;
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
    out.why = with(job.end_reason, job.end_message);
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
  std::vector<Answer> answers;
  for (const auto& [where, job] : cluster_.jobs().with(key_prefix())) {
    const Pod* const pod = job.over() || job.meta.deleting ? nullptr : pod_of(job);
    if (pod == nullptr || !pod->ready || pod->ip.empty() || pod->meta.deleting) {
      continue;
    }
    const Known& known = know(job);
    if (!known.ended_at && clock_.now() >= known.ask_at) {
      answers.push_back(Answer{.uid = job.meta.uid, .url = worker_url(*pod), .words = {}, .at = {}});
    }
  }
  for (std::size_t begin = 0; begin < answers.size(); begin += asked_at_once) {
    const std::size_t end = std::min(answers.size(), begin + asked_at_once);
    const aio::Deadline limit = deadline.earlier(clock_.in(answer_timeout));
    aio::TaskGroup group(cluster_.loop(), clock_);
    for (std::size_t i = begin; i < end; ++i) {
      group.spawn(ask(&answers[i], limit));
    }
    co_await group.join();
  }
  for (const Answer& answer : answers) {
    hear(answer);
  }
}

aio::Task<void> JobFleet::ask(Answer* answer, aio::Deadline deadline) {
  aio::http::Request request{.target = "/worker"};
  const Result<aio::http::Response> response =
      co_await cluster_.workers().send(answer->url, std::move(request), deadline);
  answer->at = clock_.now();
  if (response && response->status == 200) {
    answer->words = fleet::parse_words(response->body);
  }
}

void JobFleet::hear(const Answer& answer) {
  const auto at = known_.find(answer.uid);
  if (at == known_.end()) {
    return;
  }
  Known& known = at->second;
  if (!answer.words) {
    ++known.silent_n;
    const Duration again = std::min<Duration>(ask_silent_max, 1s * (1 << std::min(known.silent_n - 1, 9)));
    known.ask_at = clock_.now() + (known.words ? std::min<Duration>(again, 1s) : again);
    return;
  }
  known.silent_n = 0;
  known.words = answer.words;
  known.words_at = answer.at;
  const bool busy = answer.words->state == WorkerState::busy;
  if (!known.claimed_at && (answer.words->first_claim_at || busy)) {
    const auto ago =
        answer.words->first_claim_at ? clock_.wall() - *answer.words->first_claim_at : std::chrono::milliseconds{0};
    known.claimed_at = std::clamp<Time>(answer.at - ago, known.first_seen, answer.at);
  }
  known.ask_at = known.claimed_at ? answer.at + ask_busy_each : answer.at;
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
  std::string path = fmt::format("/api/v1/namespaces/{}/events", options_.job.space);
  add_parameter(path, "fieldSelector", "involvedObject.uid=" + about->uid);
  Note last;
  TakeItem take = [&last](std::string_view item) {
    Result<Note> note = read_note(item);
    const bool tells = note && is(note->reason, {"FailedCreate", "NotTriggerScaleUp", "TriggeredScaleUp"});
    if (tells && (!last.at || *last.at <= note->at.value_or(*last.at))) {
      last = std::move(*note);
    }
    return Result<void>{};
  };
  const Result<ListHead> head = co_await cluster_.api().list(std::move(path), std::move(take), deadline);
  if (head) {
    event_ = last.reason.empty() || last.reason == "TriggeredScaleUp" ? "" : fleet::last_line(last.message);
  }
}

}  // namespace sluice::kube
