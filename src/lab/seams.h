// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the real scaler touches of a simulated world: a fleet, and a queue that is seen as well or as badly as the
// scenario says. Every call answers at once; what takes time in the world is in the readings, not in the calls.
#include <deque>

#include "fleet/fleet.h"
#include "lab/clock.h"
#include "lab/station.h"
#include "queue/backlog_source.h"

namespace sluice::lab {

class LabFleet final : public fleet::Fleet {
 public:
  LabFleet(Station& station, const Cluster& cluster, const LabClock& clock)
      : station_(station), cluster_(cluster), clock_(clock) {}
  aio::Task<Result<model::FleetView>> view(aio::Deadline deadline) override;
  aio::Task<Result<void>> start(int slot, bool stays_when_idle, aio::Deadline deadline) override;
  aio::Task<Result<void>> withdraw(int slot, std::string id, aio::Deadline deadline) override;
  aio::Task<Result<void>> drain(int slot, std::string id, aio::Deadline deadline) override;

 private:
  [[nodiscard]] Result<void> living(int slot, const std::string& id) const;
  [[nodiscard]] Result<void> in_range(int slot) const;
  [[nodiscard]] model::FleetView look() const;
  [[nodiscard]] model::Worker worker(std::uint32_t slot) const;

  Station& station_;
  const Cluster& cluster_;
  const LabClock& clock_;
};

class LabSource final : public queue::BacklogSource {
 public:
  LabSource(Agenda& agenda, const Station& station, const Metrics& metrics, const LabClock& clock, std::int64_t seed,
            std::uint16_t number);
  aio::Task<Result<model::Sample>> sample(aio::Deadline deadline) override;

  void probe();     // Happens::probe
  void counters();  // Happens::counters

 private:
  struct Reading {
    Us at = 0;
    std::int64_t ready = 0, in_flight = 0, published = 0, acked = 0;
    std::optional<Us> oldest;
    bool gap = false;
  };
  [[nodiscard]] Reading read();
  [[nodiscard]] model::Sample told(const Reading& reading) const;
  void expect_restart();

  Agenda& agenda_;
  const Station& station_;
  const Metrics& metrics_;
  const LabClock& clock_;
  Random random_;
  std::uint16_t number_;
  Us period_;  // 0: as it is at every look
  std::deque<Reading> readings_;
  std::int64_t published_before_ = 0, acked_before_ = 0;  // the last restart
};

}  // namespace sluice::lab
