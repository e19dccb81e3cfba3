// SPDX-License-Identifier: Apache-2.0
#pragma once
// What is, of one pool: the value behind a line of `sluice status`, whoever looked. Machine contract: the JSON of
// `status --output json` and of /api/v1/status are the same object.
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "model/fleet_view.h"

namespace sluice::serve {

struct PoolStatus {
  struct Count {
    std::int64_t n = 0;
    bool approximate = false;
  };
  struct Scaler {
    std::int64_t pid = 0;
    WallTime since;
  };
  std::string pool;  // namespace/name
  WallTime at;
  std::string state;  // the first word of the last decision, "new" before it, "off" without a scaler
  // Empty is unknown, in all of these.
  std::optional<Count> ready, in_flight, total, delayed, dead;
  std::optional<std::int64_t> sample_age_ms;   // of the oldest of these counts that make up the backlog
  std::optional<std::int64_t> stale_after_ms;  // older than this a reading of the queue counts for nothing
  std::optional<std::int64_t> oldest_age_ms;
  std::string oldest_kind;
  std::optional<std::int64_t> published_n, acked_n;
  std::optional<double> in_per_s, out_per_s;
  std::optional<std::array<std::int64_t, model::worker_states>> workers;
  std::optional<std::int64_t> desired;
  std::optional<std::int64_t> max;
  std::string why;
  std::string tick;
  std::optional<std::int64_t> decided_ms_ago;
  std::optional<Scaler> scaler;
  bool needs_you = false;
  std::vector<std::string> errors;

  [[nodiscard]] std::optional<std::int64_t> live() const;
  // The pool without its namespace.
  [[nodiscard]] std::string name() const;
};

// Whether a person should look: the state says so, dead letters are there, or something cannot be read.
[[nodiscard]] bool needs_a_person(std::string_view state, const std::optional<PoolStatus::Count>& dead, bool errors);

// One object on one line.
[[nodiscard]] std::string to_json(const PoolStatus& status);

// The answer of /api/v1/status.
struct Answer {
  std::string role;          // controller or scale
  std::string version;       // of who answers
  std::string installation;  // empty for scale
  std::vector<PoolStatus> pools;
};
[[nodiscard]] std::string to_json(const Answer& answer, WallTime at);
// Outside bytes: Code::invalid with the path of what cannot be used. Keys that it does not know are let pass, since
// the other side may be of a later version.
[[nodiscard]] Result<Answer> parse_answer(std::string_view text);
// One pool of it.
[[nodiscard]] Result<PoolStatus> parse_pool_status(std::string_view text);

}  // namespace sluice::serve
