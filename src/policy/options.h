// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a policy needs from a pool, and what every policy answers. Values only.
#include <cstdint>
#include <optional>
#include <string>

#include "base/time.h"
#include "model/decision.h"
#include "model/observation.h"

namespace sluice::policy {

struct ThresholdOptions {                // at least one of messages, age
  std::optional<std::int64_t> messages;  // grow while more than this many wait
  std::optional<Duration> age;           // or while the oldest waiting message is older than this
  std::int64_t step = 1;                 // workers added by one decision
  Duration interval{0};                  // least time between two decisions that grow
  std::int64_t concurrency = 1;          // messages one worker takes at once
};

struct BacklogPerWorkerOptions {
  std::int64_t messages = 1;     // waiting and running messages one worker should have
  std::int64_t concurrency = 1;  // messages one worker takes at once
};

// What a policy wants, before any clamp.
struct Proposal {
  model::Word word = model::Word::steady;
  std::string sentence;     // the reason without its word
  std::int64_t wanted = 0;  // workers to have; never below the useful ones in a fleet whose workers leave by themselves
  std::int64_t enough = 0;  // workers that would do: those above it which never got a place may be withdrawn
  std::optional<std::int64_t> again_in_ms;  // when waiting is all that is missing: look again then
};

}  // namespace sluice::policy
