// SPDX-License-Identifier: Apache-2.0
#pragma once
// The one primitive under every wait that is not a socket: a coroutine stops, and a Resumer, kept by whoever knows
// when, lets it go on. Clock, Event and the bridges to threads are written on it, so all of them can be cancelled, and
// all of them run the same under real and under simulated time.
#include <functional>
#include <memory>

#include "aio/task.h"

namespace sluice::aio {

enum class Wake {
  ready,    // what was waited for is there
  timeout,  // the deadline came first
};

// Copyable; all copies mean the same suspended coroutine. Outlives it harmlessly. Loop thread only.
class Resumer {
 public:
  struct State;
  explicit Resumer(std::shared_ptr<State> state) : state_(std::move(state)) {}
  // Lets the coroutine go on, from the loop and not from inside this call. Only the first call counts; returns whether
  // this was it.
  bool wake(Wake why) const;
  // The same inside this call: for who is called by the loop itself and returns to it, and so in the middle of nothing.
  bool wake_here(Wake why) const;
  // True until somebody woke it or it was cancelled.
  [[nodiscard]] bool waiting() const;

 private:
  std::shared_ptr<State> state_;
};

// Suspends the caller until the Resumer given to `arrange` is woken; returns why. `arrange` runs at once.
[[nodiscard]] Task<Wake> suspend(std::function<void(Resumer)> arrange);

// From here on the calling task no longer hears of cancellation. For what must be awaited on the way out, after the
// cancellation was caught and before it is thrown on.
[[nodiscard]] Task<void> ignore_cancellation();

}  // namespace sluice::aio
