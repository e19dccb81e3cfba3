// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a worker says it has done since it started: settled messages by outcome, and how long they waited and took.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace sluice::model {

// Durations in the buckets of the workers' own reports, cumulative. A foreign worker's other bounds count at the next
// higher one of these.
struct Durations {
  static constexpr std::array<std::int64_t, 14> bounds_ms{
      10, 50, 100, 500, 1'000, 2'000, 5'000, 10'000, 30'000, 60'000, 120'000, 300'000, 1'200'000, 3'600'000};
  std::array<std::int64_t, bounds_ms.size()> at_most{};  // how many took at most bounds_ms[i]
  std::int64_t count = 0;
  std::int64_t sum_ms = 0;
  friend bool operator==(const Durations&, const Durations&) = default;
};

struct Tally {
  std::int64_t done = 0;
  std::int64_t retried = 0;
  std::int64_t failed = 0;
  std::int64_t dead_lettered = 0;
  std::int64_t requeued = 0;
  Durations wait;  // from publish to the first delivery
  Durations work;  // of every handler run
  friend bool operator==(const Tally&, const Tally&) = default;
};

// Shared, because the same words are in many views, and immutable. Null: it has not said.
using SaidTally = std::shared_ptr<const Tally>;

}  // namespace sluice::model
