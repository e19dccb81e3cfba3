// SPDX-License-Identifier: Apache-2.0
#include "rivals/seen.h"

#include "policy/backlog_per_worker.h"
#include "policy/words.h"

namespace sluice::rivals {

using model::WorkerState;

std::optional<std::int64_t> messages(Counts counts, const Bounds& bounds, const model::Observation& seen) {
  if (counts == Counts::ready) {
    return seen.queue.ready ? std::optional(seen.queue.ready->n) : std::nullopt;
  }
  if (policy::backlog_of(seen) == nullptr) {
    return std::nullopt;
  }
  return policy::terms(policy::BacklogPerWorkerOptions{.messages = 1, .concurrency = bounds.concurrency}, seen).needed;
}

std::int64_t started(const model::Observation& seen) {
  return seen.count(WorkerState::ready) + seen.claimed();
}

bool due(std::optional<std::int64_t> last_ms, Duration every, const model::Observation& seen) {
  return !last_ms || seen.at_ms - *last_ms >= to_ms(every);
}

policy::Proposal want(std::int64_t wanted, std::string sentence, const model::Observation& seen) {
  using model::Word;
  const std::int64_t useful = seen.useful();
  return {.word = wanted > useful   ? Word::grow
                  : wanted < useful ? Word::shrink
                                    : Word::steady,
          .sentence = std::move(sentence),
          .wanted = wanted,
          .enough = wanted,
          .again_in_ms = std::nullopt};
}

policy::Proposal blind(std::int64_t wanted, const model::Observation& seen) {
  policy::Proposal out = want(wanted, policy::unknown_backlog(seen), seen);
  out.word = model::Word::blind;
  return out;
}

}  // namespace sluice::rivals
