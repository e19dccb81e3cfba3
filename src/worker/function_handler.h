// SPDX-License-Identifier: Apache-2.0
#pragma once
// A C++ function as the handler, on threads of its own: it may block as it likes, and can neither stop the heartbeats
// nor the drain.
#include <atomic>
#include <functional>
#include <memory>

#include "worker/handler.h"

namespace sluice::worker {

// Runs on one of the handler's threads, several at once. `cancelled` turns true when its result is no longer wanted; it
// should then return soon. What it throws counts as failed.
using Function =
    std::function<Outcome(const queue::Delivery&, std::uint32_t attempt, const std::atomic<bool>& cancelled)>;

// Its outcome; what it throws is a failure.
[[nodiscard]] Outcome call(const Function& function, const queue::Delivery& delivery, std::uint32_t attempt,
                           const std::atomic<bool>& cancelled);

// min(concurrency, 2 x cores): more threads than that only take turns.
[[nodiscard]] std::size_t threads_for(std::size_t concurrency);

// A function cannot be killed. One that goes on for `cancel_patience` after it was cancelled is left behind, and the
// next message ends the worker (cannot_start), because a thread is gone for good and only the end of the process frees
// it.
class FunctionHandler final : public Handler {
 public:
  FunctionHandler(aio::Loop& loop, aio::Clock& clock, std::size_t threads, Function function,
                  Duration cancel_patience = std::chrono::seconds{10});
  ~FunctionHandler() override;  // waits for the running functions, but not for those left behind
  aio::Task<Outcome> handle(const queue::Delivery& delivery, std::uint32_t attempt, aio::Deadline max_runtime) override;
  std::unique_ptr<Run> start_at_once(std::shared_ptr<const queue::Delivery> delivery, std::uint32_t attempt,
                                     std::move_only_function<void(Outcome)> ended) override;
  void started() override;

 private:
  struct Call;
  class CallRun;
  class Threads;
  // Cancels it and waits for its end; empty unless it was done all the same.
  aio::Task<std::optional<Outcome>> stop(std::shared_ptr<Call> call);
  aio::Loop& loop_;
  aio::Clock& clock_;
  const Duration cancel_patience_;
  std::unique_ptr<Threads> threads_;
  bool stuck_ = false;
};

}  // namespace sluice::worker
