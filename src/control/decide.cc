// SPDX-License-Identifier: Apache-2.0
#include "control/decide.h"

#include <fmt/core.h>

#include <algorithm>

#include "control/hpa.h"
#include "control/lag.h"
#include "control/rivals.h"
#include "policy/backlog_per_worker.h"
#include "policy/threshold.h"
#include "policy/words.h"

namespace sluice::control {
namespace {

using namespace std::chrono_literals;
using model::Observation;
using model::Room;
using model::Word;
using model::WorkerState;
using policy::Proposal;

// Design: after 3 failed starts in a row, or when more than half of the last 10 ended workers failed.
constexpr std::int64_t failed_starts_max = 3;
constexpr std::int64_t ended_window = 10;
// Design: one probe worker with backoff 10 s .. 10 min.
constexpr Duration probe_first = 10s;
constexpr Duration probe_last = 10min;
// Design: no progress for max(3 x start-up, 5 min) is a full node group; start-up times are not learned yet.
constexpr Duration full_after_default = 5min;
// Design: a new leader holds growth for one interval; an adaptive pool looks once a second when idle.
constexpr Duration adaptive_interval = 1s;
// Design: backlogPerWorker may have max(8, live workers) without a place.
constexpr std::int64_t surge_least = 8;
// Chosen: as long as a Job's worker stays on an empty queue.
constexpr Duration spare_default = 10s;

// The decision while it is being made.
struct Draft {
  const pool::PoolSpec& spec;
  const Observation& seen;
  ControlState next;
  Proposal proposal;
  std::int64_t useful = 0;
  std::int64_t wanted = 0;
  std::int64_t spare = 0;
  Word word = Word::steady;
  std::string sentence;
  std::vector<model::Clamp> clamps;
  std::optional<std::int64_t> again_in_ms;

