// SPDX-License-Identifier: Apache-2.0
#include "control/start_table.h"

#include <algorithm>

namespace sluice::control {
namespace {

using model::WorkerState;

constexpr std::size_t window_size = 10;  // design: the last 10 ended workers

bool has_started(WorkerState state) {
  return state == WorkerState::ready || state == WorkerState::busy || state == WorkerState::idle ||
         state == WorkerState::draining;
}

bool is_starting(WorkerState state) {
  return state == WorkerState::requested || state == WorkerState::unscheduled || state == WorkerState::starting;
}

}  // namespace

bool StartTable::overdue(const model::Worker& worker, Time now) const {
  return is_starting(worker.state) && now - worker.created_at > start_deadline_;
}

void StartTable::started(Start& start, Time at) {
  if (start.started) {
    return;
  }
  start.started = true;
  failed_in_a_row_ = 0;
  last_ready_ = std::max(last_ready_.value_or(at), at);
}

void StartTable::failed_start(Start& start, const std::string& why) {
  if (start.failed || start.started) {
    return;
  }
  start.failed = true;
  ++failed_in_a_row_;
  why_ = why;
}

void StartTable::update(const model::FleetView& view, Time now) {
  ++look_;
  for (const model::EndedWorker& end : view.ended) {
    const auto [counted, first] = ended_.try_emplace(end.id);
    counted->second = look_;
    if (!first) {
      continue;
    }
    Start& start = live_[end.id];
    if (end.started) {
      started(start, end.ended_at);
    } else {
      failed_start(start, end.why);
    }
    if (end.kind == model::EndKind::failed && !end.why.empty()) {
      why_ = end.why;
    }
    window_.push_back(end.kind == model::EndKind::failed);
    if (window_.size() > window_size) {
      window_.erase(window_.begin());
    }
    live_.erase(end.id);
  }
  for (const model::Worker& worker : view.workers) {
    Start& start = live_[worker.id];
    start.look = look_;
    last_asked_ = std::max(last_asked_.value_or(worker.created_at), worker.created_at);
    if (has_started(worker.state)) {
      started(start, worker.state == WorkerState::ready ? worker.since : view.observed_at);
    } else if (worker.state == WorkerState::failing || overdue(worker, now)) {
      failed_start(start, worker.why.empty() ? "not started within workers.startDeadline" : worker.why);
    }
  }
  std::erase_if(live_, [this](const auto& entry) { return entry.second.look != look_; });
  std::erase_if(ended_, [this](const auto& entry) { return entry.second != look_; });
}

model::SeenStarts StartTable::seen(Time now) const {
  model::SeenStarts out;
  if (last_asked_) {
    out.last_ms_ago = std::max<std::int64_t>(0, to_ms(now - *last_asked_));
  }
  if (last_ready_) {
    out.ready_ms_ago = std::max<std::int64_t>(0, to_ms(now - *last_ready_));
  }
  out.failed_in_a_row = failed_in_a_row_;
  out.ended = static_cast<std::int64_t>(window_.size());
  out.failed = std::ranges::count(window_, true);
  out.why = why_;
  return out;
}

}  // namespace sluice::control
