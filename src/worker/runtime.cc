// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace sluice::worker {

using namespace std::chrono_literals;

namespace {

// A receive is renewed at least this often, so that a broker that went away silently is noticed.
constexpr Duration receive_max = 60s;
// To stop consuming in a drain (facts P7).
constexpr Duration stop_timeout = 1s;
constexpr Backoff::Options reconnect_backoff{.base = 100ms, .cap = 10s};
// What had already arrived is there at once after a cancel; this only bounds a broker that does not say "nothing more".
constexpr Duration leftovers_timeout = 1s;
// Of the grace period, kept for settling what ran: a quarter, at most this (facts: finish until grace - 5 s).
constexpr Duration settle_share_max = 5s;

}  // namespace

std::string_view word(EndReason reason) {
  return reason == EndReason::idle ? "idle" : "sigterm";
}

Runtime::Runtime(aio::Loop& loop, aio::Clock& clock, Random& random, queue::Receiver& receiver, Handler& handler,
                 RuntimeOptions options, Observer& observer)
    : clock_(clock),
      random_(random),
      receiver_(receiver),
      handler_(handler),
      options_(std::move(options)),
      observer_(observer),
      context_{.loop = loop,
               .clock = clock,
               .random = random,
               .receiver = receiver,
               .handler = handler,
               .options = options_},
      changed_(clock),
      receive_backoff_(reconnect_backoff) {
  check(options_.concurrency >= 1, "a worker with no room for a message");
  report_.worker = options_.worker;
}

void Runtime::request_drain() {
  if (draining_) {
    return;
  }
  draining_ = true;
  begin_leaving();
}

void Runtime::request_stop_now() {
  request_drain();
  stop_now_ = true;
  finish_by_ = clock_.now();
  for (const std::shared_ptr<Job>& job : jobs_) {
    job->stop();
  }
  changed_.notify();
}

// From here on no handler starts, and the end is in sight.
void Runtime::begin_leaving() {
  if (context_.stopping) {
    return;
  }
  context_.stopping = true;
  context_.leave_by = clock_.now() + options_.grace;
  finish_by_ = context_.leave_by - std::min<Duration>(settle_share_max, options_.grace / 4);
  changed_.notify();
}

void Runtime::fail(Error error) {
  if (!failure_) {
    observer_.trouble(error.what);
    failure_ = std::move(error);
  }
  begin_leaving();
}

WorkerReport Runtime::report() const {
  WorkerReport report = report_;
  report.handling = jobs_.size();
  if (phase_ == Phase::gone) {
    report.state = WorkerState::gone;
  } else if (phase_ == Phase::leaving || context_.stopping) {
    report.state = WorkerState::draining;
  } else if (!jobs_.empty() || !suspects_.empty()) {
    report.state = WorkerState::busy;
  } else {
    report.state = report.first_claim_at ? WorkerState::idle : WorkerState::ready;
  }
  if (failure_) {
    report.reason = "error: " + failure_->what;
  } else if (draining_) {
    report.reason = word(EndReason::sigterm);
  } else if (phase_ == Phase::leaving || phase_ == Phase::gone) {
    report.reason = word(summary_.reason);
  }
  return report;
}

aio::Task<Result<Summary>> Runtime::run() {
  aio::TaskGroup all(context_.loop, clock_);
  all_ = &all;
  all.spawn(live());
  co_await all.join();
  summary_.counts = report_.counts;
  if (failure_) {
    co_return *failure_;
  }
  co_return summary_;
}

aio::Task<void> Runtime::live() {
  const Result<void> able = handler_.check();
  if (!able) {
    fail(able.error());
  } else {
    const bool opened = co_await open();
    if (opened) {
      co_await consume();
      co_await leave();
    }
    co_await close();  // also after a failed open, which may have got half way
  }
  phase_ = Phase::gone;
  if (draining_ && !failure_) {
    summary_.reason = EndReason::sigterm;
  }
}

aio::Task<bool> Runtime::open() {
  const aio::Deadline patience = clock_.in(options_.open_timeout);
  Backoff backoff(reconnect_backoff);
  while (!must_leave()) {
    const aio::Deadline deadline = clock_.in(call_timeout).earlier(patience);
    const Result<void> opened = co_await receiver_.open(deadline);
    if (opened) {
      phase_ = Phase::consuming;
      observer_.ready();
      co_return true;
    }
    const bool transient = opened.error().code == Code::retry || opened.error().code == Code::throttled;
    const Time again = clock_.now() + backoff.next(random_);
    if (!transient || patience.passed(again)) {
      fail(opened.error());
      break;
    }
    observer_.trouble(opened.error().what);
    co_await changed_.wait(aio::Deadline{again});
  }
  co_return false;
}

