// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the rivals have in common: the bounds of a pool, what an observation is to them, and how they answer.
//
// A rival runs at its own pace, whatever the ticks are: between two of its turns what it said last stands. Its `wanted`
// may be below the workers there are; which of them end is for whoever acts on it, as it is with a ReplicaSet.
#include <cstdint>
#include <optional>
#include <string>

#include "base/time.h"
#include "model/observation.h"
#include "policy/options.h"

namespace sluice::rivals {

// The pool's, in the place of what each rival calls its own.
struct Bounds {
  std::int64_t min = 0;
  std::int64_t max = 1;
  std::int64_t concurrency = 1;  // messages one worker takes at once
};

// Which messages a rival's metric counts.
enum class Counts { total, ready };  // waiting and in work; only waiting

// Empty: unknown.
[[nodiscard]] std::optional<std::int64_t> messages(Counts counts, const Bounds& bounds, const model::Observation& seen);
// Workers that run: ready, busy or idle.
[[nodiscard]] std::int64_t started(const model::Observation& seen);
// Whether what was done at `last_ms` is due again.
[[nodiscard]] bool due(std::optional<std::int64_t> last_ms, Duration every, const model::Observation& seen);

// The proposal to have `wanted` workers, its word by the workers there are.
[[nodiscard]] policy::Proposal want(std::int64_t wanted, std::string sentence, const model::Observation& seen);
// The proposal to leave `wanted` as it is since the backlog is unknown.
[[nodiscard]] policy::Proposal blind(std::int64_t wanted, const model::Observation& seen);

}  // namespace sluice::rivals
