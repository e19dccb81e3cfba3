// SPDX-License-Identifier: Apache-2.0
#pragma once
// The engine's thread. Only engine*.cc includes this.
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "aio/fd.h"
#include "queue/local/engine.h"
#include "queue/local/turn.h"

namespace sluice::queue::local {

using Batch = std::vector<std::shared_ptr<Request>>;

struct Engine::Thread {
  Thread(Engine& engine, aio::Loop& loop, std::uint64_t seed);

  // Loop side.
  void submit(Batch requests);
  void watch(int change);
  void stop();

  // Thread side.
  void main();

  std::thread thread;

 private:
  void wait();
  void serve(Batch batch);
  // One transaction for all. False: nothing was settled, try again with those whose deadline is still to come.
  bool transact(Batch& batch);
  void one_transaction(Batch& batch, std::vector<DeadOwner>& dead, bool& committing);
  bool failed(Batch& batch, const SqlFailure& failure, bool committing);
  [[nodiscard]] bool never_happened(const Counters& lost);
  bool set_aside(Batch& batch, const DamagedRow& row);
  void settle(Batch& batch, Fate fate, const Error& error);
  void drop_expired(Batch& batch);
  void look();
  bool pause();  // while another process holds the file; false to give up
  void rest(Duration d);
  [[nodiscard]] std::int64_t wall_ms();
  void watch_file();
  void deliver();

  Engine& engine_;
  aio::Loop& loop_;
  aio::Clock& clock_;
  Random random_;
  StoreOptions store_options_;
  std::unique_ptr<Store> store_;
  Turn turn_;
  aio::Fd wake_;    // eventfd: the channel has something
  aio::Fd events_;  // inotify: the file changed
  Time patience_;   // the earliest deadline in the running transaction
  Time next_look_;
  Time next_reap_;
  std::optional<std::int64_t> wall_offset_ms_;  // wall minus monotonic, to notice a clock that is set back
  std::optional<std::int64_t> next_due_ms_;     // as of the last transaction
  bool shorten_ = true;                         // delays may reach too far: at the first use, and after such a jump
  Batch settled_;

  std::mutex mutex_;
  std::condition_variable stopped_;
  Batch channel_;
  int watchers_ = 0;
  bool look_now_ = false;
  bool stopping_ = false;
};

}  // namespace sluice::queue::local
