// SPDX-License-Identifier: Apache-2.0
#pragma once
// The local queue: one file, any number of processes of one machine. At least once, in order, with delays, attempts,
// dead letters. Confirmed means synced.
//
// SQLite with a rollback journal (not WAL, which can lose commits with several connections in SQLite 3.7 to 3.51.2),
// behind one thread that gathers what the process asks for into commits. See store.h for the tables, sidecar.h for how
// the death of a worker is noticed, checked_vfs.h for how damage is.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "aio/clock.h"
#include "aio/loop.h"
#include "base/random.h"
#include "queue/backlog_source.h"
#include "queue/publisher.h"
#include "queue/receiver.h"

namespace sluice::queue::local {

class Engine;

struct LocalOptions {
  bool create = true;                                    // a missing file is made; its folder must exist
  std::size_t body_max = 16U << 20U;                     // bytes of body, headers and type together
  Duration look_every = std::chrono::milliseconds{250};  // how soon a dead worker is noticed, at the latest
  std::string vfs;                                       // for tests: SQLite's VFS under the checksums
};

struct DeadLetter {
  std::int64_t n = 0;  // grows with time; for paging
  std::string id;
  Cause cause = Cause::none;
  std::uint32_t attempts = 0;
  std::string why;
  std::string who;  // the worker that gave it up
  WallTime at;
};

class LocalQueue {
 public:
  // Finds or makes the file and checks it. An Error names the file, what is wrong and the way out: Code::invalid for
  // what is no queue file, damaged or in the wrong place, denied for rights and a full disk, gone when it is missing
  // and may not be made. `loop`, `clock` (a real one: the thread reads it) and `random` outlive the queue and what its
  // factories made.
  [[nodiscard]] static aio::Task<Result<std::unique_ptr<LocalQueue>>> open(aio::Loop& loop, aio::Clock& clock,
                                                                           Random& random, std::string path,
                                                                           LocalOptions options,
                                                                           aio::Deadline deadline);
  ~LocalQueue();

  // What these make may outlive the LocalQueue object itself.
  [[nodiscard]] std::unique_ptr<Publisher> publisher();
  // `who` names the worker in dead letters. A Receiver destroyed before close() has died.
  [[nodiscard]] std::unique_ptr<Receiver> receiver(std::string who);
  [[nodiscard]] std::unique_ptr<BacklogSource> source();

  // At most `limit` dead letters with n > after, oldest first.
  [[nodiscard]] aio::Task<Result<std::vector<DeadLetter>>> dead_letters(std::int64_t after, std::size_t limit,
                                                                        aio::Deadline deadline);

 private:
  explicit LocalQueue(std::shared_ptr<Engine> engine, LocalOptions options);
  std::shared_ptr<Engine> engine_;
  LocalOptions options_;
};

}  // namespace sluice::queue::local
