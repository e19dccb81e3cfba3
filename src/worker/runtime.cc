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
// Each try costs the broker a channel and a line in its log.
constexpr Backoff::Options refused_backoff{.base = 1s, .cap = 20s};
// After trouble, how soon a receive that brings nothing says that all is well again.
constexpr Duration settled_after = 1s;
// A broker that comes and goes faster than this meets growing pauses.
constexpr Duration steady_after = 10s;
// Reasons that are told in one outage: more are the same in other words.
constexpr std::size_t told_max = 8;
// Of the grace period, kept for settling what ran: a quarter, at most this (facts: finish until grace - 5 s).
constexpr Duration settle_share_max = 5s;

// Nothing but its absence speaks against it.
bool away(const Error& error) {
  return error.code == Code::retry || error.code == Code::throttled;
}

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
      receive_due_(clock),
      away_backoff_(away_backoff),
      refused_backoff_(refused_backoff),
      done_changed_(clock) {
  check(options_.concurrency >= 1, "a worker with no room for a message");
  report_.worker = options_.worker;
}

void Runtime::request_drain() {
  if (draining_ && !resting_) {
    return;
  }
  draining_ = true;
  begin_leaving();
}

void Runtime::request_rest() {
  if (draining_ || context_.stopping) {
    return;
  }
  draining_ = resting_ = context_.stopping = true;
  changed_.notify();
}

void Runtime::request_stop_now() {
  request_drain();
  stop_now_ = true;
  finish_by_ = clock_.now();
  stop_all();
  changed_.notify();
}

// From here on no handler starts, and the end is in sight.
void Runtime::begin_leaving() {
  if (std::exchange(resting_, false)) {
    context_.stopping = false;  // from now on there is a limit
  }
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
  receiver_.on_lost([this](queue::Tag tag, const Error& why) {
    for (const std::shared_ptr<Job>& job : std::vector(jobs_)) {
      if (job->delivery().tag == tag) {
        job->lose(why.what);
        end_handler(job);
      }
    }
  });
  const auto deaf = [](queue::Receiver* receiver) { receiver->on_lost([](queue::Tag, const Error&) {}); };
  const std::unique_ptr<queue::Receiver, decltype(deaf)> told(&receiver_, deaf);  // the receiver may outlive this
  all.spawn(live());
  co_await all.join();
  while (resting_) {
    co_await changed_.wait(aio::Deadline{});
  }
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
  done_changed_.notify();
  if (draining_ && !failure_) {
    summary_.reason = EndReason::sigterm;
  }
}

aio::Task<bool> Runtime::open() {
  while (!must_leave()) {
    const aio::Deadline deadline = clock_.in(call_timeout);
    const Result<void> opened = co_await receiver_.open(deadline);
    if (opened) {
      phase_ = Phase::consuming;
      context_.lease = options_.lease ? options_.lease : receiver_.lease();
      observer_.ready();
      receive_worked();
      co_return true;
    }
    if (!away(opened.error())) {
      fail(opened.error());
      break;
    }
    tell_once(opened.error());
    co_await changed_.wait(aio::Deadline{clock_.now() + away_backoff_.next(random_)});
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
  const aio::Deadline until = clock_.in(failing_since_ ? settled_after : receive_max);
  if (!options_.idle_exit) {
    return until;
  }
  const Time since = jobs_.empty() ? idle_since_ : clock_.now();
  return until.earlier(aio::Deadline{since + *options_.idle_exit});
}

bool Runtime::room() const {
  return jobs_.size() < options_.concurrency && suspects_.empty() && !alone_;
}

void Runtime::start_receive() {
  if (receiving_ || !room() || clock_.now() < receive_after_) {
    return;
  }
  receiving_ = true;
  receive_due_.notify();
  if (!std::exchange(receive_lives_, true)) {
    all_->spawn(receive_scope());
  }
}

// In a group of its own, so that a drain can cut the wait short without touching anything else.
aio::Task<void> Runtime::receive_scope() {
  if (phase_ == Phase::consuming && !context_.stopping) {
    aio::TaskGroup group(context_.loop, clock_);
    const auto forget = [](aio::TaskGroup** slot) { *slot = nullptr; };
    receive_group_ = &group;
    const std::unique_ptr<aio::TaskGroup*, decltype(forget)> scope(&receive_group_, forget);
    group.spawn(receive_batches());
    co_await group.join();
  }
  receiving_ = receive_lives_ = false;
  changed_.notify();
}

// One task for the whole life: to make one for each batch costs more than a short message does.
aio::Task<void> Runtime::receive_batches() {
  while (true) {
    if (!receiving_) {
      co_await receive_due_.wait(aio::Deadline{});
      continue;
    }
    const aio::Deadline until = receive_until();
    Result<std::vector<queue::Delivery>> batch = co_await receiver_.receive(options_.concurrency - jobs_.size(), until);
    if (batch) {
      receive_worked();
      looked_ = looked_ || batch->empty();
    } else {
      receive_failed(batch.error());
    }
    const bool more = batch && !batch->empty();
    if (more) {
      accept(std::move(*batch));
    }
    if (!more || !room() || must_leave()) {
      receiving_ = false;
      if (!more || room() || must_leave() || !suspects_.empty()) {
        changed_.notify();  // else the end of a job is what comes next
      }
    }
  }
}

void Runtime::receive_failed(const Error& error) {
  const Time now = clock_.now();
  idle_since_ = now;
  looked_ = false;
  if (now - failed_at_ > steady_after) {
    away_backoff_.reset();
    refused_backoff_.reset();
  }
  failed_at_ = now;
  if (away(error)) {
    refused_since_.reset();
    receive_after_ = now + away_backoff_.next(random_);
  } else {
    refused_since_ = refused_since_.value_or(now);
    receive_after_ = now + refused_backoff_.next(random_);
  }
  if (error.code == Code::invalid || (refused_since_ && now - *refused_since_ >= options_.patience)) {
    fail(error);
    return;
  }
  tell_once(error);
}

void Runtime::tell_once(const Error& error) {
  failing_since_ = failing_since_.value_or(clock_.now());
  if (told_.size() < told_max && told_.insert(error.what).second) {
    observer_.trouble(error.what);
  }
}

void Runtime::receive_worked() {
  refused_since_.reset();
  told_.clear();
  if (failing_since_) {
    observer_.recovered(clock_.now() - *std::exchange(failing_since_, std::nullopt));
  }
}

}  // namespace sluice::worker
