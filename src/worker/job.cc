// SPDX-License-Identifier: Apache-2.0
#include "worker/job.h"

#include <algorithm>
#include <boost/system/system_error.hpp>
#include <utility>

#include "base/check.h"

namespace sluice::worker {

using namespace std::chrono_literals;

namespace {

constexpr Backoff::Options call_backoff{.base = 50ms, .cap = 2s};

bool is_cancellation(const boost::system::system_error& e) {
  return e.code() == boost::system::errc::operation_canceled;
}

}  // namespace

std::string_view word(Fate fate) {
  switch (fate) {
    case Fate::done:
      return "done";
    case Fate::retry:
      return "retry";
    case Fate::failed:
      return "failed";
    case Fate::dead_lettered:
      return "dead_lettered";
    case Fate::requeued:
      return "requeued";
    case Fate::lost:
      return "lost";
    case Fate::unknown:
      return "unknown";
  }
  return "unknown";
}

Job::Job(JobContext& context, queue::Delivery delivery, Time received)
    : context_(context),
      kept_(std::make_shared<const queue::Delivery>(std::move(delivery))),
      delivery_(*kept_),
      over_event_(context.clock) {
  if (context_.lease) {
    lease_until_ = received + *context_.lease * 9 / 10;
  }
}

bool Job::suspect() const {
  switch (delivery_.cause) {
    case queue::Cause::crash:
    case queue::Cause::lost_lease:
      return true;
    // A suspect that was handed back before its turn came is still one.
    case queue::Cause::requeued:
      return delivery_.attempts > 0;
    default:
      return false;
  }
}

bool Job::hopeless() const {
  // After "ack unknown" the handler had succeeded: it is run again, and fails on its own account if at all.
  const bool used_up = delivery_.attempts >= context_.options.dead_letter_after &&
                       delivery_.cause != queue::Cause::ack_unknown && delivery_.cause != queue::Cause::none;
  return used_up || too_large();
}

bool Job::too_large() const {
  const bool not_kept = delivery_.cause == queue::Cause::too_large && delivery_.message.body.empty();
  return not_kept || delivery_.message.body.size() > context_.options.body_max;
}

bool Job::ours() const {
  return !lost_ && context_.clock.now() < lease_until_;
}

void Job::lose(std::string why) {
  lost_ = true;
  lost_why_ = std::move(why);
  if (handler_group_ != nullptr) {
    handler_group_->cancel();
  }
}

void Job::stop() {
  stop_ = true;
  if (handler_group_ != nullptr) {
    handler_group_->cancel();
  }
}

void Job::over() {
  over_ = true;
  over_event_.notify();
}

aio::Task<void> Job::keep_lease() {
  if (!context_.lease) {
    co_return;
  }
  const Duration lease = *context_.lease;
  const Duration period = lease / 3;
  Duration wait = period;
  while (!over_) {
    const aio::Deadline next = context_.clock.in(wait);
    const aio::Wake why = co_await over_event_.wait(next.earlier(aio::Deadline{lease_until_}));
    if (why == aio::Wake::ready) {
      continue;
    }
    const Time sent = context_.clock.now();
    if (sent >= lease_until_) {
      co_return lose("the lease was lost");
    }
    // The new lease counts from when it was asked for: the broker cannot have begun it earlier.
    const aio::Deadline deadline = aio::Deadline{sent + period}.earlier(aio::Deadline{lease_until_});
    const Result<void> extended = co_await context_.receiver.extend(delivery_.tag, deadline);
    if (over_) {
      co_return;
    }
    if (extended) {
      lease_until_ = sent + lease;
    } else if (extended.error().code == Code::gone) {
      co_return lose("the lease was lost");
    }
    wait = extended ? period : std::min<Duration>(period / 4, 1s);
  }
}

aio::Task<JobEnd> Job::give_back() {
  const JobEnd end = co_await settle(hand_back("handed back before its handler started"));
  co_return end;
}

aio::Task<JobEnd> Job::run() {
  if (too_large()) {
    const std::size_t size = delivery_.message.body.size();
    const std::string why = size == 0 ? "the body is larger than the queue's maxBody"
                                      : "the body has " + std::to_string(size) + " bytes, more than " +
                                            std::to_string(context_.options.body_max);
    const JobEnd end = co_await settle(bury(queue::Cause::too_large, why));
    co_return end;
  }
  if (hopeless()) {
    const queue::Cause cause = delivery_.cause == queue::Cause::requeued ? queue::Cause::crash : delivery_.cause;
    const std::string why =
        std::to_string(delivery_.attempts) + " attempts, the last one ended as: " + std::string(word(cause));
    const JobEnd end = co_await settle(bury(cause, why));
    co_return end;
  }
  const std::optional<Fate> not_begun = co_await begin();
  if (not_begun && *not_begun == Fate::requeued) {
    const JobEnd end = co_await give_back();
    co_return end;
  }
  if (not_begun) {
    co_return JobEnd{
        .fate = *not_begun, .why = "no longer ours when its handler was to start", .work = {}, .worker_failed = {}};
  }
  co_await handle();
  const JobEnd end = co_await conclude();
  co_return end;
}

// A time limit and a lease need somebody who waits for them.
bool Job::run_at_once(std::move_only_function<void()> ended) {
  const RuntimeOptions& options = context_.options;
  if (options.max_runtime || context_.lease || stop_ || context_.stopping || hopeless()) {
    return false;
  }
  const std::optional<Result<void>> begun = context_.receiver.begin_at_once(delivery_.tag);
  if (!begun || !*begun) {
    return false;
  }
  started_ = context_.clock.now();
  ended_ = std::move(ended);
  run_ = context_.handler.start_at_once(kept_, attempt(), [this](Outcome outcome) {
    outcome_ = std::move(outcome);
    work_ = context_.clock.now() - started_;
    run_.reset();
    std::exchange(ended_, nullptr)();
  });
  return run_ != nullptr;
}

JobEnd Job::acknowledged() const {
  return {.fate = Fate::done, .why = {}, .work = work_, .worker_failed = {}};
}

aio::Task<JobEnd> Job::not_acknowledged(Result<void> answer) {
  JobEnd end = co_await settle(judge(), std::move(answer));
  end.work = work_;
  co_return end;
}

aio::Task<bool> Job::end_handler() {
  if (!run_) {
    co_return false;
  }
  std::optional<Outcome> outcome = co_await run_->cancel();
  run_.reset();
  outcome_ = std::move(outcome);
  work_ = context_.clock.now() - started_;
  co_return true;
}

aio::Task<JobEnd> Job::conclude() {
  Verdict verdict = judge();
  if (verdict.fate == Fate::done) {
    context_.receiver.finished(delivery_.tag);
  }
  JobEnd end = co_await settle(std::move(verdict));
  end.work = work_;
  if (outcome_ && outcome_->kind == Outcome::Kind::cannot_start) {
    end.worker_failed = outcome_->why;
  }
  co_return end;
}

// Empty: begun. Fate::requeued: not begun, to be handed back.
aio::Task<std::optional<Fate>> Job::begin() {
  const aio::Deadline deadline = context_.clock.in(context_.options.settle_timeout);
  Backoff backoff(call_backoff);
  while (!stop_ && !context_.stopping) {
    if (!ours()) {
      co_return Fate::lost;
    }
    const aio::Deadline call = context_.clock.in(call_timeout).earlier(deadline);
    const Result<void> begun = co_await context_.receiver.begin(delivery_.tag, call);
    if (begun && !stop_ && !context_.stopping) {
      co_return std::nullopt;
    }
    if (!begun && begun.error().code == Code::gone) {
      co_return Fate::lost;
    }
    const Time again = context_.clock.now() + backoff.next(context_.random);
    if (begun || deadline.passed(again)) {
      break;
    }
    co_await context_.clock.sleep_until(again);
  }
  co_return Fate::requeued;
}

aio::Task<void> Job::handle() {
  const Time start = context_.clock.now();
  const aio::Deadline until =
      context_.options.max_runtime ? aio::Deadline{start + *context_.options.max_runtime} : aio::Deadline{};
  aio::TaskGroup group(context_.loop, context_.clock);
  const auto forget = [](aio::TaskGroup** slot) { *slot = nullptr; };
  handler_group_ = &group;
  const std::unique_ptr<aio::TaskGroup*, decltype(forget)> scope(&handler_group_, forget);
  group.spawn(call(until));
  co_await group.join_or_cancel(until);
  work_ = context_.clock.now() - start;
}

aio::Task<void> Job::call(aio::Deadline until) {
  try {
    Outcome outcome = co_await context_.handler.handle(delivery_, attempt(), until);
    outcome_ = std::move(outcome);
  } catch (const boost::system::system_error& e) {
    if (is_cancellation(e)) {
      throw;
    }
    outcome_ = Outcome::failed(std::string("the handler threw: ") + e.what());
  } catch (const std::exception& e) {
    outcome_ = Outcome::failed(std::string("the handler threw: ") + e.what());
  }
}

// What to tell the broker, now that the handler has ended.
Job::Verdict Job::judge() const {
  if (!outcome_ && stop_) {
    return hand_back("handed back unfinished");
  }
  if (!outcome_) {
    const Duration limit = context_.options.max_runtime.value_or(Duration{0});
    return again(Fate::failed, queue::Cause::failed, "ran longer than maxRuntime " + format_duration(limit), {});
  }
  switch (outcome_->kind) {
    case Outcome::Kind::done:
      return {Verdict::Step::ack, Fate::done, queue::Cause::none, {}, {}};
    case Outcome::Kind::retry:
      return again(Fate::retry, queue::Cause::retried, outcome_->why, outcome_->delay);
    case Outcome::Kind::failed:
      return again(Fate::failed, queue::Cause::failed, outcome_->why, {});
    case Outcome::Kind::permanent:
      return bury(queue::Cause::permanent, outcome_->why);
    case Outcome::Kind::cannot_start:
      return hand_back(outcome_->why);
  }
  return hand_back({});
}

Job::Verdict Job::again(Fate fate, queue::Cause cause, const std::string& why, std::optional<Duration> delay) const {
  if (attempt() >= context_.options.dead_letter_after) {
    return bury(cause, why);
  }
  const std::vector<Duration>& delays = context_.options.retry_delays;
  const std::size_t nth = std::min<std::size_t>(delivery_.attempts, delays.empty() ? 0 : delays.size() - 1);
  const Duration usual = delays.empty() ? Duration{1s} : delays[nth];
  return {Verdict::Step::retry, fate, cause, why, delay.value_or(usual)};
}

Job::Verdict Job::bury(queue::Cause cause, std::string why) {
  return {Verdict::Step::dead_letter, Fate::dead_lettered, cause, std::move(why), {}};
}

Job::Verdict Job::hand_back(std::string why) {
  return {Verdict::Step::requeue, Fate::requeued, queue::Cause::none, std::move(why), {}};
}

// Says the verdict until the broker answers. Asking again is safe: a tag that an unheard call has settled answers gone.
aio::Task<JobEnd> Job::settle(Verdict verdict, std::optional<Result<void>> answer) {
  JobEnd end{.fate = verdict.fate, .why = verdict.why, .work = {}, .worker_failed = {}};
  const aio::Deadline patience = context_.clock.in(context_.options.settle_timeout);
  Backoff backoff(call_backoff);
  bool unheard = false;
  while (true) {
    if (!ours()) {
      end.fate = unheard ? Fate::unknown : Fate::lost;
      end.why = lost_why_;
      co_return end;
    }
    const aio::Deadline deadline = patience.earlier(aio::Deadline{context_.leave_by});
    if (!answer) {
      answer = co_await send(verdict, context_.clock.in(call_timeout).earlier(deadline));
    }
    const Result<void> sent = *std::exchange(answer, std::nullopt);
    if (sent) {
      co_return end;
    }
    end.why = sent.error().what;
    if (sent.error().code == Code::gone) {
      end.fate = unheard ? Fate::unknown : Fate::lost;
      co_return end;
    }
    unheard = true;
    const Time again = context_.clock.now() + backoff.next(context_.random);
    if (sent.error().code == Code::invalid || deadline.passed(again)) {
      end.fate = Fate::unknown;
      co_return end;
    }
    co_await context_.clock.sleep_until(again);
  }
}

aio::Task<Result<void>> Job::send(Verdict verdict, aio::Deadline deadline) {
  queue::Receiver& receiver = context_.receiver;
  const queue::Tag tag = delivery_.tag;
  switch (verdict.step) {
    case Verdict::Step::ack:
      return receiver.ack(tag, deadline);
    case Verdict::Step::requeue:
      return receiver.requeue(tag, deadline);
    case Verdict::Step::retry:
      return receiver.retry(tag, verdict.delay, verdict.cause, std::move(verdict.why), deadline);
    case Verdict::Step::dead_letter:
      return receiver.dead_letter(tag, verdict.cause, std::move(verdict.why), deadline);
  }
  return receiver.requeue(tag, deadline);
}

}  // namespace sluice::worker
