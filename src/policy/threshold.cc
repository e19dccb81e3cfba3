// SPDX-License-Identifier: Apache-2.0
#include "policy/threshold.h"

#include <fmt/core.h>

#include <algorithm>

#include "policy/words.h"

namespace sluice::policy {
namespace {

using model::Observation;
using model::Word;
using model::WorkerState;

struct Trigger {
  bool fires = false;
  bool known = false;
  std::string sentence;
};

std::int64_t covered_messages(const ThresholdOptions& options, const Observation& seen) {
  return std::min(seen.queue.ready->n, seen.count(WorkerState::ready) * options.concurrency);
}

// Messages that wait for a worker which is not already on its way to them.
Trigger by_messages(const ThresholdOptions& options, const Observation& seen) {
  if (!options.messages || !seen.queue.ready) {
    return {};
  }
  const std::int64_t waiting = seen.queue.ready->n;
  const std::int64_t covered = covered_messages(options, seen);
  const bool fires = waiting - covered > *options.messages;
  std::string sentence = messages_wait(waiting);
  if (fires) {
    sentence += fmt::format(", more than {}", *options.messages);
  } else if (waiting > *options.messages) {
    sentence += fmt::format(", {} of them for {} about to take them", covered, workers(seen.count(WorkerState::ready)));
  }
  return {.fires = fires, .known = true, .sentence = sentence};
}

Trigger by_age(const ThresholdOptions& options, const Observation& seen) {
  if (!options.age || !seen.queue.oldest_age) {
    return {};
  }
  const model::SeenAge& oldest = *seen.queue.oldest_age;
  const bool older = oldest.ms > to_ms(*options.age);
  const bool bound = oldest.kind == model::AgeKind::bound;
  const bool unserved = seen.queue.consumers && seen.queue.consumers->n == 0;
  // A worker that is ready and has not claimed is about to take the oldest message.
  const bool coming = seen.count(WorkerState::ready) > 0;
  const std::string age = humane_duration(std::chrono::milliseconds{oldest.ms});
  if (!older || coming || (bound && !unserved)) {
    return {.fires = false, .known = true, .sentence = ""};
  }
  return {.fires = true,
          .known = true,
          .sentence = fmt::format("a message has waited {}{}, longer than {}", bound ? "up to " : "", age,
                                  humane_duration(*options.age))};
}

// Why an age beyond the limit does not trigger; empty when it does, or is not beyond it.
std::string age_unused(const ThresholdOptions& options, const Observation& seen) {
  if (!options.age || !seen.queue.oldest_age || seen.queue.oldest_age->ms <= to_ms(*options.age) ||
      by_age(options, seen).fires) {
    return "";
  }
  return seen.count(WorkerState::ready) > 0 ? "a ready worker is about to take it"
                                            : "it is only a bound, and the queue may have consumers";
}

// Nothing but the clock is missing: say how long. 0 when nothing is.
std::int64_t too_early_ms(const ThresholdOptions& options, const Observation& seen) {
  std::int64_t left = 0;
  for (const auto& ago : {seen.starts.last_ms_ago, seen.starts.ready_ms_ago}) {
    if (ago) {
      left = std::max(left, to_ms(options.interval) - *ago);
    }
  }
  return left;
}

}  // namespace

ThresholdTerms terms(const ThresholdOptions& options, const Observation& seen) {
  return {.covered = seen.queue.ready ? covered_messages(options, seen) : 0,
          .messages_trigger = by_messages(options, seen).fires,
          .age_trigger = by_age(options, seen).fires,
          .age_unused = age_unused(options, seen)};
}

Proposal propose(const ThresholdOptions& options, const Observation& seen) {
  const std::int64_t useful = seen.useful();
  Proposal out{.word = Word::hold, .sentence = "", .wanted = useful, .enough = useful, .again_in_ms = std::nullopt};
  const Trigger messages = by_messages(options, seen);
  const Trigger age = by_age(options, seen);
  if (!messages.known && !age.known) {
    out.word = Word::blind;
    out.sentence = unknown_backlog(seen);
    return out;
  }
  if (seen.queue.ready && seen.queue.ready->n == 0) {
    out.enough = seen.claimed() + seen.count(WorkerState::ready);
  }
  if (!messages.fires && !age.fires) {
    out.word = Word::steady;
    out.sentence = seen.queue.ready ? messages_wait(seen.queue.ready->n) : "no message has waited too long";
    if (messages.known && messages.sentence.size() > out.sentence.size()) {
      out.sentence = messages.sentence;
    }
    return out;
  }
  out.sentence = messages.fires ? messages.sentence : age.sentence;
  if (seen.not_started() > 0) {
    out.sentence = who_is_starting(seen);
    return out;
  }
  // What an age is taken from may be older than the count, and the last worker may have that message by now.
  const bool old_age = !messages.fires && older_than_last_start({0, seen.queue.oldest_age->age_ms}, seen.starts);
  if (old_age || (seen.queue.ready && older_than_last_start(*seen.queue.ready, seen.starts))) {
    out.sentence += "; the reading is older than the last start";
    return out;
  }
  if (const std::int64_t left = too_early_ms(options, seen); left > 0) {
    out.sentence += fmt::format("; the last worker started less than {} ago", humane_duration(options.interval));
    out.again_in_ms = left;
    return out;
  }
  out.word = Word::grow;
  out.wanted = useful + options.step;
  return out;
}

}  // namespace sluice::policy
