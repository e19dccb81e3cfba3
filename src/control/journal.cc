// SPDX-License-Identifier: Apache-2.0
#include "control/journal.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.h"
#include "model/json.h"
#include "pool/pool.h"

namespace sluice::control {
namespace {

constexpr std::int64_t state_every = 100;     // contract: a state line at least every 100 ticks
constexpr std::int64_t fold_ms_max = 30'000;  // chosen: a reader of the file is never more than this behind

void append_names(std::string& out, const std::vector<std::string>& names) {
  out += '[';
  for (const std::string& name : names) {
    if (out.back() != '[') {
      out += ',';
    }
    model::append_json_string(out, name);
  }
  out += ']';
}

// What is not known of the queue, as far as an operator waits to hear of it.
std::string gap_of(const TickRecord& record) {
  return record.seen.queue.error.value_or("") + (record.seen.queue.in_flight ? "" : "?");
}

// Nothing was to be done; or workers were to leave, and none of them could be asked to yet, as all have work.
bool quiet(const TickRecord& record) {
  const model::Decision& decision = record.decision;
  return record.plan.empty() && (decision.change == 0 ? decision.reason.starts_with("steady:") : decision.change < 0);
}

}  // namespace

Journal::Journal(JournalSink& sink, std::string pool_id, std::string spec_json, std::string boot)
    : sink_(sink), pool_id_(std::move(pool_id)), boot_(std::move(boot)) {
  change(std::move(spec_json));
}

void Journal::change(std::string spec_json) {
  spec_json_ = std::move(spec_json);
  spec_hash_ = pool::spec_hash(spec_json_);
  pool_due_ = true;
}

bool Journal::foldable(const TickRecord& record) const {
  const model::Decision& decision = record.decision;
  return quiet_ && quiet(record) && decision.change == quiet_->change &&
         (decision.change == 0 || decision.workers == quiet_->workers) && record.before == record.after && !pool_due_ &&
         gap_of(record) == last_gap_;
}

void Journal::fold(const TickRecord& record) {
  if (!folded_) {
    folded_ = Folded{.from = record.at, .to = record.at, .since_ms = record.seen.at_ms};
  }
  folded_->to = record.at;
  ++folded_->ticks;
  if (const auto& ready = record.seen.queue.ready) {
    folded_->ready_min = std::min(folded_->ready_min.value_or(ready->n), ready->n);
    folded_->ready_max = std::max(folded_->ready_max.value_or(ready->n), ready->n);
  }
}

Result<void> Journal::flush() {
  if (!folded_) {
    return {};
  }
  const Folded folded = *folded_;
  folded_.reset();
  std::string line = fmt::format(R"({{"event":"steady","pool":"{}","from":"{}","to":"{}","ticks":{},"ready":)",
                                 json_escape(pool_id_), format_wall(folded.from), format_wall(folded.to), folded.ticks);
  line += folded.ready_min ? fmt::format(R"({{"min":{},"max":{}}}}})", *folded.ready_min, *folded.ready_max) : "null}";
  return sink_.write(line);
}

Result<void> Journal::state_line(const ControlState& state, const std::string& tick) {
  std::string line = fmt::format(R"({{"event":"state","tick":"{}","pool":"{}","state":)", tick, json_escape(pool_id_));
  append_json(line, state);
  line += '}';
  ticks_since_state_ = 0;
  return sink_.write(line);
}

Result<void> Journal::begin(const TickRecord& record) {
  const bool new_file = sink_.at_start_of_file();
  if (new_file || pool_due_) {
    const std::string line = fmt::format(R"({{"event":"pool","v":1,"at":"{}","pool":"{}","spec":{},"spec_hash":"{}"}})",
                                         format_wall(record.at), json_escape(pool_id_), spec_json_, spec_hash_);
    const Result<void> written = sink_.write(line);
    if (!written) {
      return written.error();
    }
    pool_due_ = false;
    return state_line(record.before, fmt::format("{}-{}", boot_, ticks_));
  }
  if (ticks_since_state_ >= state_every) {
    return state_line(record.before, fmt::format("{}-{}", boot_, ticks_));
  }
  return {};
}

Result<std::string> Journal::tick(const TickRecord& record) {
  std::string id = fmt::format("{}-{}", boot_, ticks_ + 1);
  if (foldable(record)) {
    ++ticks_;
    fold(record);
    if (record.seen.at_ms - folded_->since_ms >= fold_ms_max) {
      quiet_.reset();  // after the folded line one whole tick, so that a reader sees the present
    }
    return id;
  }
  for (const Result<void>& written : {flush(), begin(record)}) {
    if (!written) {
      return written.error();
    }
  }
  std::string line =
      fmt::format(R"({{"event":"tick","tick":"{}","at":"{}","at_ms":{},"pool":"{}","spec_hash":"{}","seen":)", id,
                  format_wall(record.at), record.seen.at_ms, json_escape(pool_id_), spec_hash_);
  model::append_json(line, record.seen);
  line += ",\"decision\":";
  model::append_json(line, record.decision);
  line += ",\"plan\":";
  model::append_json(line, record.plan);
  line += '}';
  sink_.remembers(record.before);
  const Result<void> written = sink_.write(line);
  if (!written) {
    return written.error();
  }
  ++ticks_;
  ++ticks_since_state_;
  quiet_ = quiet(record) ? std::optional(record.decision) : std::nullopt;
  last_gap_ = gap_of(record);
  return id;
}

Result<void> Journal::act(const std::string& tick, const ActRecord& did) {
  std::string line = fmt::format(R"({{"event":"act","tick":"{}","did":{{"started":)", tick);
  append_names(line, did.started);
  line += ",\"withdrawn\":";
  append_names(line, did.withdrawn);
  line += ",\"drained\":";
  append_names(line, did.drained);
  line += "},\"errors\":";
  append_names(line, did.errors);
  line += '}';
  return sink_.write(line);
}

}  // namespace sluice::control
