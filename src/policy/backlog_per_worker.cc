// SPDX-License-Identifier: Apache-2.0
#include "policy/backlog_per_worker.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "policy/words.h"

namespace sluice::policy {
namespace {

using model::Observation;
using model::Word;
using model::WorkerState;

// Without overflow for any two counts: a hostile broker may say 2^63 - 1.
std::int64_t saturating_sum(std::int64_t a, std::int64_t b) {
  return a > std::numeric_limits<std::int64_t>::max() - b ? std::numeric_limits<std::int64_t>::max() : a + b;
}

}  // namespace

const model::SeenCount* backlog_of(const Observation& seen) {
  return seen.queue.ready ? &*seen.queue.ready : seen.queue.total ? &*seen.queue.total : nullptr;
}

BacklogTerms terms(const BacklogPerWorkerOptions& options, const Observation& seen) {
  BacklogTerms out;
  const model::SeenCount& backlog = *backlog_of(seen);
  out.waiting = backlog.n;
  out.together = !seen.queue.ready;
  const auto& in_flight = seen.queue.in_flight;
  out.claimed_read = out.together || (in_flight && in_flight->age_ms <= backlog.age_ms);
  out.claimed = out.together       ? 0
                : out.claimed_read ? in_flight->n
                                   : options.concurrency * seen.count(WorkerState::busy);
  const std::int64_t sum = saturating_sum(out.waiting, out.claimed);
  out.needed = sum / options.messages + (sum % options.messages != 0 ? 1 : 0);
  return out;
}

Proposal propose(const BacklogPerWorkerOptions& options, const Observation& seen) {
  const std::int64_t useful = seen.useful();
  Proposal out{.word = Word::hold, .sentence = "", .wanted = useful, .enough = useful, .again_in_ms = std::nullopt};
  const model::SeenCount* backlog = backlog_of(seen);
  if (backlog == nullptr) {
    out.word = Word::blind;
    out.sentence = unknown_backlog(seen);
    return out;
  }
  const BacklogTerms t = terms(options, seen);
  const std::int64_t target = std::max(t.needed, seen.count(WorkerState::busy));
  out.enough = target;
  out.sentence = t.together ? fmt::format("{} or {} in work", messages_wait(t.waiting), t.waiting == 1 ? "is" : "are")
                            : fmt::format("{} and {} in work", messages_wait(t.waiting),
                                          t.claimed == 1 ? "1 is" : fmt::format("{} are", t.claimed));
  if (target <= useful) {
    out.word = Word::steady;
    return out;
  }
  out.sentence += options.messages == 1 ? fmt::format(", one worker each is {}", target)
                                        : fmt::format(", at {} a worker that is {}", options.messages, target);
  if (older_than_last_start(*backlog, seen.starts)) {
    out.sentence += "; the reading is older than the last start";
    return out;
  }
  out.word = Word::grow;
  out.wanted = target;
  return out;
}

}  // namespace sluice::policy