aio::Task<void> Runtime::consume() {
  idle_since_ = clock_.now();
  while (!must_leave() && !idle_long_enough()) {
    start_suspect();
    start_receive();
    const bool backing_off = !receiving_ && suspects_.empty() && receive_after_ > clock_.now();
    const aio::Deadline look{backing_off ? receive_after_ : Time::max()};
    co_await changed_.wait(look);
  }
}

// Only a queue that was seen empty is idle: one that cannot be read is unknown.
bool Runtime::idle_long_enough() const {
  return options_.idle_exit && looked_ && !receiving_ && jobs_.empty() && suspects_.empty() &&
         clock_.now() >= idle_since_ + *options_.idle_exit;
}

// Never past the moment at which the queue would have been idle for long enough.
aio::Deadline Runtime::receive_until() const {
  const aio::Deadline until = clock_.in(receive_max);
  if (!options_.idle_exit) {
    return until;
  }
  const Time since = jobs_.empty() ? idle_since_ : clock_.now();
  return until.earlier(aio::Deadline{since + *options_.idle_exit});
}

void Runtime::start_receive() {
  const bool room = jobs_.size() < options_.concurrency && suspects_.empty() && !alone_;
  if (receiving_ || !room || clock_.now() < receive_after_) {
    return;
  }
  receiving_ = true;
  all_->spawn(receive_scope(options_.concurrency - jobs_.size(), receive_until()));
}

// In a group of its own, so that a drain can cut the wait short without touching anything else.
aio::Task<void> Runtime::receive_scope(std::size_t max, aio::Deadline until) {
  if (!context_.stopping) {
    aio::TaskGroup group(context_.loop, clock_);
    const auto forget = [](aio::TaskGroup** slot) { *slot = nullptr; };
    receive_group_ = &group;
    const std::unique_ptr<aio::TaskGroup*, decltype(forget)> scope(&receive_group_, forget);
    group.spawn(receive_once(max, until));
    co_await group.join();
  }
  receiving_ = false;
  changed_.notify();
}

aio::Task<void> Runtime::receive_once(std::size_t max, aio::Deadline until) {
  Result<std::vector<queue::Delivery>> batch = co_await receiver_.receive(max, until);
  if (!batch) {
    receive_failed(batch.error());
    co_return;
  }
  receive_backoff_.reset();
  failing_since_.reset();
  looked_ = looked_ || batch->empty();
  accept(std::move(*batch));
}

void Runtime::receive_failed(const Error& error) {
  const Time now = clock_.now();
  idle_since_ = now;
  looked_ = false;
  failing_since_ = failing_since_.value_or(now);
  if (error.code == Code::invalid || now - *failing_since_ >= options_.patience) {
    fail(error);
    return;
  }
  observer_.trouble(error.what);
  receive_after_ = now + receive_backoff_.next(random_);
}

void Runtime::accept(std::vector<queue::Delivery> batch) {
  if (batch.empty()) {
    return;
  }
  const Time now = clock_.now();
  if (!report_.first_claim_at) {
    report_.first_claim_at = clock_.wall();
  }
  std::vector<std::shared_ptr<Job>> harmless;
  for (queue::Delivery& delivery : batch) {
    if (delivery.waited && !delivery.redelivered()) {
      report_.wait.add(*delivery.waited);
    }
    const auto job = std::make_shared<Job>(context_, std::move(delivery), now);
    if (options_.lease) {
      all_->spawn(lease(job));
    }
    if (context_.stopping) {
      start(job, false);
    } else if (job->hopeless()) {
      start(job, true);
    } else if (job->suspect()) {
      suspects_.push_back(job);
    } else {
      harmless.push_back(job);
    }
  }
  for (const std::shared_ptr<Job>& job : harmless) {
    start(job, suspects_.empty());
  }
}

void Runtime::start(std::shared_ptr<Job> job, bool handle) {
  jobs_.push_back(job);
  all_->spawn(work(std::move(job), handle));
}

aio::Task<void> Runtime::work(std::shared_ptr<Job> job, bool handle) {
  JobEnd end;
  if (alone_ && handle && receiver_.counts_what_it_holds()) {
    handle = co_await leave_alone(job->delivery().tag);
  }
  if (handle) {
    end = co_await job->run();
  } else {
    end = co_await job->give_back();
  }
  job->over();
  std::erase(jobs_, job);
  alone_ = alone_ && !jobs_.empty();
  record(*job, end);
  if (end.worker_failed) {
    fail(Error{Code::invalid, *end.worker_failed});
  }
  changed_.notify();
}

