// SPDX-License-Identifier: Apache-2.0
#include "aio/clock.h"

#include <time.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/check.h"

namespace sluice::aio {

Task<void> Clock::sleep_until(Time at) {
  const auto arrange = [this, at](const Resumer& resumer) { wake_at(at, resumer); };
  co_await suspend(arrange);
}

bool TimerHeap::later(const Entry& a, const Entry& b) {
  return a.at != b.at ? a.at > b.at : a.order > b.order;
}

void TimerHeap::push(Time at, Resumer resumer) {
  // Waits that ended early leave their entry behind; without this a busy Event would grow the heap until its deadline.
  if (heap_.size() >= compact_at_) {
    std::erase_if(heap_, [](const Entry& entry) { return !entry.resumer.waiting(); });
    std::make_heap(heap_.begin(), heap_.end(), later);
    compact_at_ = std::max<std::size_t>(64, heap_.size() * 2);
  }
  heap_.push_back(Entry{at, order_++, std::move(resumer)});
  std::push_heap(heap_.begin(), heap_.end(), later);
}

void TimerHeap::drop_dead() {
  while (!heap_.empty() && !heap_.front().resumer.waiting()) {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    heap_.pop_back();
  }
}

std::optional<Time> TimerHeap::next() {
  drop_dead();
  return heap_.empty() ? std::nullopt : std::optional(heap_.front().at);
}

std::size_t TimerHeap::fire(Time now) {
  std::size_t fired = 0;
  for (drop_dead(); !heap_.empty() && heap_.front().at <= now; drop_dead()) {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    const Resumer resumer = std::move(heap_.back().resumer);
    heap_.pop_back();
    fired += resumer.wake(Wake::timeout) ? 1 : 0;
  }
  return fired;
}

// Shared with the pending wait, which may complete after the clock is gone.
struct RealClock::Timer {
  explicit Timer(boost::asio::io_context& context) : timer(context) {}
  boost::asio::steady_timer timer;
  Time armed_for = Time::max();
  RealClock* owner = nullptr;
};

RealClock::RealClock(Loop& loop) : timer_(std::make_shared<Timer>(loop.context())) {
  timer_->owner = this;
}

RealClock::~RealClock() {
  timer_->owner = nullptr;
  timer_->timer.cancel();
}

Time RealClock::now() const {
  timespec ts{};
  check(::clock_gettime(CLOCK_BOOTTIME, &ts) == 0, "CLOCK_BOOTTIME is missing");
  return Time{std::chrono::seconds{ts.tv_sec} + std::chrono::nanoseconds{ts.tv_nsec}};
}

WallTime RealClock::wall() const {
  return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

void RealClock::wake_at(Time at, Resumer resumer) {
  heap_.push(at, std::move(resumer));
  if (at < timer_->armed_for) {
    arm();
  }
}

void RealClock::arm() {
  const std::optional<Time> next = heap_.next();
  timer_->armed_for = next.value_or(Time::max());
  if (!next || *next == Time::max()) {
    timer_->timer.cancel();
    return;
  }
  // At most a minute at a time: the kernel timer does not count a suspended machine, our clock does.
  const Duration wait = std::clamp<Duration>(*next - now(), Duration{0}, std::chrono::minutes{1});
  timer_->timer.expires_after(wait);
  timer_->timer.async_wait([timer = timer_](boost::system::error_code ec) {
    if (ec || timer->owner == nullptr) {
      return;
    }
    timer->owner->heap_.fire(timer->owner->now());
    timer->owner->arm();
  });
}

VirtualClock::VirtualClock(Loop& loop, Time start) : loop_(loop), start_(start), now_(start) {}

WallTime VirtualClock::wall() const {
  const std::chrono::sys_days epoch{std::chrono::year{2026} / 1 / 1};
  return WallTime{epoch} + std::chrono::duration_cast<std::chrono::milliseconds>(now_ - start_) + skew_;
}

void VirtualClock::run(Task<void> main, const std::function<void()>& between) {
  bool ended = false;
  std::exception_ptr failure;
  loop_.start(std::move(main), [&](std::exception_ptr e) {
    ended = true;
    failure = std::move(e);
  });
  while (true) {
    events_ += loop_.poll();
    if (between) {
      between();
    }
    if (ended) {
      break;
    }
    const std::optional<Time> next = heap_.next();
    check(next.has_value(), "everything waits and nobody sleeps: the simulated program hangs");
    now_ = std::max(now_, *next);
    ++events_;
    heap_.fire(now_);
  }
  if (failure) {
    std::rethrow_exception(failure);
  }
}

}  // namespace sluice::aio
