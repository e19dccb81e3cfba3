// SPDX-License-Identifier: Apache-2.0
#pragma once
// A C++ function that is over in no time, run on the loop's own thread: no message changes threads.
#include <deque>
#include <memory>
#include <string_view>

#include "worker/function_handler.h"

namespace sluice::worker {

// For a function that never blocks. While it runs nothing else does: no heartbeat, no renewal of a lease, no answer to
// SIGTERM; and it cannot be cancelled. That one took longer than `brief_max` is said once, to `warn`.
class BriefHandler final : public Handler {
 public:
  // Chosen: a hundredth of the shortest time that matters to a broker or to a person, 5 s.
  static constexpr Duration brief_max = std::chrono::milliseconds{50};

  BriefHandler(aio::Loop& loop, aio::Clock& clock, Function function, std::function<void(std::string_view)> warn);
  aio::Task<Outcome> handle(const queue::Delivery& delivery, std::uint32_t attempt, aio::Deadline max_runtime) override;
  std::unique_ptr<Run> start_at_once(std::shared_ptr<const queue::Delivery> delivery, std::uint32_t attempt,
                                     std::move_only_function<void(Outcome)> ended) override;
  void started() override { run_soon(); }

 private:
  class CallRun;
  void run_soon();
  // Those that were started, for a while; then the loop does other things first.
  void run_some();
  // `now` is when it begins, then when it has ended.
  Outcome run_one(const queue::Delivery& delivery, std::uint32_t attempt, Time& now);

  aio::Loop& loop_;
  aio::Clock& clock_;
  const Function function_;
  const std::function<void(std::string_view)> warn_;
  const std::atomic<bool> never_cancelled_ = false;
  bool warned_ = false;
  std::deque<CallRun*> waiting_;  // null: nobody wants it any more
  bool posted_ = false;
  const std::shared_ptr<char> lives_ = std::make_shared<char>();  // for what is posted
};

}  // namespace sluice::worker
