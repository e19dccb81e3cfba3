// SPDX-License-Identifier: Apache-2.0
#pragma once
// One pool's scaler on this machine: its locks, its fleet of processes, its queue, its journal and the control loop
// over them. `scale` runs some of these, `demo` one.
#include <csignal>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "aio/task_group.h"
#include "app/context.h"
#include "app/wiring.h"
#include "control/controller.h"
#include "control/journal_file.h"
#include "control/journal_ring.h"
#include "fleet/process/process_fleet.h"
#include "fleet/process/scaler_lock.h"

namespace sluice::app {

struct ScalerOptions {
  bool dry_run = false;                           // decides; starts nothing, writes nothing, needs no lock
  std::function<void(std::string_view)> on_line;  // each journal line
  control::JournalRing* ring = nullptr;           // keeps the latest lines, and outlives the scaler
  std::optional<Duration> queue_expires = {};     // what the queue client declares goes when unused for so long
};

// A worker process that lives now.
struct LivingWorker {
  std::string worker;
  pid_t pid = 0;  // 0: not known
  bool stays_when_idle = false;
};

class Scaler {
 public:
  // Takes the locks and looks at fleet and queue. Requires: supported(). Code::conflict: somebody else scales it.
  static aio::Task<Result<std::unique_ptr<Scaler>>> open(Context& context, LoadedPool pool, ScalerOptions options,
                                                         aio::Deadline deadline);

  // Ticks, and looks after the workers, until cancelled.
  [[nodiscard]] aio::Task<void> run();
  // No more ticks: nothing new is started, what runs is watched to its end.
  void stop_ticking();
  // Asks every worker to finish and leave, again each second, until none lives or the deadline passes; returns how many
  // do.
  [[nodiscard]] aio::Task<int> drain(aio::Deadline deadline);
  // Sends signals, in order, to every worker process.
  void signal_workers(const std::vector<int>& numbers) const;
  // Writes what the journal still holds back. Call at the end.
  void close();

  [[nodiscard]] std::vector<LivingWorker> living() const;
  [[nodiscard]] const LoadedPool& loaded() const { return pool_; }
  [[nodiscard]] std::string journal_path() const { return pool_.state + "/journal.jsonl"; }
  [[nodiscard]] control::Controller& controller() { return *controller_; }
  [[nodiscard]] fleet::process::ProcessFleet& fleet() { return *fleet_; }
  [[nodiscard]] wiring::QueueClient& queue() { return *queue_; }

 private:
  Scaler(Context& context, LoadedPool pool, ScalerOptions options);
  Result<void> lock();
  Result<void> open_fleet();
  void start_control();

  Context& context_;
  LoadedPool pool_;
  ScalerOptions options_;
  std::optional<fleet::process::ScalerLock> state_lock_;
  QueueLock queue_lock_;
  std::unique_ptr<fleet::process::ProcessFleet> fleet_;
  std::unique_ptr<wiring::QueueClient> queue_;
  std::unique_ptr<queue::BacklogSource> source_;
  std::unique_ptr<control::JournalSink> sink_;
  std::unique_ptr<control::SharedSink> shared_;
  std::unique_ptr<control::PoolSink> pool_sink_;
  std::unique_ptr<control::Journal> journal_;
  std::unique_ptr<control::Controller> controller_;
  std::function<void()> stop_ticking_;  // while run() does
  bool stopped_ = false;
};

}  // namespace sluice::app
