// SPDX-License-Identifier: Apache-2.0
#include "sim/bugs.h"

#include <algorithm>
#include <csignal>
#include <map>
#include <utility>

namespace sluice::sim {
namespace {

using aio::Deadline;
using aio::Task;
using queue::Cause;
using queue::Delivery;
using queue::Tag;

class BuggyFleet final : public fleet::Fleet {
 public:
  BuggyFleet(Bug bug, fleet::Fleet& inner, fleet::MemoryFleet& truth) : bug_(bug), inner_(inner), truth_(truth) {}

  Task<Result<model::FleetView>> view(Deadline deadline) override {
    if (bug_ == Bug::kills_on_restart && !std::exchange(looked_, true)) {
      for (const model::Worker& worker : truth_.truth().workers) {
        truth_.crash(worker.slot, SIGKILL, 0);
      }
    }
    Result<model::FleetView> out = co_await inner_.view(deadline);
    if (bug_ == Bug::list_error_is_empty && !out) {
      model::FleetView empty;
      empty.observed_at = Time::max() - std::chrono::hours{1};
      for (const model::Worker& worker : truth_.truth().workers) {
        empty.free_slots.push_back(worker.slot);
      }
      co_return empty;
    }
    co_return out;
  }
  Task<Result<void>> start(int slot, bool stays, Deadline deadline) override {
    Result<void> out = co_await inner_.start(slot, stays, deadline);
    if (bug_ == Bug::starts_again_elsewhere && !out) {
      const std::vector<int> free = truth_.truth().free_slots;
      if (!free.empty()) {
        out = co_await inner_.start(free.front(), stays, deadline);
      }
    }
    co_return out;
  }
  Task<Result<void>> withdraw(int slot, std::string id, Deadline deadline) override {
    Result<void> out = co_await inner_.withdraw(slot, std::move(id), deadline);
    co_return out;
  }
  Task<Result<void>> drain(int slot, std::string id, Deadline deadline) override {
    Result<void> out = co_await inner_.drain(slot, std::move(id), deadline);
    co_return out;
  }

 private:
  Bug bug_;
  fleet::Fleet& inner_;
  fleet::MemoryFleet& truth_;
  bool looked_ = false;
};

class BuggySource final : public queue::BacklogSource {
 public:
  BuggySource(Bug bug, queue::BacklogSource& inner) : bug_(bug), inner_(inner) {}

  Task<Result<model::Sample>> sample(Deadline deadline) override {
    Result<model::Sample> out = co_await inner_.sample(deadline);
    if (bug_ != Bug::absent_is_zero) {
      co_return out;
    }
    model::Sample sample = out.value_or(model::Sample{});
    const Time at = sample.total ? sample.total->observed_at : last_;
    last_ = at;
    sample.ready = sample.ready.value_or(model::Reading{0, at});
    sample.in_flight = sample.in_flight.value_or(model::Reading{0, at});
    co_return sample;
  }

 private:
  Bug bug_;
  queue::BacklogSource& inner_;
  Time last_{std::chrono::hours{1}};
};

class BuggyReceiver final : public queue::Receiver {
 public:
  BuggyReceiver(Bug bug, queue::Receiver& inner, const bool& draining)
      : bug_(bug), inner_(inner), draining_(draining) {}

