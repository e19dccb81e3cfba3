// SPDX-License-Identifier: Apache-2.0
#include "fleet/faulty.h"

#include <algorithm>
#include <utility>

namespace sluice::fleet {
namespace {

constexpr std::size_t views_kept = 16;  // chosen: older than any cache a scaler would still believe

Error lost(std::string_view what) {
  return Error{Code::retry, "fleet: " + std::string(what)};
}

}  // namespace

FaultyFleet::FaultyFleet(Fleet& inner, aio::Clock& clock, std::function<Fault(Call, int)> draw)
    : inner_(inner), clock_(clock), draw_(std::move(draw)) {}

aio::Task<Result<model::FleetView>> FaultyFleet::view(aio::Deadline deadline) {
  const Fault fault = draw_(Call::view, -1);
  const Result<void> reached = co_await before(fault, deadline);
  if (!reached) {
    co_return reached.error();
  }
  Result<model::FleetView> view = co_await inner_.view(deadline);
  if (view) {
    seen_.push_front(*view);
    seen_.resize(std::min(seen_.size(), views_kept));
    *view = seen_[std::min(fault.stale, seen_.size() - 1)];
  }
  const Result<void> answered = co_await after(fault, deadline);
  if (!answered) {
    co_return answered.error();
  }
  co_return view;
}

aio::Task<Result<void>> FaultyFleet::start(int slot, bool stays_when_idle, aio::Deadline deadline) {
  const Fault fault = draw_(Call::start, slot);
  const Result<void> reached = co_await before(fault, deadline);
  if (!reached) {
    co_return reached.error();
  }
  const Result<void> done = co_await inner_.start(slot, stays_when_idle, deadline);
  const Result<void> answered = co_await after(fault, deadline);
  if (!answered) {
    co_return answered.error();
  }
  co_return done;
}

aio::Task<Result<void>> FaultyFleet::withdraw(int slot, std::string id, aio::Deadline deadline) {
  const Fault fault = draw_(Call::withdraw, slot);
  const Result<void> reached = co_await before(fault, deadline);
  if (!reached) {
    co_return reached.error();
  }
  const Result<void> done = co_await inner_.withdraw(slot, std::move(id), deadline);
  const Result<void> answered = co_await after(fault, deadline);
  if (!answered) {
    co_return answered.error();
  }
  co_return done;
}

aio::Task<Result<void>> FaultyFleet::drain(int slot, std::string id, aio::Deadline deadline) {
  const Fault fault = draw_(Call::drain, slot);
  const Result<void> reached = co_await before(fault, deadline);
  if (!reached) {
    co_return reached.error();
  }
  const Result<void> done = co_await inner_.drain(slot, std::move(id), deadline);
  const Result<void> answered = co_await after(fault, deadline);
  if (!answered) {
    co_return answered.error();
  }
  co_return done;
}

aio::Task<Result<void>> FaultyFleet::before(Fault fault, aio::Deadline deadline) {
  const bool in_time = co_await delay(fault.delay_before, deadline);
  if (!in_time || fault.fail_before) {
    co_return lost(in_time ? "unreachable" : "deadline passed before the request arrived");
  }
  co_return Result<void>{};
}

aio::Task<Result<void>> FaultyFleet::after(Fault fault, aio::Deadline deadline) {
  const bool in_time = co_await delay(fault.delay_after, deadline);
  if (!in_time || fault.fail_after) {
    co_return lost(in_time ? "the reply was lost" : "deadline passed before the reply came");
  }
  co_return Result<void>{};
}

// Waits, but not beyond the deadline; returns whether it was long enough.
aio::Task<bool> FaultyFleet::delay(Duration by, aio::Deadline deadline) {
  if (by <= Duration{0}) {
    co_return true;
  }
  const Time until = clock_.now() + by;
  co_await clock_.sleep_until(std::min(until, deadline.at));
  co_return until < deadline.at;
}

}  // namespace sluice::fleet
