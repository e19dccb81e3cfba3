// SPDX-License-Identifier: Apache-2.0
#include "worker/brief_handler.h"

#include <algorithm>
#include <utility>

namespace sluice::worker {

namespace {

// Chosen: a heartbeat or a signal may be late by this much, and by one function.
constexpr Duration turn_max = std::chrono::milliseconds{5};

}  // namespace

class BriefHandler::CallRun final : public Run {
 public:
  CallRun(BriefHandler& handler, std::shared_ptr<const queue::Delivery> d, std::uint32_t n,
          std::move_only_function<void(Outcome)> tell)
      : delivery(std::move(d)), attempt(n), ended(std::move(tell)), handler_(handler) {}
  ~CallRun() override { forget(); }
  CallRun(const CallRun&) = delete;
  CallRun& operator=(const CallRun&) = delete;
  aio::Task<std::optional<Outcome>> cancel() override {
    forget();
    co_return std::nullopt;
  }

  std::shared_ptr<const queue::Delivery> delivery;
  std::uint32_t attempt;
  std::move_only_function<void(Outcome)> ended;  // empty once it was run

 private:
  void forget() {
    if (std::exchange(ended, nullptr)) {
      std::ranges::replace(handler_.waiting_, this, nullptr);
    }
  }
  BriefHandler& handler_;
};

BriefHandler::BriefHandler(aio::Loop& loop, aio::Clock& clock, Function function,
                           std::function<void(std::string_view)> warn)
    : loop_(loop), clock_(clock), function_(std::move(function)), warn_(std::move(warn)) {}

aio::Task<Outcome> BriefHandler::handle(const queue::Delivery& delivery, std::uint32_t attempt, aio::Deadline) {
  Time now = clock_.now();
  co_return run_one(delivery, attempt, now);
}

std::unique_ptr<Run> BriefHandler::start_at_once(std::shared_ptr<const queue::Delivery> delivery, std::uint32_t attempt,
                                                 std::move_only_function<void(Outcome)> ended) {
  auto run = std::make_unique<CallRun>(*this, std::move(delivery), attempt, std::move(ended));
  waiting_.push_back(run.get());
  return run;
}

void BriefHandler::run_soon() {
  if (waiting_.empty() || std::exchange(posted_, true)) {
    return;
  }
  loop_.post([this, lives = std::weak_ptr<char>(lives_)] {
    if (!lives.expired()) {
      posted_ = false;
      run_some();
    }
  });
}

void BriefHandler::run_some() {
  Time now = clock_.now();
  const Time until = now + turn_max;
  while (!waiting_.empty()) {
    CallRun* const run = waiting_.front();
    waiting_.pop_front();
    if (run == nullptr) {
      continue;
    }
    const std::shared_ptr<const queue::Delivery> delivery = std::move(run->delivery);
    std::move_only_function<void(Outcome)> ended = std::exchange(run->ended, nullptr);
    Outcome outcome = run_one(*delivery, run->attempt, now);
    ended(std::move(outcome));  // after which there may be no run
    if (now >= until) {
      break;
    }
  }
  run_soon();
}

Outcome BriefHandler::run_one(const queue::Delivery& delivery, std::uint32_t attempt, Time& now) {
  Outcome outcome = call(function_, delivery, attempt, never_cancelled_);
  const Time begin = std::exchange(now, clock_.now());
  const Duration took = now - begin;
  if (took > brief_max && !std::exchange(warned_, true)) {
    warn_("a handler function that was called brief took " + format_duration(took) +
          "; meanwhile nothing else was done: without `brief` it runs on a thread of its own");
  }
  return outcome;
}

}  // namespace sluice::worker
