// SPDX-License-Identifier: Apache-2.0
#pragma once
// Every coroutine has an owner. A TaskGroup owns what it spawned: join() returns when all have ended, the first failure
// cancels the others and comes out of join(). A group destroyed with live tasks is a bug.
#include <cstdint>
#include <memory>

#include "aio/clock.h"
#include "aio/loop.h"
#include "aio/task.h"

namespace sluice::aio {

class TaskGroup {
 public:
  TaskGroup(Loop& loop, Clock& clock);
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Starts `task` from the loop, not inside this call. After cancel() it is dropped unstarted. What it returns names
  // the task to cancel().
  std::uint64_t spawn(Task<void> task);
  // Asks every task to unwind (operation_aborted out of its current wait, or its next one). Idempotent.
  void cancel();
  // Asks this task alone to; no effect when it has ended.
  void cancel(std::uint64_t spawned);
  // Waits until every task has ended, then rethrows the first failure; cancellation is not a failure. Cancelling the
  // caller of join() cancels the group, and join still waits for its tasks before it unwinds.
  [[nodiscard]] Task<void> join();
  // Like join, but gives up waiting at the deadline and then cancels. Two-phase stop: ask, wait, cancel.
  [[nodiscard]] Task<void> join_or_cancel(Deadline deadline);
  [[nodiscard]] std::size_t size() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace sluice::aio
