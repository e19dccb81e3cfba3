// SPDX-License-Identifier: Apache-2.0
#pragma once
// One simulated worker process: the real worker runtime with a handler that takes simulated time, and the ways it dies.
#include <memory>
#include <string>

#include "aio/task_group.h"
#include "base/random.h"
#include "fleet/memory.h"
#include "queue/memory.h"
#include "sim/bugs.h"
#include "sim/ledger.h"
#include "worker/runtime.h"

namespace sluice::sim {

struct SimWorkerContext {  // outlives the workers
  aio::Loop& loop;
  aio::Clock& clock;
  queue::MemoryBroker& broker;
  fleet::MemoryFleet& fleet;
  Ledger& ledger;
  const Plan& plan;
  Bug bug;
};

class SimWorker final : public worker::Handler, public worker::Observer {
 public:
  SimWorker(SimWorkerContext& context, fleet::Spawned spawned, std::uint64_t seed);

  // From its first instruction to its last; ends early by die().
  [[nodiscard]] aio::Task<void> live();
  // The process is gone now; nothing of it runs any more.
  void die(bool by_poison);
  void drain();
  [[nodiscard]] const std::string& id() const { return spawned_.id; }
  [[nodiscard]] int slot() const { return spawned_.slot; }
  [[nodiscard]] bool alive() const { return alive_; }
  [[nodiscard]] std::int64_t settled_count() const { return settled_; }

 private:
  aio::Task<worker::Outcome> handle(const queue::Delivery& delivery, std::uint32_t attempt,
                                    aio::Deadline max_runtime) override;
  void ready() override;
  void settled(const worker::Settled& settled) override;
  aio::Task<void> run();
  void report();

  SimWorkerContext& context_;
  fleet::Spawned spawned_;
  Random random_;
  std::unique_ptr<queue::Receiver> honest_;
  std::unique_ptr<queue::Receiver> receiver_;
  std::unique_ptr<worker::Runtime> runtime_;
  aio::TaskGroup* group_ = nullptr;
  bool alive_ = true;
  bool draining_ = false;
  int handling_ = 0;
  std::int64_t settled_ = 0;
};

}  // namespace sluice::sim