  void clamp(std::string_view by, std::int64_t to, std::string_view because) {
    if (to == wanted) {
      return;
    }
    clamps.push_back({std::string(by), wanted, to});
    if (!because.empty()) {
      sentence += fmt::format("; {}", because);
    }
    wanted = to;
  }
  [[nodiscard]] std::int64_t growth() const { return std::max<std::int64_t>(0, wanted - useful); }
  void look_again_in(std::int64_t ms) {
    again_in_ms = std::min(again_in_ms.value_or(ms), std::max<std::int64_t>(ms, 1));
  }
};

Duration interval(const pool::PoolSpec& spec) {
  return pool::every(spec.policy).period.value_or(adaptive_interval);
}

Proposal propose(const pool::PoolSpec& spec, const Observation& seen, const policy::LagParts& parts,
                 ControlState& next) {
  if (const auto* threshold = std::get_if<pool::ThresholdPolicy>(&spec.policy)) {
    return policy::propose(policy::ThresholdOptions{.messages = threshold->messages,
                                                    .age = threshold->age,
                                                    .step = threshold->step,
                                                    .interval = interval(spec),
                                                    .concurrency = spec.workers.concurrency},
                           seen);
  }
  if (const auto* hpa = std::get_if<pool::HpaPolicy>(&spec.policy)) {
    return propose_hpa(spec, *hpa, seen, next.hpa);
  }
  if (const auto* lag = std::get_if<pool::LagPolicy>(&spec.policy)) {
    return propose_lag(spec, *lag, seen, parts, next.lag);
  }
  if (is_rival(spec.policy)) {
    return propose_rival(spec, seen, next.rival);
  }
  const auto& per_worker = std::get<pool::BacklogPerWorkerPolicy>(spec.policy);
  return policy::propose(
      policy::BacklogPerWorkerOptions{.messages = per_worker.messages, .concurrency = spec.workers.concurrency}, seen);
}

// Unknown is not zero: nothing grows on it, except to a floor that the user declared, after the time the user declared.
void clamp_unknown(Draft& d) {
  if (d.word != Word::blind) {
    d.next.blind_since_ms.reset();
    return;
  }
  const std::int64_t since = d.next.blind_since_ms.value_or(d.seen.at_ms);
  d.next.blind_since_ms = since;
  const std::int64_t blind_ms = d.seen.at_ms - since;
  if (blind_ms > 0) {
    d.sentence += fmt::format(" (for {})", humane_duration(std::chrono::milliseconds{blind_ms}));
  }
  if (!d.spec.unknown) {
    return;
  }
  if (blind_ms < to_ms(d.spec.unknown->after)) {
    d.look_again_in(to_ms(d.spec.unknown->after) - blind_ms);
  } else if (d.wanted < d.spec.unknown->floor) {
    d.clamp("unknown", d.spec.unknown->floor, fmt::format("unknown.floor is {}", d.spec.unknown->floor));
  }
}

void clamp_min(Draft& d) {
  const pool::Workers& workers = d.spec.workers;
  if (d.wanted < workers.min) {
    d.clamp("min", workers.min, fmt::format("workers.min is {}", workers.min));
  }
}

void clamp_max(Draft& d) {
  const pool::Workers& workers = d.spec.workers;
  if (const std::int64_t served = d.seen.queue.workers_max.value_or(d.wanted); d.growth() > 0 && d.wanted > served) {
    d.clamp("queue", std::max(served, d.useful),
            fmt::format("the queue serves {} at a time, a single active consumer", policy::workers(served)));
  }
  // Every worker that is not gone holds a slot, also one that drains or cannot start.
  const std::int64_t room = std::max<std::int64_t>(0, workers.max - d.seen.live());
  if (d.growth() > room) {
    d.clamp("max", d.useful + room, fmt::format("workers.max is {}", workers.max));
  }
}

// A pool whose workers cannot start must not eat slots, nodes and attempts: one probe at a time, ever slower.
void clamp_broken(Draft& d) {
  const model::SeenStarts& starts = d.seen.starts;
  const bool in_a_row = starts.failed_in_a_row >= failed_starts_max;
  const bool of_window = starts.ended >= ended_window && starts.failed * 2 > starts.ended;
  if (!in_a_row && !of_window) {
    d.next.broken.reset();
    return;
  }
  const std::int64_t now = d.seen.at_ms;
  if (!d.next.broken) {
    d.next.broken = BrokenState{now, now + to_ms(probe_first), 0};
  }
  BrokenState& broken = *d.next.broken;
  const std::string why = starts.why.empty() ? "" : ": " + starts.why;
  const std::string what = in_a_row
                               ? fmt::format("{} workers in a row failed to start{}", starts.failed_in_a_row, why)
                               : fmt::format("{} of the last {} workers failed{}", starts.failed, starts.ended, why);
  d.word = Word::broken;
  d.sentence = what + (d.sentence.empty() ? "" : "; " + d.sentence);
  const std::int64_t growth = d.growth();
  if (growth == 0) {
    return;
  }
  if (now < broken.next_probe_ms || d.seen.not_started() > 0) {
    const std::int64_t left = std::max<std::int64_t>(broken.next_probe_ms - now, 0);
    d.clamp("broken", d.useful,
            fmt::format("next try in {}",
                        humane_duration(std::chrono::ceil<std::chrono::seconds>(std::chrono::milliseconds{left}))));
    d.look_again_in(left);
    return;
  }
  d.clamp("broken", d.useful + 1, "");
  d.sentence += "; trying one worker";
  Duration backoff = probe_first;
  for (std::int64_t i = 0; i <= broken.probes && backoff < probe_last; ++i) {
    backoff *= 2;
  }
  // Up to a fifth more, from the time of the decision: spread between pools, and the same on every replay.
  const auto bits = static_cast<std::int64_t>(static_cast<std::uint64_t>(now) * 2654435761ULL & 0xffffU);
  const std::int64_t spread = bits * to_ms(std::min(backoff, probe_last)) / 5 / 0xffff;
  broken.next_probe_ms = now + to_ms(std::min(backoff, probe_last)) + spread;
  ++broken.probes;
}

// The longest wait for a place, when it is too long to be a node on its way.
const model::SeenWaiting* stuck(const Draft& d) {
  const Duration limit = d.spec.workers.full_after.value_or(full_after_default);
  for (const model::SeenWaiting& waiting : d.seen.waiting) {
    const bool unplaced = waiting.state == WorkerState::unscheduled || waiting.state == WorkerState::requested;
    if (unplaced && waiting.for_ms > to_ms(limit)) {
      return &waiting;
    }
  }
  return nullptr;
}

void clamp_capacity(Draft& d) {
  const model::SeenWaiting* no_progress = stuck(d);
  const bool full = d.seen.fleet.capacity == Room::full;
  // A policy that adds one after the other asks for nobody while one waits for a place, and would.
  const bool waits = d.growth() == 0 && d.word == Word::hold && d.seen.unplaced() > 0;
  if ((d.growth() == 0 && !waits) || (!full && no_progress == nullptr)) {
    return;
  }
  if (waits) {
    d.word = Word::full;
    d.sentence += full ? "; " + d.seen.fleet.why : "";
    return;
  }
  const std::string why = full ? d.seen.fleet.why
                               : fmt::format("{} has had no place for {}", no_progress->worker,
                                             humane_duration(std::chrono::milliseconds{no_progress->for_ms}));
  if (d.word != Word::broken) {
    d.word = Word::full;
  }
  d.clamp("capacity", d.useful, why.empty() ? "the node group is full" : why);
}

void clamp_surge(Draft& d) {
  std::int64_t surge = std::max(surge_least, d.seen.live());
  if (const auto* threshold = std::get_if<pool::ThresholdPolicy>(&d.spec.policy)) {
    surge = threshold->step;
  } else if (std::holds_alternative<pool::HpaPolicy>(d.spec.policy) ||
             std::holds_alternative<pool::LagPolicy>(d.spec.policy)) {
    surge = d.spec.workers.max;  // it has limits of its own, and its numbers are the point
  }
  surge = d.spec.workers.surge.value_or(surge);
  const std::int64_t allowed = std::max<std::int64_t>(0, surge - d.seen.unplaced());
  if (d.growth() > allowed) {
    d.clamp("surge", d.useful + allowed,
            fmt::format("at most {} may wait for a place, {} do", surge, d.seen.unplaced()));
  }
}

void clamp_leader(Draft& d) {
  const std::int64_t now = d.seen.at_ms;
  if (d.next.fresh) {
    d.next.fresh = false;
    if (d.seen.live() > 0) {
      d.next.hold_until_ms = now + to_ms(interval(d.spec));
    }
  }
  if (!d.next.hold_until_ms) {
    return;
  }
  if (now >= *d.next.hold_until_ms) {
    d.next.hold_until_ms.reset();
    return;
  }
  d.look_again_in(*d.next.hold_until_ms - now);
  if (d.growth() > 0) {
    d.clamp("leader", d.useful, "a new scaler looks once before it adds to the workers it found");
  }
}

// Workers that never got a place are taken back when the backlog no longer needs them.
void take_back(Draft& d) {
  const std::int64_t keep = std::max(d.proposal.enough, d.spec.workers.min);
  // One of which nothing is known may have ended: it makes nobody else spare.
  const std::int64_t sure = d.useful - d.seen.count(WorkerState::unknown);
  const std::int64_t spare = std::min(d.seen.unplaced(), sure - keep);
  if (d.growth() > 0 || d.word == Word::blind || spare <= 0) {
    return;
  }
  d.word = Word::shrink;
  d.sentence += fmt::format("; taking back {} that never got a place", policy::workers(spare));
  d.wanted = d.useful - spare;
}

// How many a Deployment needs. With threshold nobody is missed while nothing waits, but those that work.
std::int64_t needed(const Draft& d) {
  std::int64_t out = d.proposal.enough;
  if (std::holds_alternative<pool::ThresholdPolicy>(d.spec.policy)) {
    out = d.seen.queue.ready && d.seen.queue.ready->n == 0 ? d.seen.count(WorkerState::busy) : d.useful;
  }
  return std::min(std::max(out, d.spec.workers.min), d.spec.workers.max);
}

// In a Deployment nobody leaves unasked: idle workers that were not needed for a while are asked to. Not beside some
// without a place, which would go in their stead. The policy lag says for any fleet how long nobody is spare.
void let_go(Draft& d) {
  const std::int64_t spare = d.useful - d.seen.count(WorkerState::unknown) - needed(d);
  if (!asked_to_leave(d.spec) || d.growth() > 0 || d.word == Word::blind || d.seen.unplaced() > 0 || spare <= 0) {
    d.next.spare_since_ms.reset();
    return;
  }
  const std::int64_t since = d.next.spare_since_ms.value_or(d.seen.at_ms);
  const bool kept = std::holds_alternative<pool::LagPolicy>(d.spec.policy);
  const std::int64_t wait = kept ? 0 : to_ms(d.spec.workers.idle_exit.value_or(spare_default));
  d.next.spare_since_ms = since;
  const std::int64_t left = since + wait - d.seen.at_ms;
  if (left > 0) {
    d.look_again_in(left);
    return;
  }
  const std::int64_t idle = d.seen.count(WorkerState::idle) + d.seen.count(WorkerState::ready);
  const std::int64_t deaf = std::min(d.seen.fleet.deaf, d.useful);
  const std::int64_t asked = std::clamp<std::int64_t>(d.useful - deaf, 0, std::min(idle, spare));
  if (asked > 0) {
    d.word = Word::shrink;
    // Which of them are on a node that is to become empty, the plan says.
    d.sentence += kept ? fmt::format("; letting {} go, node by node, each when it has no work", policy::workers(spare))
                       : fmt::format("; asking {} without work to leave", policy::workers(asked));
    d.wanted = d.useful - asked;
    d.spare = spare;
  } else if (deaf > 0) {
    d.sentence += fmt::format("; {} not needed, and {} not take POST /drain: they stay", policy::workers(spare),
                              deaf == 1 ? "1 does" : fmt::format("{} do", deaf));
  }
}

Step finish(Draft& d) {
  const bool wants_more = d.proposal.wanted > d.useful;
  if (d.growth() > 0 && (d.word == Word::steady || d.word == Word::hold)) {
    d.word = Word::grow;
  } else if (d.growth() == 0 && d.word == Word::grow) {
    d.word = wants_more ? Word::hold : Word::steady;
  }
  Step step;
  step.decision.workers = d.wanted;
  step.decision.change = d.wanted - d.useful;
  step.decision.reason = fmt::format("{}: {}", model::word(d.word), d.sentence);
  step.decision.clamps = std::move(d.clamps);
  step.next = d.next;
  step.spare = d.spare;
  step.again_in_ms = d.again_in_ms;
  return step;
}

}  // namespace

Result<void> decidable(const pool::PoolSpec& spec) {
  const bool threshold = std::holds_alternative<pool::ThresholdPolicy>(spec.policy);
  const bool lag = std::holds_alternative<pool::LagPolicy>(spec.policy);
  if (std::holds_alternative<pool::PubsubQueue>(spec.queue) && (threshold || lag)) {
    return Error{
        Code::invalid,
        fmt::format("policy {} needs to know what waits, and Pub/Sub counts what is in work as well; accepted: "
                    "backlogPerWorker, hpa",
                    pool::policy_word(spec.policy))};
  }
  if (const Result<void> rival = rival_decidable(spec); !rival) {
    return rival.error();
  }
  const auto* rabbit = std::get_if<pool::RabbitQueue>(&spec.queue);
  if (lag && rabbit != nullptr && !rabbit->management) {
    return Error{Code::invalid,
                 "policy lag needs to know how many messages were published and done, which RabbitMQ tells by its "
                 "management API alone; accepted: queue.rabbitmq.management, or policy threshold or backlogPerWorker"};
  }
  return {};
}

bool asked_to_leave(const pool::PoolSpec& spec) {
  return spec.workers.deployment || std::holds_alternative<pool::LagPolicy>(spec.policy);
}

Step decide(const pool::PoolSpec& spec, const ControlState& state, const Observation& seen) {
  return decide_without(policy::LagParts{}, spec, state, seen);
}

Step decide_without(const policy::LagParts& parts, const pool::PoolSpec& spec, const ControlState& state,
                    const Observation& seen) {
  Draft d{.spec = spec, .seen = seen, .next = state};
  d.useful = seen.useful();
  d.wanted = d.useful;
  if (seen.fleet.error || !seen.fleet.age_ms) {
    d.proposal = Proposal{.wanted = d.useful, .enough = d.useful};
    d.word = Word::blind;
    d.sentence = "workers unknown" + (seen.fleet.error ? ": " + *seen.fleet.error : std::string());
    return finish(d);
  }
  d.proposal = propose(spec, seen, parts, d.next);
  d.word = d.proposal.word;
  d.sentence = d.proposal.sentence;
  d.again_in_ms = d.proposal.again_in_ms;
  d.wanted = d.proposal.wanted;
  if (spec.paused || seen.fleet.hold) {
    d.next.rival.reset();
    d.next.hpa.reset();  // it did not set what it wanted: the next sync begins with what is there
  }
  if (spec.paused) {
    d.wanted = d.useful;
    d.proposal.wanted = d.useful;
    d.word = Word::paused;
    d.sentence = "observing, not acting; " + d.sentence;
    return finish(d);
  }
  if (seen.fleet.hold) {
    d.wanted = d.useful;
    d.proposal.wanted = d.useful;
    d.word = Word::hold;
    d.sentence = fmt::format("{}; {}", *seen.fleet.hold, d.sentence);
    return finish(d);
  }
  clamp_unknown(d);
  if (is_rival(spec.policy)) {  // as it is: what else keeps a pool from harm is not its own
    clamp_max(d);
    return finish(d);
  }
  clamp_min(d);
  clamp_max(d);
  clamp_broken(d);
  clamp_capacity(d);
  clamp_surge(d);
  clamp_leader(d);
  take_back(d);
  let_go(d);
  return finish(d);
}

}  // namespace sluice::control
