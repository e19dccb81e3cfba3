// SPDX-License-Identifier: Apache-2.0
#include "lab/seams.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace sluice::lab {
namespace {

using model::WorkerState;

// A delay without a period: readings once a second, which is as often as a second's delay can show.
constexpr Us period_of_delay = 1'000'000;

model::Durations durations(const std::array<std::int64_t, model::Durations::bounds_ms.size() + 1>& buckets,
                           std::int64_t sum_ms) {
  model::Durations out;
  std::int64_t below = 0;
  for (std::size_t i = 0; i < out.at_most.size(); ++i) {
    below += buckets[i];
    out.at_most[i] = below;
  }
  out.count = below + buckets.back();
  out.sum_ms = sum_ms;
  return out;
}

WorkerState state_of(const WorkerRow& row) {
  switch (row.stage) {
    case Stage::waiting:
      return WorkerState::unscheduled;
    case Stage::starting:
      return WorkerState::starting;
    default:
      return row.draining   ? WorkerState::draining
             : row.held > 0 ? WorkerState::busy
             : row.claimed  ? WorkerState::idle
                            : WorkerState::ready;
  }
}

}  // namespace

model::Worker LabFleet::worker(std::uint32_t slot) const {
  const WorkerRow& row = station_.workers()[slot];
  model::Worker out{.slot = static_cast<int>(slot),
                    .name = station_.name_of(slot),
                    .id = station_.id_of(slot),
                    .state = state_of(row),
                    .why = row.stage == Stage::waiting ? "no node has room" : "",
                    .since = LabClock::time_of(row.since),
                    .created_at = LabClock::time_of(row.asked_at),
                    .handling = static_cast<int>(row.held),
                    .place = row.node > 0 ? fmt::format("node {}", row.node) : "",
                    .stays_when_idle = row.stays};
  if (row.claimed) {
    out.claimed_at = LabClock::time_of(row.claimed_at);
  }
  if (row.settled > 0) {
    model::Tally tally{.done = row.settled};
    tally.work = durations(row.work, row.work_ms);
    tally.wait = durations(row.wait, row.wait_ms);
    out.tally = std::make_shared<const model::Tally>(tally);
  }
  return out;
}

model::FleetView LabFleet::look() const {
  model::FleetView out;
  const std::vector<WorkerRow>& rows = station_.workers();
  for (std::uint32_t slot = 0; slot < rows.size(); ++slot) {
    if (rows[slot].stage != Stage::off) {
      out.workers.push_back(worker(slot));
    }
  }
  for (const Ended& ended : station_.ended()) {
    out.ended.push_back(ended.worker);
    out.ended.back().ended_at = LabClock::time_of(ended.at);
  }
  out.free_slots = station_.free_slots();
  out.capacity = cluster_.capacity();
  out.observed_at = clock_.now();
  return out;
}

aio::Task<Result<model::FleetView>> LabFleet::view(aio::Deadline deadline) {
  if (deadline.passed(clock_.now())) {
    co_return Error{Code::retry, "fleet: deadline passed"};
  }
  co_return look();
}

Result<void> LabFleet::in_range(int slot) const {
  const auto slots = static_cast<int>(station_.workers().size());
  if (slot < 0 || slot >= slots) {
    return Error{Code::invalid, fmt::format("slot {}: slots are 0..{}", slot, slots - 1)};
  }
  return {};
}

Result<void> LabFleet::living(int slot, const std::string& id) const {
  if (const Result<void> good = in_range(slot); !good) {
    return good.error();
  }
  const auto number = static_cast<std::uint32_t>(slot);
  if (station_.workers()[number].stage == Stage::off || station_.id_of(number) != id) {
    return Error{Code::gone, fmt::format("{}: that worker is gone", station_.name_of(number))};
  }
  return {};
}

aio::Task<Result<void>> LabFleet::start(int slot, bool stays_when_idle, aio::Deadline deadline) {
  if (deadline.passed(clock_.now())) {
    co_return Error{Code::retry, "fleet: deadline passed"};
  }
  if (const Result<void> good = in_range(slot); !good) {
    co_return good.error();
  }
  if (const std::optional<std::string> refused = station_.start(static_cast<std::uint32_t>(slot), stays_when_idle)) {
    co_return Error{Code::throttled, *refused};
  }
  co_return Result<void>{};
}

aio::Task<Result<void>> LabFleet::withdraw(int slot, std::string id, aio::Deadline deadline) {
  if (deadline.passed(clock_.now())) {
    co_return Error{Code::retry, "fleet: deadline passed"};
  }
  if (const Result<void> there = living(slot, id); !there) {
    co_return there.error();
  }
  const auto number = static_cast<std::uint32_t>(slot);
  if (station_.workers()[number].stage != Stage::waiting) {
    co_return Error{Code::conflict, station_.name_of(number) + " has its place by now: left alone"};
  }
  station_.withdraw(number);
  co_return Result<void>{};
}

