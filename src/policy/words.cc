// SPDX-License-Identifier: Apache-2.0
#include "policy/words.h"

#include <fmt/core.h>

namespace sluice::policy {

std::string messages_wait(std::int64_t n) {
  return n == 1 ? std::string("1 message waits") : fmt::format("{} messages wait", n);
}

std::string workers(std::int64_t n) {
  return fmt::format("{} worker{}", n, n == 1 ? "" : "s");
}

std::string who_is_starting(const model::Observation& seen) {
  const model::SeenWaiting* longest = nullptr;
  for (const model::SeenWaiting& waiting : seen.waiting) {
    if (longest == nullptr || waiting.for_ms > longest->for_ms) {
      longest = &waiting;
    }
  }
  if (longest == nullptr) {
    return fmt::format("{} not started yet", workers(seen.not_started()));
  }
  const std::string why = longest->why.empty() ? "" : fmt::format(" ({})", longest->why);
  const std::string span = humane_duration(std::chrono::milliseconds{longest->for_ms});
  switch (longest->state) {
    case model::WorkerState::starting:
      return fmt::format("{} has been starting for {}{}", longest->worker, span, why);
    case model::WorkerState::suspended:
      return fmt::format("{} has been suspended for {}{}", longest->worker, span, why);
    default:
      return fmt::format("{} has waited for a place for {}{}", longest->worker, span, why);
  }
}

std::string unknown_backlog(const model::Observation& seen) {
  return seen.queue.error ? fmt::format("backlog unknown: {}", *seen.queue.error) : std::string("backlog unknown");
}

bool older_than_last_start(const model::SeenCount& ready, const model::SeenStarts& starts) {
  return starts.last_ms_ago && ready.age_ms >= *starts.last_ms_ago;
}

}  // namespace sluice::policy
