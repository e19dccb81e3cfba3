// SPDX-License-Identifier: Apache-2.0
#include "worker/function_handler.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "aio/event.h"
#include "aio/suspend.h"
#include "base/check.h"

namespace sluice::worker {

namespace {

// The runtime never has more than `concurrency` calls under way, so this is a bug's limit, not a load's.
constexpr std::size_t calls_max = 1U << 16U;

}  // namespace

std::size_t threads_for(std::size_t concurrency) {
  const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
  return std::clamp<std::size_t>(concurrency, 1, 2 * cores);
}

// One run. Shared by the coroutine that waits for it and the thread that does it: either may be gone first.
struct FunctionHandler::Call {
  Call(queue::Delivery d, std::uint32_t n, aio::Clock& clock) : delivery(std::move(d)), attempt(n), ended(clock) {}

  const queue::Delivery delivery;
  const std::uint32_t attempt;
  std::atomic<bool> cancelled = false;
  // Loop thread only.
  aio::Event ended;
  std::optional<Outcome> outcome;
};

// The threads, and the channel to and from them. The only place with a lock.
class FunctionHandler::Threads {
 public:
  Threads(aio::Loop& loop, std::size_t n, Function function)
      : shared_(std::make_shared<Shared>()), function_(std::make_shared<const Function>(std::move(function))) {
    shared_->loop = &loop;
    for (std::size_t i = 0; i < n; ++i) {
      threads_.emplace_back([shared = shared_, f = function_] { serve(*shared, *f); });
    }
  }
  // Those left behind keep what they share alive, and find nobody to answer to.
  void end(bool wait) {
    {
      const std::scoped_lock lock(shared_->mutex);
      shared_->ending = true;
      if (!wait) {
        shared_->loop = nullptr;
      }
    }
    shared_->changed.notify_all();
    for (std::thread& thread : threads_) {
      if (wait) {
        thread.join();
      } else {
        thread.detach();
      }
    }
  }
  void submit(std::shared_ptr<Call> call) {
    {
      const std::scoped_lock lock(shared_->mutex);
      sluice::check(shared_->calls.size() < calls_max, "more calls than a worker can have messages");
      shared_->calls.push_back(std::move(call));
    }
    shared_->changed.notify_one();
  }

 private:
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::shared_ptr<Call>> calls;
    bool ending = false;
    aio::Loop* loop = nullptr;
  };

  static void serve(Shared& shared, const Function& function) {
    while (true) {
      std::shared_ptr<Call> call;
      {
        std::unique_lock lock(shared.mutex);
        shared.changed.wait(lock, [&] { return shared.ending || !shared.calls.empty(); });
        if (shared.calls.empty()) {
          return;
        }
        call = std::move(shared.calls.front());
        shared.calls.pop_front();
      }
      Outcome outcome = run(function, *call);
      const std::scoped_lock lock(shared.mutex);
      if (shared.loop != nullptr) {
        shared.loop->post([call = std::move(call), result = std::move(outcome)]() mutable {
          call->outcome = std::move(result);
          call->ended.notify();
        });
      }
    }
  }

  static Outcome run(const Function& function, Call& call) {
    if (call.cancelled) {
      return Outcome::failed("cancelled before it started");
    }
    try {
      return function(call.delivery, call.attempt, call.cancelled);
    } catch (const std::exception& e) {
      return Outcome::failed(std::string("the handler threw: ") + e.what());
    } catch (...) {
      return Outcome::failed("the handler threw something that is not a std::exception");
    }
  }

  std::shared_ptr<Shared> shared_;
  std::shared_ptr<const Function> function_;
  std::vector<std::thread> threads_;
};

FunctionHandler::FunctionHandler(aio::Loop& loop, aio::Clock& clock, std::size_t threads, Function function,
                                 Duration cancel_patience)
    : loop_(loop),
      clock_(clock),
      cancel_patience_(cancel_patience),
      threads_(std::make_unique<Threads>(loop, threads, std::move(function))) {}

FunctionHandler::~FunctionHandler() {
  threads_->end(!stuck_);
}

aio::Task<Outcome> FunctionHandler::handle(const queue::Delivery& delivery, std::uint32_t attempt, aio::Deadline) {
  if (stuck_) {
    co_return Outcome::cannot_start("a handler function still runs although it was cancelled");
  }
  const auto call = std::make_shared<Call>(delivery, attempt, clock_);
  threads_->submit(call);
  std::exception_ptr cancelled;
  try {
    while (!call->outcome) {
      co_await call->ended.wait(aio::Deadline{});
    }
  } catch (...) {
    cancelled = std::current_exception();
  }
  if (!cancelled) {
    co_return std::move(*call->outcome);
  }
  co_await aio::ignore_cancellation();
  call->cancelled = true;
  const aio::Deadline patience = clock_.in(cancel_patience_);
  while (!call->outcome && !patience.passed(clock_.now())) {
    co_await call->ended.wait(patience);
  }
  stuck_ = stuck_ || !call->outcome;
  if (call->outcome && call->outcome->kind == Outcome::Kind::done) {
    co_return std::move(*call->outcome);  // it was nearly there; what it did is done
  }
  std::rethrow_exception(cancelled);
}

}  // namespace sluice::worker
