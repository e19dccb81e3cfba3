// SPDX-License-Identifier: Apache-2.0
#pragma once
// A small world for the lag policy's tests: messages first in, first out, workers that take one at a time for a
// constant while, every start the same while. What is idle and not needed leaves at once.
#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <set>
#include <vector>

#include "base/random.h"
#include "policy/lag.h"

namespace sluice::policy::testing {

struct LagSetting {
  double start_s = 60;   // of every worker
  double service_s = 2;  // of every message
  double tick_s = 5;
  LagOptions options;
};

class LagLine {
 public:
  // `arrivals`: seconds, ascending.
  LagLine(LagSetting setting, std::vector<double> arrivals) : setting_(setting), arrivals_(std::move(arrivals)) {}

  // Called before every decision; may exchange the memory.
  std::function<void(LagMemory&)> before_decision;

  // One tick: what has happened since the last one, then a decision. Returns the workers wanted.
  std::int64_t tick() {
    now_ += setting_.tick_s;
    for (; !pending_.empty() && pending_.front().ready <= now_ + 1e-9; pending_.pop_front()) {
      free_.insert(pending_.front().ready);
      last_ready_ = pending_.front().ready;
    }
    while (next_ < arrivals_.size() && arrivals_[next_] <= now_ && !free_.empty()) {
      const double begin = std::max(arrivals_[next_], *free_.begin());
      if (begin > now_) {
        break;
      }
      free_.erase(free_.begin());
      free_.insert(begin + setting_.service_s);
      late += begin - arrivals_[next_] > static_cast<double>(setting_.options.max_ms) / 1000 + 1e-6 ? 1 : 0;
      longest = std::max(longest, begin - arrivals_[next_]);
      ++next_;
    }
    if (before_decision) {
      before_decision(memory);
    }
    const LagStep step = lag(setting_.options, memory, seen());
    memory = step.next;
    last = step.proposal;
    act(step.proposal);
    worker_seconds += setting_.tick_s * static_cast<double>(free_.size() + pending_.size());
    most = std::max(most, static_cast<std::int64_t>(free_.size() + pending_.size()));
    return step.proposal.wanted;
  }
  [[nodiscard]] bool done() const { return next_ == arrivals_.size(); }
  [[nodiscard]] double now() const { return now_; }
  [[nodiscard]] std::int64_t workers() const { return static_cast<std::int64_t>(free_.size() + pending_.size()); }

  [[nodiscard]] model::Observation seen() const {
    const auto come = std::ranges::upper_bound(arrivals_, now_) - arrivals_.begin();
    const auto busy = std::ranges::distance(free_.upper_bound(now_), free_.end());
    model::Observation out;
    out.at_ms = std::llround(now_ * 1000);
    out.queue.ready = model::SeenCount{come - static_cast<std::int64_t>(next_), 0};
    out.queue.in_flight = model::SeenCount{busy, 0};
    out.queue.published_n = model::SeenCount{come, 0};
    out.queue.acked_n = model::SeenCount{static_cast<std::int64_t>(next_) - busy, 0};
    out.workers[static_cast<std::size_t>(model::WorkerState::busy)] = busy;
    out.workers[static_cast<std::size_t>(model::WorkerState::idle)] = static_cast<std::int64_t>(free_.size()) - busy;
    out.workers[static_cast<std::size_t>(model::WorkerState::unscheduled)] = static_cast<std::int64_t>(pending_.size());
    out.fleet.age_ms = 0;
    if (last_asked_ >= 0) {
      out.starts.last_ms_ago = std::llround((now_ - last_asked_) * 1000);
    }
    if (last_ready_ >= 0) {
      out.starts.ready_ms_ago = std::llround((now_ - last_ready_) * 1000);
    }
    return out;
  }

  LagMemory memory;
  Proposal last;
  std::int64_t late = 0;
  std::int64_t most = 0;
  double longest = 0;
  double worker_seconds = 0;

 private:
  struct Pending {
    double asked = 0;
    double ready = 0;
  };

  void act(const Proposal& proposal) {
    const std::int64_t have = workers();
    for (std::int64_t i = have; i < proposal.wanted; ++i) {
      pending_.push_back({now_, now_ + setting_.start_s});
      last_asked_ = now_;
    }
    for (std::int64_t spare = have - proposal.enough; spare > 0 && proposal.wanted <= have; --spare) {
      if (!pending_.empty()) {
        pending_.pop_back();
      } else if (!free_.empty() && *free_.begin() <= now_) {
        free_.erase(free_.begin());
      }
    }
  }

  LagSetting setting_;
  std::vector<double> arrivals_;
  std::size_t next_ = 0;
  double now_ = 0;
  double last_asked_ = -1;
  double last_ready_ = -1;
  std::multiset<double> free_;   // when each started worker has nothing to do
  std::deque<Pending> pending_;  // the next one first
};

// Bursts, silence, steady streams and batches, as they come.
inline std::vector<double> any_arrivals(Random& random, double until_s) {
  std::vector<double> out;
  double t = 0;
  const auto uniform = [&](double least, double most) {
    return least + (most - least) * static_cast<double>(random.below(1'000'001)) / 1e6;
  };
  while (t < until_s) {
    const std::uint64_t kind = random.below(4);
    const double length = uniform(5, 400);
    if (kind == 0) {
      t += length;  // silence
    } else if (kind == 1) {
      const std::uint64_t batch = 1 + random.below(300);
      out.insert(out.end(), batch, t);
      t += uniform(0, 60);
    } else {
      const double rate = std::pow(10.0, uniform(-2, 1));
      const double end = std::min(until_s, t + length);
      while (t < end) {
        out.push_back(t);
        t += kind == 2 ? 1 / rate : -std::log(1 - uniform(0, 0.999999)) / rate;
      }
    }
  }
  return out;
}

}  // namespace sluice::policy::testing
