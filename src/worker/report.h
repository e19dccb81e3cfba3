// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a worker tells its scaler about itself: the answer of GET /worker and, at the end, its last words.
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"

namespace sluice::worker {

enum class WorkerState {
  ready,     // consuming, took nothing yet
  busy,      // has a message
  idle,      // had one, has none
  draining,  // takes no more
  gone,      // left
};
[[nodiscard]] std::string_view word(WorkerState state);

// Durations in fixed buckets: the sum over all workers of a pool is again such a histogram. Bounds in milliseconds,
// chosen to tell apart the orders of magnitude from a queue's own latency to an hour; the last bucket (count alone) has
// no bound.
class Histogram {
 public:
  static constexpr std::array<std::int64_t, 14> bounds_ms{
      10, 50, 100, 500, 1'000, 2'000, 5'000, 10'000, 30'000, 60'000, 120'000, 300'000, 1'200'000, 3'600'000};
  void add(Duration d);
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] Duration sum() const { return sum_; }
  // How many were at most bounds_ms[i].
  [[nodiscard]] std::uint64_t at_most(std::size_t i) const { return at_most_[i]; }
  // {"count":3,"sum":1.25,"le":[[0.01,0],[0.05,1],..]}, cumulative.
  [[nodiscard]] std::string json() const;

 private:
  std::array<std::uint64_t, bounds_ms.size()> at_most_{};
  std::uint64_t count_ = 0;
  Duration sum_{0};
};

// Settled deliveries by outcome.
struct Counts {
  std::uint64_t done = 0;
  std::uint64_t retried = 0;
  std::uint64_t failed = 0;
  std::uint64_t dead_lettered = 0;
  std::uint64_t requeued = 0;
  friend bool operator==(const Counts&, const Counts&) = default;
};

struct WorkerReport {
  std::string worker;
  WorkerState state = WorkerState::ready;
  std::uint64_t handling = 0;
  std::optional<WallTime> first_claim_at;
  Counts counts;
  Histogram wait;      // from publish to the first delivery
  Histogram work;      // of every handler run
  std::string reason;  // why it leaves; empty while it does not
};

// A Kubernetes termination message holds 4096 bytes, all containers of a pod together 12 KiB.
inline constexpr std::size_t last_words_max = 4096;

// The JSON of contracts.md ("Worker endpoint"), at most last_words_max bytes: a longer reason is cut.
[[nodiscard]] std::string to_json(const WorkerReport& report);

}  // namespace sluice::worker
