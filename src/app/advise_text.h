// SPDX-License-Identifier: Apache-2.0
#pragma once
// What `sluice advise` says: the advice with its evidence, and the pool's file with the policy that it proposes.
#include <optional>
#include <string>
#include <vector>

#include "app/simulate_replay.h"
#include "lab/advice.h"

namespace sluice::app {

// The pool that the advice is for.
struct AdvisedPool {
  std::optional<pool::Pool> pool;  // whole; empty: only its load is known
  std::string text;                // of its file; empty: without one
};

// One sentence, without its end: "lag 30s would have cost 18 % less than threshold 20, ..".
[[nodiscard]] std::string advice_sentence(const lab::Advice& advice);
// The sentence, the table of candidates and what was assumed. Lines with ends.
[[nodiscard]] std::string advice_text(const ReplayedPool& replayed, const lab::Advice& advice, bool colour);
// The same as comments, and below them the pool with that policy, or the policy alone. In a file that has a block
// `policy` of its own, nothing but this block is changed.
[[nodiscard]] std::string advice_yaml(const ReplayedPool& replayed, const lab::Advice& advice, const AdvisedPool& pool);
// One line, with its end.
[[nodiscard]] std::string advice_json(const ReplayedPool& replayed, const lab::Advice& advice, const AdvisedPool& pool);

// A pool's file with another policy in it, everything else left as it is: comments, order, quotes. Empty where this
// cannot be done by replacing a block of lines.
[[nodiscard]] std::optional<std::string> with_policy(const std::string& text, const lab::Contender& contender);

}  // namespace sluice::app
