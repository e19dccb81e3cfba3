// SPDX-License-Identifier: Apache-2.0
#pragma once
// The process's one event loop. One thread runs it; everything but post() belongs to that thread.
#include <functional>
#include <memory>

#include "aio/task.h"

namespace boost::asio {
class io_context;
}

namespace sluice::aio {

class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs `main` to its end on this thread, waiting for real I/O and real timers. Rethrows what `main` throws.
  void run(Task<void> main);

  // Starts `main` without running the loop. `done` is called on the loop with what it threw, or null.
  void start(Task<void> main, std::function<void(std::exception_ptr)> done);

  // Runs what is ready and returns, without waiting: the step of a simulation. Returns how many handlers ran.
  std::size_t poll();

  // Queues `work` to run on the loop. The only member that any thread may call.
  void post(std::move_only_function<void()> work);

  // For aio's own files.
  [[nodiscard]] boost::asio::io_context& context() { return *context_; }

 private:
  std::unique_ptr<boost::asio::io_context> context_;
};

}  // namespace sluice::aio
