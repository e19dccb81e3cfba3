// SPDX-License-Identifier: Apache-2.0
#pragma once
// Time, handed in. RealClock waits; VirtualClock jumps to the next thing that somebody waits for, which is what makes a
// simulated hour take milliseconds and the same seed give the same run.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "aio/loop.h"
#include "aio/suspend.h"
#include "aio/task.h"
#include "base/time.h"

namespace sluice::aio {

// A point in time by which a wait ends, passed down and never reset.
struct Deadline {
  Time at = Time::max();
  [[nodiscard]] bool passed(Time now) const { return now >= at; }
  // Time left, never negative.
  [[nodiscard]] Duration left(Time now) const { return now >= at ? Duration{0} : at - now; }
  // The end of the first of `n` equal parts of the time that is left; for tries in turn, of which none may spend it
  // all.
  [[nodiscard]] Deadline share(Time now, std::size_t n) const {
    return at == Time::max() ? *this : Deadline{now + left(now) / static_cast<Duration::rep>(n)};
  }
  [[nodiscard]] Deadline earlier(Deadline other) const { return at < other.at ? *this : other; }
};

class Clock {
 public:
  virtual ~Clock() = default;
  // Monotonic; counts time asleep too (CLOCK_BOOTTIME).
  [[nodiscard]] virtual Time now() const = 0;
  // For people and for the wire; never subtracted to decide anything.
  [[nodiscard]] virtual WallTime wall() const = 0;
  // Wakes `resumer` with Wake::timeout at `at` unless somebody did before. Waiters of one instant wake in order of
  // calls.
  virtual void wake_at(Time at, Resumer resumer) = 0;

  [[nodiscard]] Task<void> sleep_until(Time at);
  [[nodiscard]] Task<void> sleep_for(Duration d) { return sleep_until(in(d).at); }
  // Never past the end of time: a duration that would be is for ever.
  [[nodiscard]] Deadline in(Duration d) const {
    const Time from = now();
    return Deadline{d >= Time::max() - from ? Time::max() : from + d};
  }
};

// Sleepers ordered by time, then by arrival. Entries woken by somebody else are dropped when their number grows.
class TimerHeap {
 public:
  void push(Time at, Resumer resumer);
  // The earliest live entry's time; nullopt when there is none.
  [[nodiscard]] std::optional<Time> next();
  // Wakes everything due at `now`. Returns how many.
  std::size_t fire(Time now);

 private:
  struct Entry {
    Time at;
    std::uint64_t order;
    Resumer resumer;
  };
  static bool later(const Entry& a, const Entry& b);
  void drop_dead();

  std::vector<Entry> heap_;
  std::uint64_t order_ = 0;
  std::size_t compact_at_ = 64;
};

class RealClock final : public Clock {
 public:
  explicit RealClock(Loop& loop);
  ~RealClock() override;
  [[nodiscard]] Time now() const override;
  [[nodiscard]] WallTime wall() const override;
  void wake_at(Time at, Resumer resumer) override;

 private:
  struct Timer;
  void arm();
  TimerHeap heap_;
  std::shared_ptr<Timer> timer_;
};

class VirtualClock final : public Clock {
 public:
  // Starts at `start`; wall time is 2026-01-01T00:00:00Z plus the time since then, plus skew().
  explicit VirtualClock(Loop& loop, Time start = Time{std::chrono::hours{1}});
  [[nodiscard]] Time now() const override { return now_; }
  [[nodiscard]] WallTime wall() const override;
  void wake_at(Time at, Resumer resumer) override { heap_.push(at, std::move(resumer)); }

  // Runs `main` to its end. Between instants, when nothing is ready, `between` (if any) is called: a simulation checks
  // its invariants there. Bug (check) when nothing is ready and nobody sleeps: the program waits for ever.
  void run(Task<void> main, const std::function<void()>& between = nullptr);
  // Moves the wall clock against the monotonic one, to show that nothing depends on it.
  void skew(std::chrono::milliseconds by) { skew_ += by; }
  // Instants run so far plus handlers run in them: the event count of a simulation.
  [[nodiscard]] std::uint64_t events() const { return events_; }

 private:
  Loop& loop_;
  Time start_;
  Time now_;
  std::chrono::milliseconds skew_{0};
  TimerHeap heap_;
  std::uint64_t events_ = 0;
};

}  // namespace sluice::aio
