// SPDX-License-Identifier: Apache-2.0
#include "control/resume.h"

#include <fmt/core.h>

#include <cstdlib>

#include "control/journal_read.h"
#include "pool/pool.h"

namespace sluice::control {
namespace {

// Chosen: ten times as many as a journal has behind a state line; a file that has more is not one of ours.
constexpr std::size_t ticks_most = 1'000;
// Chosen: more than a clock is set by in a day, less than any machine takes to boot.
constexpr std::int64_t same_boot_ms = 5'000;

template <class T>
Result<T> parsed(std::string_view text, const std::string& where) {
  Result<JournalLine> line = parse_journal_line(text);
  if (!line) {
    return line.error().in(where);
  }
  if (auto* value = std::get_if<T>(&*line)) {
    return std::move(*value);
  }
  return Error{Code::invalid, where + ": a line of another kind"};
}

Error foreign(const std::string& where, const std::string& pool) {
  return Error{Code::invalid, fmt::format("{}: of the pool {}", where, pool)};
}

// The spec that the ticks were decided by, where what was learned under it is worth something under `spec`.
Result<pool::PoolSpec> spec_of(const PoolLine& line, const std::string& where, const std::string& pool_id,
                               const pool::PoolSpec& spec) {
  if (line.pool != pool_id) {
    return foreign(where, line.pool);
  }
  Result<pool::PoolSpec> then = pool::spec_from_json(line.spec_json);
  if (!then) {
    return then.error().in(where + ": $.spec");
  }
  if (!resumes(*then)) {
    return Error{Code::invalid, fmt::format("{}: policy {} then", where, pool::policy_word(then->policy))};
  }
  if (then->queue != spec.queue) {
    return Error{Code::invalid, where + ": another queue then"};
  }
  return then;
}

// Times of another boot mean nothing now; how long a message and a start take still does.
void forget_times(LagHeld& lag) {
  policy::LagMemory memory = lag.get();
  memory.step_ms = 0;
  lag.set(std::move(memory));
}

}  // namespace

bool resumes(const pool::PoolSpec& spec) {
  return std::holds_alternative<pool::LagPolicy>(spec.policy);
}

void ResumeReader::take(std::string_view line, const std::string& where) {
  // By its first bytes: of a long journal only the end is parsed.
  const auto is = [line](std::string_view event) {
    return line.starts_with(R"({"event":")") && line.substr(10).starts_with(event);
  };
  if (is("pool\"")) {
    pool_ = {std::string(line), where};
    state_ = {};
    ticks_.clear();
    bad_.clear();
  } else if (is("state\"")) {
    state_ = {std::string(line), where};
    ticks_.clear();
    bad_.clear();
  } else if (is("tick\"") && ticks_.size() < ticks_most) {
    ticks_.push_back({std::string(line), where});
  } else if (!is("act\"") && !is("steady\"")) {
    bad_ = where;
  }
}

Result<ControlState> ResumeReader::finish(const std::string& pool_id, const pool::PoolSpec& spec, Moment now) const {
  if (!bad_.empty()) {
    return Error{Code::invalid, bad_ + ": cannot be read"};
  }
  if (pool_.text.empty() || state_.text.empty()) {
    return Error{Code::gone, "it has no state yet"};
  }
  const Result<PoolLine> pool = parsed<PoolLine>(pool_.text, pool_.where);
  if (!pool) {
    return pool.error();
  }
  const Result<pool::PoolSpec> then = spec_of(*pool, pool_.where, pool_id, spec);
  if (!then) {
    return then.error();
  }
  Result<StateLine> state = parsed<StateLine>(state_.text, state_.where);
  if (!state) {
    return state.error();
  }
  if (state->pool != pool_id) {
    return foreign(state_.where, state->pool);
  }
  bool same_boot = false;
  for (const Line& line : ticks_) {
    const Result<TickLine> tick = parsed<TickLine>(line.text, line.where);
    if (!tick) {
      return tick.error();
    }
    if (tick->pool != pool_id) {
      return foreign(line.where, tick->pool);
    }
    state->state = decide(*then, state->state, tick->seen).next;
    const std::optional<WallTime> at = parse_wall(tick->at);
    const std::int64_t then_ms = tick->seen.at_ms;
    same_boot = at && then_ms <= now.at_ms &&
                std::abs((now.wall - *at) / std::chrono::milliseconds{1} - (now.at_ms - then_ms)) <= same_boot_ms;
  }
  ControlState out{.fresh = true};
  out.lag = state->state.lag;
  if (!out.lag.empty() && !same_boot) {
    forget_times(out.lag);
  }
  return out;
}

}  // namespace sluice::control
