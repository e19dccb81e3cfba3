// SPDX-License-Identifier: Apache-2.0
#pragma once
// One simulated scaler process: the real controller, seeing the world through its own bad connection, checked at every
// tick.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "aio/event.h"
#include "aio/task_group.h"
#include "control/controller.h"
#include "fleet/faulty.h"
#include "sim/bugs.h"
#include "sim/ledger.h"

namespace sluice::sim {

struct ScalerContext {  // outlives the scalers
  aio::Loop& loop;
  aio::Clock& clock;
  Random& random;
  queue::MemoryBroker& broker;
  fleet::MemoryFleet& fleet;
  Ledger& ledger;
  const Plan& plan;
  const std::string& spec_json;
  const bool& calm;  // faults are off
  Bug bug;
};

// Journal lines, kept to be run again at the end.
class Lines final : public control::JournalSink {
 public:
  Result<void> write(std::string_view line) override {
    lines.emplace_back(line);
    return {};
  }
  bool at_start_of_file() override { return lines.empty(); }
  std::vector<std::string> lines;
};

class Scaler {
 public:
  Scaler(ScalerContext& context, std::string name);
  ~Scaler();
  // Runs until cancelled (a crash of the scaler).
  [[nodiscard]] aio::Task<void> live();
  [[nodiscard]] const std::vector<std::string>& journal() const { return lines_.lines; }
  // Counts a worker that came to be while this scaler acts.
  void worker_requested() { told_.requested_in_tick += acting_ ? 1 : 0; }

 private:
  class ToldFleet;
  class ToldSource;
  class CheckedJournal;
  fleet::Fault draw(fleet::Call call);

  ScalerContext& context_;
  Told told_;
  bool acting_ = false;
  Lines lines_;
  Log log_;
  aio::Event due_;
  std::unique_ptr<fleet::FaultyFleet> faulty_;
  std::unique_ptr<ToldFleet> told_fleet_;
  std::unique_ptr<fleet::Fleet> fleet_;
  std::unique_ptr<queue::BacklogSource> honest_source_;
  std::unique_ptr<ToldSource> told_source_;
  std::unique_ptr<queue::BacklogSource> source_;
  std::unique_ptr<control::Journal> journal_;
  std::unique_ptr<control::Controller> controller_;
};

}  // namespace sluice::sim