  Task<Result<void>> open(Deadline deadline) override {
    Result<void> out = co_await inner_.open(deadline);
    co_return out;
  }
  Task<Result<std::vector<Delivery>>> receive(std::size_t max, Deadline deadline) override {
    if (cancelled_) {
      co_return std::vector<Delivery>{};  // exit_without_cancel: nobody asks for what arrived late
    }
    Result<std::vector<Delivery>> out = co_await inner_.receive(max, deadline);
    for (Delivery& delivery : out ? *out : no_deliveries_) {
      if (bug_ == Bug::suspect_hidden && delivery.cause == Cause::crash) {
        delivery.cause = Cause::retried;
      }
    }
    co_return out;
  }
  Task<Result<void>> begin(Tag tag, Deadline deadline) override {
    Result<void> out = co_await inner_.begin(tag, deadline);
    if (bug_ == Bug::ack_before_handler && out) {
      const Result<void> acked = co_await inner_.ack(tag, deadline);
      acked_[tag] = acked.has_value();
    }
    co_return out;
  }
  void finished(Tag tag) override { inner_.finished(tag); }
  Task<Result<void>> ack(Tag tag, Deadline deadline) override {
    if (acked_[tag]) {
      co_return Result<void>{};
    }
    Result<void> out = co_await inner_.ack(tag, deadline);
    co_return out;
  }
  Task<Result<void>> retry(Tag tag, Duration delay, Cause cause, std::string why, Deadline deadline) override {
    if (bug_ == Bug::failure_is_success) {
      Result<void> out = co_await inner_.ack(tag, deadline);
      co_return out;
    }
    const Duration real = bug_ == Bug::retry_without_delay ? Duration{0} : delay;
    Result<void> out = co_await inner_.retry(tag, real, cause, std::move(why), deadline);
    co_return out;
  }
  Task<Result<void>> requeue(Tag tag, Deadline deadline) override {
    if (bug_ == Bug::requeue_counts) {
      std::string why = "requeued";
      Result<void> out = co_await inner_.retry(tag, Duration{0}, Cause::retried, std::move(why), deadline);
      co_return out;
    }
    Result<void> out = co_await inner_.requeue(tag, deadline);
    co_return out;
  }
  Task<Result<void>> dead_letter(Tag tag, Cause cause, std::string why, Deadline deadline) override {
    if (bug_ == Bug::dead_letter_drops) {
      Result<void> out = co_await inner_.ack(tag, deadline);
      co_return out;
    }
    Result<void> out = co_await inner_.dead_letter(tag, cause, std::move(why), deadline);
    co_return out;
  }
  Task<Result<void>> extend(Tag tag, Deadline deadline) override {
    if (bug_ == Bug::no_heartbeat || (bug_ == Bug::heartbeat_stops_at_drain && draining_)) {
      co_return Result<void>{};
    }
    Result<void> out = co_await inner_.extend(tag, deadline);
    co_return out;
  }
  Task<Result<void>> cancel(Deadline deadline) override {
    if (bug_ == Bug::exit_without_cancel) {
      // Takes one more, as a prefetching client would, and forgets it.
      const Result<std::vector<Delivery>> late =
          co_await inner_.receive(1, deadline.earlier(Deadline{late_until(deadline)}));
      cancelled_ = true;
      forgot_ = late && !late->empty();
      co_return Result<void>{};
    }
    Result<void> out = co_await inner_.cancel(deadline);
    co_return out;
  }
  Task<Result<void>> close(Deadline deadline) override {
    if (forgot_) {
      co_return Result<void>{};
    }
    Result<void> out = co_await inner_.close(deadline);
    co_return out;
  }

 private:
  // A second before the deadline's worst: long enough for a message published just now.
  static Time late_until(Deadline deadline) { return deadline.at - std::chrono::seconds{29}; }

  Bug bug_;
  queue::Receiver& inner_;
  const bool& draining_;
  std::map<Tag, bool> acked_;
  std::vector<Delivery> no_deliveries_;
  bool cancelled_ = false;
  bool forgot_ = false;
};

std::int64_t& count(model::Observation& seen, model::WorkerState state) {
  return seen.workers[static_cast<std::size_t>(state)];
}

}  // namespace

std::string_view word(Bug bug) {
  static constexpr std::array<std::string_view, bugs_count> words = {"none",
                                                                     "list_error_is_empty",
                                                                     "absent_is_zero",
                                                                     "stale_reading_trusted",
                                                                     "ignores_starting",
                                                                     "underflow_of_max",
                                                                     "kills_on_restart",
                                                                     "starts_again_elsewhere",
                                                                     "ack_before_handler",
                                                                     "failure_is_success",
                                                                     "exit_without_cancel",
                                                                     "retry_without_delay",
                                                                     "no_heartbeat",
                                                                     "heartbeat_stops_at_drain",
                                                                     "suspect_hidden",
                                                                     "requeue_counts",
                                                                     "dead_letter_drops",
                                                                     "resend_with_new_id"};
  return words[static_cast<std::size_t>(bug)];
}

std::unique_ptr<fleet::Fleet> with_bug(Bug bug, fleet::Fleet& inner, fleet::MemoryFleet& truth) {
  return std::make_unique<BuggyFleet>(bug, inner, truth);
}

std::unique_ptr<queue::BacklogSource> with_bug(Bug bug, queue::BacklogSource& inner) {
  return std::make_unique<BuggySource>(bug, inner);
}

std::unique_ptr<queue::Receiver> with_bug(Bug bug, queue::Receiver& inner, const bool& draining) {
  return std::make_unique<BuggyReceiver>(bug, inner, draining);
}

std::function<control::Step(const pool::PoolSpec&, const control::ControlState&, const model::Observation&)>
decide_with_bug(Bug bug) {
  return [bug](const pool::PoolSpec& spec, const control::ControlState& state, const model::Observation& seen) {
    model::Observation wrong = seen;
    pool::PoolSpec other = spec;
    if (bug == Bug::ignores_starting) {
      count(wrong, model::WorkerState::busy) += wrong.not_started();
      for (const auto waiting : {model::WorkerState::requested, model::WorkerState::unscheduled,
                                 model::WorkerState::starting, model::WorkerState::suspended}) {
        count(wrong, waiting) = 0;
      }
    }
    if (bug == Bug::stale_reading_trusted && wrong.queue.ready) {
      wrong.queue.ready->age_ms = -1;
      if (wrong.fleet.error == "the view is older than the last start") {
        wrong.fleet.error.reset();
      }
    }
    if (bug == Bug::underflow_of_max && wrong.live() >= spec.workers.max) {
      other.workers.max = 1'000'000;
      other.workers.surge = 1'000'000;
    }
    return control::decide(other, state, wrong);
  };
}

}  // namespace sluice::sim
