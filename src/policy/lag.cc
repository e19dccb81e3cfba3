// SPDX-License-Identifier: Apache-2.0
#include "policy/lag.h"

#include <algorithm>
#include <cmath>

#include "policy/lag_learn.h"
#include "policy/lag_words.h"
#include "policy/words.h"

namespace sluice::policy {
namespace {

using model::Observation;
using model::Word;

// Measured in simulation: smaller guards and margins change nothing, none at all lets the choice wander.
constexpr double guard = 0.7;         // a setting must be so much better than the default to be chosen
constexpr double margin = 0.97;       // and so much better than the present one
constexpr double back_margin = 0.9;   // the default takes over again from a setting that is no better than this
constexpr double trust_enough = 0.8;  // distrust is for queues whose bursts have been false
constexpr std::int64_t restless_ms = 1'200'000;  // without a calm moment for so long, it is chosen all the same
// What is believed of the service time before one message is done is worth no more workers at once than this.
constexpr std::int64_t unmeasured_most = 32;
constexpr std::int64_t sure_weight = 100;  // a belief that weighs more than so many messages is knowledge

LagExpert expert_of(const LagOptions& options, const LagMemory& memory) {
  const std::span<const LagExpert> all = lag_experts(options.parts.experts);
  return all[std::min<std::size_t>(static_cast<std::size_t>(memory.expert), all.size() - 1)];
}

// Seconds of node places, and a late message is as much as one place for a start-up time.
double score(const LagShadow& shadow, const LagEstimates& known) {
  return static_cast<double>(shadow.cost_milli) + known.cold * static_cast<double>(shadow.late_milli);
}

void choose(const LagOptions& options, LagMemory& memory, const LagEstimates& known, const Observation& seen) {
  const std::span<const LagExpert> experts = lag_experts(options.parts.experts);
  const auto eligible = [&](std::size_t i) {
    return known.feasible ? experts[i].catch_up == 1 && experts[i].trust
                          : experts[i].trust || known.trust < trust_enough;
  };
  const auto current = static_cast<std::size_t>(memory.expert);
  if (!eligible(current)) {
    memory.expert = 0;
    return;
  }
  const auto half = static_cast<std::int64_t>(known.service.longest / 2 / known.step);
  const std::int64_t young = memory.arrivals.newest() - memory.arrivals.at(half);
  const bool calm = seen.queue.ready && seen.queue.ready->n <= young && seen.unplaced() == 0;
  const bool restless = seen.at_ms - memory.calm_ms >= restless_ms;
  if (calm || restless) {
    memory.calm_ms = calm ? memory.grid_ms : memory.calm_ms;
  } else {
    return;
  }
  std::size_t best = 0;
  for (std::size_t i = 1; i < memory.shadows.size(); ++i) {
    best = eligible(i) && score(memory.shadows[i], known) < score(memory.shadows[best], known) ? i : best;
  }
  const double usual = score(memory.shadows[0], known);
  const double present = score(memory.shadows[current], known);
  if (score(memory.shadows[best], known) > guard * usual) {
    best = 0;
  }
  const bool better = score(memory.shadows[best], known) < margin * present;
  if (better || (best == 0 && present > back_margin * usual)) {
    memory.expert = static_cast<std::int64_t>(best);
  }
}

// Places on nodes that have been used within the time in which an empty node stays.
std::int64_t free_places(const LagOptions& options, const LagMemory& memory, const Observation& seen) {
  if (seen.fleet.capacity != model::Room::room) {
    return 0;
  }
  const std::int32_t window = lag_node_idle(options, memory);
  const std::int64_t most = std::max<std::int64_t>(memory.placed.most(window, window), seen.live() - seen.unplaced());
  const std::int64_t nodes = (most + options.slots - 1) / options.slots;
  return std::max<std::int64_t>(std::max(nodes * options.slots, options.places) - seen.live(), 0);
}

// The least time in which those who are there or will be can have started all that waits.
double last_start(const LagQueue& queue, const LagService& service) {
  double servers = queue.workers;
  double sum = 0;
  const auto when = [&] {
    const double idle = std::max(queue.workers * service.servers - queue.working, 0.0);
    const double missing = queue.waiting - idle - service.servers * (servers - queue.workers);
    const double speed = servers * service.servers / service.time;
    return speed > 0 ? std::max((missing + service.servers * sum / service.time) / speed, 0.0) : 1e9;
  };
  double out = when();
  for (const LagReady& ready : queue.pending) {
    if (ready.in >= out) {
      break;
    }
    servers += ready.workers;
    sum += ready.workers * ready.in;
    out = when();
  }
  return out;
}

// Workers that the largest burst of the ring would have needed before it came.
std::int64_t beforehand(const LagMemory& memory, const LagEstimates& known) {
  const double blind_s = known.cold + known.step - known.limit;
  const auto window = static_cast<std::int64_t>(std::ceil(std::max(blind_s, 0.0) / known.step));
  std::int64_t burst = 0;
  for (std::int64_t ago = 0; ago + window < static_cast<std::int64_t>(LagArrivals::steps) && window > 0; ++ago) {
    burst = std::max(burst, memory.arrivals.at(ago) - memory.arrivals.at(ago + window));
  }
  const double each = known.service.servers * (1 + known.cold / known.service.time);
  return static_cast<std::int64_t>(std::ceil(static_cast<double>(burst) / each));
}

struct Asked {
  const LagCurve& curve;
  const LagQueue& queue;
  const LagEstimates& known;
  const LagStarts& starts;
  // Where the wait can be promised, whole messages are counted; elsewhere what flows on the average.
  [[nodiscard]] LagNeed need() const {
    return known.feasible ? lag_need_exact(curve, queue, known.service, starts) : lag_need(curve, queue, known.service);
  }
};

LagTerms terms_of(const LagOptions& options, const LagMemory& memory, const LagEstimates& known,
                  const Observation& seen) {
  LagTerms out;
  const LagPending pending = lag_pending(memory, known, seen);
  const LagWork work = lag_work(options, seen);
  const LagQueue queue{.waiting = static_cast<double>(seen.queue.ready->n),
                       .working = static_cast<double>(work.working),
                       .workers = static_cast<double>(work.workers),
                       .pending = {pending.ready.data(), pending.size}};
  const double since = static_cast<double>(std::max<std::int64_t>(seen.at_ms - memory.grid_ms, 0)) / 1000;
  const LagCurves curves = lag_curves(options, memory, known, {.since = since, .fresh = lag_fresh(memory, seen)});
  out.service_s = known.service.time;
  out.service_seen = memory.done_milli >= 1000;
  out.rate = known.rate.now;
  out.cold_s = known.cold;
  out.warm_s = known.warm;
  out.trust = known.trust;
  out.feasible = known.feasible;
  out.expert = expert_of(options, memory);
  out.ahead = curves.cold_of(out.expert).rate;
  out.free = free_places(options, memory, seen);
  out.stuck = pending.stuck;
  out.last_starts_s = last_start(queue, known.service);
  out.beforehand = known.feasible ? 0 : beforehand(memory, known);
  const LagStarts starts = lag_starts(memory, seen);
  const Asked cold{curves.cold_of(out.expert), queue, known, starts};
  const Asked warm{curves.warm_of(out.expert), queue, known, starts};
  out.need = cold.need();
  // Quick ones only on nodes that are there.
  LagNeed quick = warm.need();
  const std::int64_t there = work.workers + pending.workers + out.free;
  quick.workers = static_cast<std::int32_t>(std::min<std::int64_t>(quick.workers, there));
  out.need = quick.workers > out.need.workers ? quick : out.need;
  out.target = std::min(out.need.workers + options.reserve, options.workers_max);
  return out;
}

void hold_or_grow(const LagOptions& options, const Observation& seen, const LagTerms& terms, Proposal& out) {
  const std::int64_t useful = seen.useful();
  if (terms.target <= useful) {
    out.word = Word::steady;
    return;
  }
  if (terms.stuck > 0) {
    return;
  }
  if (older_than_last_start(*seen.queue.ready, seen.starts)) {
    out.sentence += "; the reading is older than the last start";
    return;
  }
  std::int64_t allowed = terms.target - useful;
  if (!terms.service_seen && options.service_weight < sure_weight) {
    allowed = std::min(allowed, std::max(unmeasured_most, useful) - seen.not_started());
    out.sentence += allowed < terms.target - useful
                        ? "; how long a message takes is not known yet, so only some are asked for"
                        : "";
  }
  if (allowed > 0) {
    out.word = Word::grow;
    out.wanted = useful + allowed;
  }
}

}  // namespace

LagStep lag(const LagOptions& options, const LagMemory& before, const Observation& seen) {
  const std::int64_t useful = seen.useful();
  LagStep out;
  out.next = before;
  out.proposal = {.word = Word::blind, .sentence = "", .wanted = useful, .enough = useful, .again_in_ms = std::nullopt};
  if (!seen.queue.ready) {
    out.proposal.sentence = unknown_backlog(seen);
    return out;
  }
  const std::int64_t stepped = before.grid_ms;
  if (!lag_learn(options, out.next, seen)) {
    out.proposal.sentence = "how many messages were published or done is unknown";
    out.proposal.sentence += seen.queue.error ? ": " + *seen.queue.error : "";
    return out;
  }
  const LagEstimates known = lag_estimates(options, out.next);
  if (options.parts.choice && out.next.grid_ms != stepped) {
    choose(options, out.next, known, seen);
  }
  LagTerms terms = terms_of(options, out.next, known, seen);
  const std::int32_t longest = lag_keep_longest(options, out.next, known);
  out.next.needs.see(static_cast<std::int32_t>(terms.target), longest);
  const std::int32_t keep = lag_keep(options, out.next, known, terms.expert.keep_ms);
  terms.kept = options.parts.keep ? out.next.needs.most(keep, longest) : 0;
  out.proposal.word = Word::hold;
  out.proposal.enough = std::max(terms.target, terms.kept);
  out.proposal.sentence = lag_sentence(
      options, terms, {.waiting = seen.queue.ready->n, .working = lag_work(options, seen).working, .useful = useful});
  hold_or_grow(options, seen, terms, out.proposal);
  const std::int64_t spare = useful - std::max(out.proposal.enough, options.workers_min);
  out.next.asked_for = std::max<std::int64_t>(out.proposal.wanted - useful, 0);
  out.next.taken_back = out.proposal.word == Word::grow ? 0 : std::clamp<std::int64_t>(spare, 0, seen.unplaced());
  out.terms = terms;
  return out;
}

}  // namespace sluice::policy
