// SPDX-License-Identifier: Apache-2.0
#include "control/explain.h"

#include <fmt/core.h>

#include <algorithm>

#include "control/hpa.h"
#include "control/lag.h"
#include "control/rivals.h"
#include "control/what_if.h"
#include "model/json.h"
#include "policy/backlog_per_worker.h"
#include "policy/threshold.h"
#include "policy/words.h"

namespace sluice::control {
namespace {

using model::Observation;
using model::WorkerState;

std::string span(std::int64_t ms) {
  return humane_duration(std::chrono::milliseconds{ms});
}

std::string number(const std::optional<model::SeenCount>& count) {
  return count ? std::to_string(count->n) : "?";
}

SeenFact fact(std::string what, const std::optional<model::SeenCount>& count) {
  SeenFact out{.what = std::move(what), .value = number(count), .n = {}, .age_ms = {}, .kind = ""};
  if (count) {
    out.n = count->n;
    out.age_ms = count->age_ms;
  }
  return out;
}

SeenFact oldest(const std::optional<model::SeenAge>& age) {
  SeenFact out{.what = "oldest", .value = "?", .n = {}, .age_ms = {}, .kind = ""};
  if (age) {
    out.value = span(age->ms);
    out.n = age->ms;
    out.age_ms = age->age_ms;
    out.kind = model::word(age->kind);
  }
  return out;
}

// What the pool's own numbers are; those that no policy uses only when there is something to say.
std::vector<SeenFact> seen_facts(const model::SeenQueue& queue) {
  std::vector<SeenFact> out{fact("ready", queue.ready), fact("in flight", queue.in_flight), oldest(queue.oldest_age)};
  if (queue.total && !queue.ready) {
    out.push_back(fact("total", queue.total));
  }
  if (queue.delayed && queue.delayed->n > 0) {
    out.push_back(fact("delayed", queue.delayed));
  }
  if (queue.dead && queue.dead->n > 0) {
    out.push_back(fact("dead", queue.dead));
  }
  if (queue.consumers) {
    out.push_back(fact("consumers", queue.consumers));
  }
  return out;
}

std::string worker_counts(const Observation& seen) {
  std::string out = policy::workers(seen.live());
  std::string sep = ": ";
  for (std::size_t i = 0; i < model::worker_states; ++i) {
    if (seen.workers[i] > 0) {
      out += fmt::format("{}{} {}", sep, seen.workers[i], model::word(static_cast<WorkerState>(i)));
      sep = ", ";
    }
  }
  return out;
}

// Per second, between the observations of two counts; unknown when either is, or when the count began anew.
std::optional<double> rate(const std::optional<model::SeenCount>& then, const std::optional<model::SeenCount>& now,
                           std::int64_t elapsed_ms) {
  if (!then || !now || now->n < then->n) {
    return std::nullopt;
  }
  const std::int64_t ms = elapsed_ms - now->age_ms + then->age_ms;
  if (ms <= 0) {
    return std::nullopt;
  }
  return static_cast<double>(now->n - then->n) * 1000.0 / static_cast<double>(ms);
}

std::vector<std::string> threshold_arithmetic(const pool::PoolSpec& spec, const pool::ThresholdPolicy& threshold,
                                              const Observation& seen) {
  const policy::ThresholdTerms terms = policy::terms(policy::ThresholdOptions{.messages = threshold.messages,
                                                                              .age = threshold.age,
                                                                              .step = threshold.step,
                                                                              .concurrency = spec.workers.concurrency},
                                                     seen);
  std::vector<std::string> out;
  if (threshold.messages && seen.queue.ready) {
    const std::int64_t n = seen.queue.ready->n;
    const std::string covered =
        terms.covered > 0 ? fmt::format(" - {} about to be taken = {}", terms.covered, n - terms.covered) : "";
    out.push_back(fmt::format("ready {}{} > messages {}: {}", n, covered, *threshold.messages,
                              terms.messages_trigger ? "yes" : "no"));
  } else if (threshold.messages) {
    out.push_back(fmt::format("ready ? > messages {}: unknown", *threshold.messages));
  }
  if (threshold.age && seen.queue.oldest_age) {
    const std::string answer = terms.age_trigger          ? "yes"
                               : terms.age_unused.empty() ? "no"
                                                          : "not used, " + terms.age_unused;
    out.push_back(fmt::format("oldest {} > age {}: {}", span(seen.queue.oldest_age->ms),
                              humane_duration(*threshold.age), answer));
  } else if (threshold.age) {
    out.push_back(fmt::format("oldest ? > age {}: unknown", humane_duration(*threshold.age)));
  }
  if (terms.messages_trigger || terms.age_trigger) {
    out.push_back(fmt::format("step {}: {} + {} = {}", threshold.step, seen.useful(), threshold.step,
                              seen.useful() + threshold.step));
  }
  return out;
}

std::vector<std::string> backlog_arithmetic(const pool::PoolSpec& spec, const pool::BacklogPerWorkerPolicy& per_worker,
                                            const Observation& seen) {
  if (policy::backlog_of(seen) == nullptr) {
    return {fmt::format("ceil((? waiting + in work) / {}): unknown", per_worker.messages)};
  }
  const policy::BacklogTerms terms = policy::terms(
      policy::BacklogPerWorkerOptions{.messages = per_worker.messages, .concurrency = spec.workers.concurrency}, seen);
  std::vector<std::string> out{terms.together ? fmt::format("ceil({} waiting or in work / {}) = {}", terms.waiting,
                                                            per_worker.messages, terms.needed)
                                              : fmt::format("ceil(({} waiting + {} in work) / {}) = {}", terms.waiting,
                                                            terms.claimed, per_worker.messages, terms.needed)};
  if (!terms.claimed_read) {
    out.push_back(fmt::format("in work is not known: counted as {} busy x concurrency {}",
                              seen.count(WorkerState::busy), spec.workers.concurrency));
  }
  if (const std::int64_t busy = seen.count(WorkerState::busy); busy > terms.needed) {
    out.push_back(fmt::format("at least the {} busy ones", busy));
  }
  return out;
}

std::vector<std::string> arithmetic(const Told& told) {
  const pool::PoolSpec& spec = told.spec;
  const Observation& seen = told.tick.seen;
  if (const auto* threshold = std::get_if<pool::ThresholdPolicy>(&spec.policy)) {
    return threshold_arithmetic(spec, *threshold, seen);
  }
  if (const auto* per_worker = std::get_if<pool::BacklogPerWorkerPolicy>(&spec.policy)) {
    return backlog_arithmetic(spec, *per_worker, seen);
  }
  if (is_rival(spec.policy)) {
    return {};  // its reason is its arithmetic
  }
  if (const auto* hpa = std::get_if<pool::HpaPolicy>(&spec.policy)) {
    if (policy::backlog_of(seen) == nullptr) {
      return {"(? waiting + in work): unknown"};
    }
    return {hpa_arithmetic(spec, *hpa, seen), "then the HPA's tolerance, stabilization and limits, as the reason says"};
  }
  const auto& lag = std::get<pool::LagPolicy>(spec.policy);
  return told.before ? lag_arithmetic(spec, lag, seen, told.before->lag)
                     : std::vector<std::string>{"what had been learned by then is not in the journal"};
}

std::string clamp_reason(const std::string& by, const pool::PoolSpec& spec, const Observation& seen) {
  if (by == "max") {
    const std::int64_t rest = seen.live() - seen.useful();
    const std::string held =
        rest > 0 ? fmt::format(", {} of them still held by {} on the way out or failing", rest, policy::workers(rest))
                 : "";
    return fmt::format("workers.max is {}{}", spec.workers.max, held);
  }
  if (by == "min") {
    return fmt::format("workers.min is {}", spec.workers.min);
  }
  if (by == "surge") {
    const std::string said = spec.workers.surge ? fmt::format("workers.surge is {}", *spec.workers.surge)
                                                : std::string("surge, by the policy's default");
    return fmt::format("{}; {} without a place yet", said, policy::workers(seen.unplaced()));
  }
  if (by == "capacity") {
    return seen.fleet.why.empty() ? "there is no place for another worker" : seen.fleet.why;
  }
  if (by == "broken") {
    return seen.starts.why.empty() ? "workers fail to start" : fmt::format("workers fail: {}", seen.starts.why);
  }
  if (by == "unknown" && spec.unknown) {
    return fmt::format("unknown.floor is {}, after {}", spec.unknown->floor, humane_duration(spec.unknown->after));
  }
  if (by == "leader") {
    return "a new scaler looks once before it adds to the workers it found";
  }
  return by;
}

std::vector<std::string> waiting_workers(const Observation& seen) {
  std::vector<std::string> out;
  for (const model::SeenWaiting& waiting : seen.waiting) {
    const std::string why = waiting.why.empty() ? "" : ": " + waiting.why;
    out.push_back(fmt::format("{} {} for {}{}", waiting.worker, model::word(waiting.state), span(waiting.for_ms), why));
  }
  return out;
}

std::vector<std::string> unknowns(const Observation& seen) {
  std::vector<std::string> out;
  if (seen.queue.error) {
    out.push_back("queue: " + *seen.queue.error);
  }
  if (seen.fleet.error) {
    const std::string since =
        seen.fleet.age_ms ? fmt::format("; the workers above were seen {} before", span(*seen.fleet.age_ms)) : "";
    out.push_back("workers: " + *seen.fleet.error + since);
  } else if (!seen.fleet.age_ms) {
    out.emplace_back("workers: never read");
  }
  return out;
}

}  // namespace

Explanation explain(const Told& told) {
  const Observation& seen = told.tick.seen;
  const model::Decision& decision = told.tick.decision;
  Explanation out;
  out.pool = told.tick.pool;
  out.tick = told.tick.tick;
  out.at = told.tick.at;
  const std::size_t colon = decision.reason.find(": ");
  out.word = decision.reason.substr(0, colon);
  out.sentence = colon == std::string::npos ? "" : decision.reason.substr(colon + 2);
  out.wants = decision.workers;
  out.had = decision.workers - decision.change;
  out.seen = seen_facts(seen.queue);
  out.workers = worker_counts(seen);
  if (told.earlier) {
    const std::int64_t elapsed = seen.at_ms - told.earlier->seen.at_ms;
    out.in_per_s = rate(told.earlier->seen.queue.published_n, seen.queue.published_n, elapsed);
    out.out_per_s = rate(told.earlier->seen.queue.acked_n, seen.queue.acked_n, elapsed);
  }
  out.waiting = waiting_workers(seen);
  out.unknown = unknowns(seen);
  out.needed = arithmetic(told);
  for (const model::Clamp& clamp : decision.clamps) {
    out.clamps.push_back({clamp, clamp_reason(clamp.by, told.spec, seen)});
  }
  out.plan = told.tick.plan;
  out.did = told.did;
  if (const auto period = pool::every(told.spec.policy).period) {
    out.next_look_ms = to_ms(*period);
  }
  if (told.before && decidable(told.spec)) {
    const Step step = decide(told.spec, *told.before, seen);
    if (step.again_in_ms) {
      out.next_look_ms = std::min(out.next_look_ms.value_or(*step.again_in_ms), *step.again_in_ms);
    }
    out.would_change = what_if(told.spec, *told.before, seen, decision);
  }
  out.steady_ticks = told.steady_ticks;
  out.steady_to = told.steady_to;
  return out;
}

}  // namespace sluice::control
