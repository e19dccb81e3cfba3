// SPDX-License-Identifier: Apache-2.0
// The half of the process fleet that looks: what the locks say, what the workers say, and the view made of both.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "fleet/process/process_fleet.h"

namespace sluice::fleet::process {

using model::WorkerState;
using namespace std::chrono_literals;

namespace {

constexpr Duration answer_timeout = 200ms;  // a local socket answers in under 1 ms; the rest is for a busy machine
constexpr std::size_t asked_at_once = 64;   // chosen: each needs a descriptor
constexpr std::size_t log_max = 4U << 20U;  // chosen: the newest 4 MiB of a worker's output at most
constexpr std::size_t words_max = 16U << 10U;

}  // namespace

Result<void> ProcessFleet::scan() {
  const Time now = clock_.now();
  for (int slot = 0; slot < slots_; ++slot) {
    const Result<void> seen = scan_slot(slot, now);
    if (!seen) {
      return seen.error();
    }
  }
  return {};
}

Result<void> ProcessFleet::scan_slot(int slot, Time now) {
  const Result<SlotLook> seen = look_at_slot(folder_, slot);
  if (!seen) {
    return seen.error();
  }
  if (seen->held) {
    meet(slot, seen->record, now);
  } else if (seen->record) {
    part(slot, *seen->record, now);
  } else if (live_.erase(slot) > 0) {  // its record was lost with its file
    nodes_.remove(slot, now);
    changed_.notify();
  }
  return {};
}

// A worker holds the slot.
void ProcessFleet::meet(int slot, const std::optional<SlotRecord>& record, Time now) {
  if (waiting_.erase(slot) > 0) {  // somebody else's start was faster than ours
    nodes_.remove(slot, now);
  }
  ended_.erase(slot);
  const auto known = live_.find(slot);
  if (known != live_.end() && (!record || known->second.record.id == record->id)) {
    Live& live = known->second;
    if (live.process && live.process->ended() && live.state != WorkerState::terminating) {
      enter(live, WorkerState::terminating, now);
      live.why = "ended, but a process it started still holds its slot";
    }
    if (record) {
      live.record.pid = record->pid;
    }
    return;
  }
  Live live;
  live.record = record.value_or(SlotRecord{.worker = fmt::format("{}-w{}", options_.pool, slot), .created_at = now});
  live.record.created_at = std::min(live.record.created_at, now);  // a record of an earlier boot
  live.since = live.record.created_at;
  live.why = "runs, not ready yet";
  nodes_.remove(slot, now);
  if (live.record.node > 0) {
    nodes_.adopt(slot, live.record.node, now);
  }
  live_[slot] = std::move(live);
  changed_.notify();
  work_.notify();
}

// Nobody holds the slot, and `record` is of the last one who did.
void ProcessFleet::part(int slot, SlotRecord record, Time now) {
  const auto known = live_.find(slot);
  const Live* live = known != live_.end() && known->second.record.id == record.id ? &known->second : nullptr;
  if (live != nullptr && live->process && !live->process->ended()) {
    return;  // dying: its descriptors go before its exit status comes
  }
  const auto remembered = ended_.find(slot);
  if (known == live_.end() && remembered != ended_.end() && remembered->second.id == record.id) {
    return;
  }
  if (!record.end) {
    record.end = end_of(live, slot, record, now);
    note_end(slot, record);
  }
  record.end->at = std::min(record.end->at, now);  // an end of an earlier boot
  remember_end(slot, record);
  if (known != live_.end()) {
    live_.erase(known);
    nodes_.remove(slot, now);
    changed_.notify();
    work_.notify();
  }
}

SlotEnd ProcessFleet::end_of(const Live* live, int slot, const SlotRecord& record, Time now) const {
  const std::optional<WorkerWords> words = parse_words(folder_.tail(slot, "last", words_max));
  const std::optional<aio::ExitStatus> status =
      live != nullptr && live->process ? live->process->ended() : std::nullopt;
  EndFacts facts;
  facts.settled = words ? words->settled : 0;
  facts.was_ready = (live != nullptr && live->was_ready) || (words && words->first_claim_at);
  facts.ran = now - record.created_at;
  std::string why;
  if (status) {
    facts.signal = status->signal;
    facts.exit_code = status->signal == 0 ? std::optional(status->code) : std::nullopt;
    why = aio::describe(*status);
  } else if (words) {
    // No child of ours: nobody tells its exit status. Last words are the sign of a worker that ended by its own will.
    facts.exit_code = words->reason.starts_with("error") ? 1 : 0;
  } else {
    facts.from_outside = true;
    why = "gone without last words, while no scaler watched";
  }
  const model::EndKind kind = end_kind(facts);
  std::string said = words ? last_line(words->reason) : "";
  if (kind == model::EndKind::succeeded) {
    why = said.empty() ? "exit status 0" : said;
  } else {
    // What it printed last explains its own failure, not a kill from outside.
    said = said.empty() && kind == model::EndKind::failed ? last_line(log_tail(slot)) : said;
    why += said.empty() || why.empty() ? said : ": " + said;
  }
  return SlotEnd{.kind = kind, .started = has_started(facts), .why = why.empty() ? "left" : why, .at = now};
}

// Writes the end into the slot's record, so that a later scaler and the other verbs know it. Only while nobody holds
// the slot: whoever took it meanwhile has a record of its own.
void ProcessFleet::note_end(int slot, const SlotRecord& record) {
  if (options_.observe_only) {
    return;
  }
  Result<std::optional<LockFile>> lock = take_slot(folder_, slot);
  if (lock && *lock) {
    // Without room on the disk the end is known to this scaler alone.
    [[maybe_unused]] const Result<void> written = (*lock)->write(to_json(record));
  }
}

// What the worker that had the slot last says it has done; of one that was killed, when it last answered.
model::SaidTally ProcessFleet::said_last(int slot, const std::string& id) const {
  const std::optional<WorkerWords> words = parse_words(folder_.tail(slot, "last", words_max));
  if (words) {
    return words->tally;
  }
  const auto live = live_.find(slot);
  return live != live_.end() && live->second.record.id == id ? live->second.tally : nullptr;
}

void ProcessFleet::remember_end(int slot, const SlotRecord& record) {
  ended_[slot] = model::EndedWorker{.slot = slot,
                                    .name = record.worker,
                                    .id = record.id,
                                    .kind = record.end->kind,
                                    .started = record.end->started,
                                    .why = record.end->why,
                                    .ended_at = record.end->at,
                                    .tally = said_last(slot, record.id)};
}

aio::Task<void> ProcessFleet::ask_all(bool starting_only, aio::Deadline deadline) {
  std::vector<Answer> answers;
  for (const auto& [slot, live] : live_) {
    if (live.state != WorkerState::terminating && (!starting_only || live.state == WorkerState::starting)) {
      answers.push_back(Answer{.slot = slot, .id = live.record.id, .words = std::nullopt, .at = {}});
    }
  }
  for (std::size_t begin = 0; begin < answers.size(); begin += asked_at_once) {
    const std::size_t end = std::min(answers.size(), begin + asked_at_once);
    const aio::Deadline limit = deadline.earlier(clock_.in(answer_timeout));
    aio::TaskGroup group(loop_, clock_);
    for (std::size_t i = begin; i < end; ++i) {
      group.spawn(ask(&answers[i], limit));
    }
    co_await group.join();
  }
  const Time now = clock_.now();
  for (const Answer& answer : answers) {
    hear(answer, now);
    if (!options_.observe_only) {
      folder_.bound(answer.slot, "log", log_max);
    }
  }
}

aio::Task<void> ProcessFleet::ask(Answer* answer, aio::Deadline deadline) {
  aio::http::Request request;
  request.target = "/worker";
  const std::string url = folder_.socket_url(answer->slot);
  const Result<aio::http::Response> response = co_await client_.send(url, std::move(request), deadline);
  answer->at = clock_.now();
  if (response && response->status == 200) {
    answer->words = parse_words(response->body);
  }
}

void ProcessFleet::hear(const Answer& answer, Time now) {
  const auto at = live_.find(answer.slot);
  if (at == live_.end() || at->second.record.id != answer.id || at->second.state == WorkerState::terminating) {
    return;
  }
  Live& live = at->second;
  if (!answer.words) {
    if (live.was_ready && now - live.answered_at > options_.silence_allowed) {
      enter(live, WorkerState::unknown, now);
      live.why = fmt::format("no answer on its socket for {}", humane_duration(now - live.answered_at));
    }
    return;
  }
  const WorkerWords& words = *answer.words;
  live.answered_at = answer.at;
  live.handling = words.handling;
  live.tally = words.tally != nullptr ? words.tally : live.tally;
  live.why.clear();
  if (!live.claimed_at && (words.first_claim_at || words.state == WorkerState::busy)) {
    const auto ago = words.first_claim_at ? clock_.wall() - *words.first_claim_at : std::chrono::milliseconds{0};
    live.claimed_at = std::clamp<Time>(answer.at - ago, live.record.created_at, answer.at);
  }
  if (words.state != WorkerState::terminating && !std::exchange(live.was_ready, true)) {
    changed_.notify();
  }
  enter(live, words.state, now);
}

void ProcessFleet::enter(Live& live, WorkerState state, Time now) {
  if (live.state != state) {
    live.state = state;
    live.since = now;
  }
}

model::FleetView ProcessFleet::assemble(Time observed_at) const {
  const Time now = clock_.now();
  model::FleetView view;
  view.observed_at = observed_at;
  view.claim = model::ClaimRung::reported;
  view.capacity = nodes_.capacity(now);
  for (const auto& [slot, waiting] : waiting_) {
    const bool placed = nodes_.node_of(slot).has_value();
    view.workers.push_back(
        model::Worker{.slot = slot,
                      .name = fmt::format("{}-w{}", options_.pool, slot),
                      .id = waiting.id,
                      .state = WorkerState::unscheduled,
                      .why = placed ? "the machine has no room for its process" : nodes_.why(slot, now),
                      .since = waiting.created_at,
                      .created_at = waiting.created_at,
                      .claimed_at = std::nullopt,
                      .place = ""});
  }
  for (const auto& [slot, live] : live_) {
    const std::string place = live.record.node > 0 ? fmt::format("node {}", live.record.node) : "by hand";
    view.workers.push_back(model::Worker{.slot = slot,
                                         .name = live.record.worker,
                                         .id = live.record.id,
                                         .state = live.state,
                                         .why = live.why,
                                         .since = live.since,
                                         .created_at = live.record.created_at,
                                         .claimed_at = live.claimed_at,
                                         .handling = live.handling,
                                         .place = place,
                                         .tally = live.tally});
  }
  std::ranges::sort(view.workers, {}, &model::Worker::slot);
  std::vector<FreeSlot> free;
  for (int slot = 0; slot < options_.max; ++slot) {
    if (!live_.contains(slot) && !waiting_.contains(slot)) {
      const auto last = ended_.find(slot);
      free.push_back({slot, last == ended_.end() ? std::nullopt : std::optional(last->second.ended_at)});
    }
  }
  view.free_slots = in_order_of_use(std::move(free));
  for (const auto& [slot, ended] : ended_) {
    view.ended.push_back(ended);
  }
  std::ranges::sort(view.ended, {}, [](const model::EndedWorker& one) { return std::pair(one.ended_at, one.slot); });
  return view;
}

}  // namespace sluice::fleet::process