aio::Task<void> Runtime::lease(std::shared_ptr<Job> job) {
  co_await job->keep_lease();
}

void Runtime::record(const Job& job, const JobEnd& end) {
  idle_since_ = clock_.now();
  looked_ = false;
  if (end.work) {
    report_.work.add(*end.work);
  }
  const queue::Delivery& delivery = job.delivery();
  switch (end.fate) {
    case Fate::done:
      ++report_.counts.done;
      break;
    case Fate::retry:
      ++report_.counts.retried;
      break;
    case Fate::failed:
      ++report_.counts.failed;
      break;
    case Fate::dead_lettered:
      ++report_.counts.dead_lettered;
      break;
    case Fate::requeued:
      ++report_.counts.requeued;
      break;
    case Fate::lost:
      ++summary_.lost;
      observer_.trouble("message " + delivery.message.id + " was taken from this worker: " + end.why);
      return;
    case Fate::unknown:
      ++summary_.unknown;
      observer_.trouble("message " + delivery.message.id + " may come back, the broker did not confirm: " + end.why);
      return;
  }
  // What was given up without another run has had its last attempt already.
  const bool ran = end.work || end.fate != Fate::dead_lettered;
  observer_.settled(Settled{.id = delivery.message.id,
                            .attempt = ran ? job.attempt() : std::max(1U, delivery.attempts),
                            .fate = end.fate,
                            .cause = delivery.cause,
                            .wait = delivery.waited,
                            .work = end.work.value_or(Duration{0}),
                            .why = end.why});
}

aio::Task<void> Runtime::leave() {
  phase_ = Phase::leaving;
  if (receive_group_ != nullptr) {
    receive_group_->cancel();
  }
  while (receiving_) {
    co_await changed_.wait(aio::Deadline{});
  }
  const bool cancelled = co_await cancel_consumer();
  if (cancelled) {
    co_await take_leftovers();
  }
  co_await settle_all();
}

aio::Task<bool> Runtime::cancel_consumer() {
  const Duration timeout = context_.stopping ? stop_timeout : call_timeout;
  const aio::Deadline deadline = clock_.in(timeout);
  const Result<void> cancelled = co_await receiver_.cancel(deadline);
  if (!cancelled) {
    // Still consuming, perhaps: what is handed back would come again at once, for ever. What it may still have sent is
    // requeued by close().
    observer_.trouble(cancelled.error().what);
  }
  co_return cancelled.has_value();
}

// What arrived between the last look and the end of consuming is handled like everything else, or requeued in a drain.
aio::Task<void> Runtime::take_leftovers() {
  while (true) {
    const bool room = must_leave() || (jobs_.size() < options_.concurrency && suspects_.empty() && !alone_);
    if (!room) {
      start_suspect();
      co_await changed_.wait(aio::Deadline{});
      continue;
    }
    const std::size_t max = must_leave() ? options_.concurrency : options_.concurrency - jobs_.size();
    const aio::Deadline deadline =
        clock_.in(leftovers_timeout).earlier(aio::Deadline{std::max(finish_by_, clock_.now())});
    Result<std::vector<queue::Delivery>> batch = co_await receiver_.receive(max, deadline);
    if (!batch) {
      observer_.trouble(batch.error().what);
      co_return;
    }
    if (batch->empty()) {
      co_return;
    }
    accept(std::move(*batch));
  }
}

aio::Task<void> Runtime::settle_all() {
  while (!jobs_.empty() || !suspects_.empty()) {
    if (context_.stopping) {
      return_suspects();
    } else {
      start_suspect();
    }
    if (context_.stopping && clock_.now() >= finish_by_) {
      for (const std::shared_ptr<Job>& job : jobs_) {
        job->stop();
      }
    }
    const bool wait_for_grace = context_.stopping && clock_.now() < finish_by_;
    const aio::Deadline look{wait_for_grace ? finish_by_ : Time::max()};
    co_await changed_.wait(look);
  }
}

aio::Task<void> Runtime::close() {
  Backoff backoff(reconnect_backoff);
  const aio::Deadline patience = clock_.in(call_timeout);
  while (true) {
    const Result<void> closed = co_await receiver_.close(patience);
    if (closed) {
      co_return;
    }
    const Time again = clock_.now() + backoff.next(random_);
    if (patience.passed(again)) {
      fail(closed.error().in("leaving the queue"));
      co_return;
    }
    co_await clock_.sleep_until(again);
  }
}

}  // namespace sluice::worker
