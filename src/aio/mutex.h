// SPDX-License-Identifier: Apache-2.0
#pragma once
// One task at a time, on the loop.
#include <optional>
#include <utility>

#include "aio/event.h"

namespace sluice::aio {

class Mutex {
 public:
  explicit Mutex(Clock& clock) : freed_(clock) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  // It is held as long as this lives; the Mutex outlives it.
  class Hold {
   public:
    explicit Hold(Mutex& mutex) : mutex_(&mutex) { mutex.held_ = true; }
    Hold(Hold&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
    ~Hold() {
      if (mutex_ != nullptr) {
        mutex_->held_ = false;
        mutex_->freed_.notify();
      }
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    Hold& operator=(Hold&&) = delete;

   private:
    Mutex* mutex_;
  };

  // Empty at the deadline.
  [[nodiscard]] Task<std::optional<Hold>> lock(Deadline deadline) {
    while (held_) {
      const Wake why = co_await freed_.wait(deadline);
      if (why == Wake::timeout && held_) {
        co_return std::nullopt;
      }
    }
    co_return std::optional<Hold>(std::in_place, *this);
  }
  [[nodiscard]] bool held() const { return held_; }

 private:
  bool held_ = false;
  Event freed_;
};

}  // namespace sluice::aio