aio::Task<Result<void>> LabFleet::drain(int slot, std::string id, aio::Deadline deadline) {
  if (deadline.passed(clock_.now())) {
    co_return Error{Code::retry, "fleet: deadline passed"};
  }
  if (const Result<void> there = living(slot, id); !there) {
    co_return there.error();
  }
  const auto number = static_cast<std::uint32_t>(slot);
  const WorkerRow& row = station_.workers()[number];
  if (row.stage != Stage::running) {
    co_return Error{Code::conflict, station_.name_of(number) + " does not run yet"};
  }
  if (!row.draining) {
    station_.drain(number);
  }
  co_return Result<void>{};
}

LabSource::LabSource(Agenda& agenda, const Station& station, const Metrics& metrics, const LabClock& clock,
                     std::int64_t seed, std::uint16_t number)
    : agenda_(agenda),
      station_(station),
      metrics_(metrics),
      clock_(clock),
      random_(stream(seed, Stream::metrics, number)),
      number_(number),
      period_(metrics.period > Duration{0}  ? to_us(metrics.period)
              : metrics.delay > Duration{0} ? period_of_delay
                                            : 0) {
  if (period_ > 0) {
    agenda_.enter(0, Happens::probe, number_);
  }
  expect_restart();
}

void LabSource::expect_restart() {
  if (metrics_.resets) {
    const Us life = exponential(random_, static_cast<double>(to_us(*metrics_.resets)));
    agenda_.enter(agenda_.now() + std::max<Us>(life, 1), Happens::counters, number_);
  }
}

void LabSource::counters() {
  published_before_ = station_.measures().published;
  acked_before_ = station_.measures().done;
  expect_restart();
}

void LabSource::probe() {
  readings_.push_back(read());
  // The newest that can be seen by now stays, and all after it.
  while (readings_.size() > 1 && readings_[1].at + to_us(metrics_.delay) <= agenda_.now()) {
    readings_.pop_front();
  }
  agenda_.enter(agenda_.now() + period_, Happens::probe, number_);
}

LabSource::Reading LabSource::read() {
  Reading out{.at = agenda_.now(),
              .ready = station_.ready(),
              .in_flight = station_.in_flight(),
              .published = station_.measures().published - published_before_,
              .acked = station_.measures().done - acked_before_,
              .oldest = station_.oldest()};
  if (metrics_.noise.millionths > 0) {
    const double noisy = static_cast<double>(out.ready) * (1 + metrics_.noise.value() * normal(random_));
    out.ready = std::max<std::int64_t>(0, static_cast<std::int64_t>(std::floor(noisy + 0.5)));
  }
  out.gap = metrics_.gaps.millionths > 0 && random_.chance(metrics_.gaps.value());
  return out;
}

model::Sample LabSource::told(const Reading& reading) const {
  const Time at = LabClock::time_of(reading.at);
  const bool noisy = metrics_.noise.millionths > 0;
  model::Sample out;
  if (reading.gap) {
    out.missing = "the broker did not say how many wait";
  } else {
    if (metrics_.together) {
      out.total = model::Reading{reading.ready + reading.in_flight, at, noisy};
    } else {
      out.ready = model::Reading{reading.ready, at, noisy};
    }
    if (metrics_.age) {
      const Us age = reading.oldest ? reading.at - *reading.oldest : 0;
      out.oldest_age = model::OldestAge{to_duration(age), model::AgeKind::exact, at};
    }
  }
  if (metrics_.in_flight && !metrics_.together) {
    out.in_flight = model::Reading{reading.in_flight, at};
  }
  if (metrics_.counters) {
    out.published_n = model::Reading{reading.published, at};
    out.acked_n = model::Reading{reading.acked, at};
  }
  return out;
}

aio::Task<Result<model::Sample>> LabSource::sample(aio::Deadline deadline) {
  if (deadline.passed(clock_.now())) {
    co_return Error{Code::retry, "queue: deadline passed"};
  }
  if (metrics_.errors.millionths > 0 && random_.chance(metrics_.errors.value())) {
    co_return Error{Code::retry, fmt::format("queue {}: 503", station_.pool().name)};
  }
  if (period_ == 0) {
    co_return told(read());
  }
  const Reading* newest = nullptr;
  for (const Reading& reading : readings_) {
    newest = reading.at + to_us(metrics_.delay) <= agenda_.now() ? &reading : newest;
  }
  if (newest == nullptr) {
    co_return Error{Code::retry, fmt::format("queue {}: no reading yet", station_.pool().name)};
  }
  co_return told(*newest);
}

}  // namespace sluice::lab
