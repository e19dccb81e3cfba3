// SPDX-License-Identifier: Apache-2.0
#include "worker/function_handler.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <iterator>
#include <mutex>
#include <optional>
#include <string_view>
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
constexpr std::string_view stuck_why = "a handler function still runs although it was cancelled";

}  // namespace

Outcome call(const Function& function, const queue::Delivery& delivery, std::uint32_t attempt,
             const std::atomic<bool>& cancelled) {
  try {
    return function(delivery, attempt, cancelled);
  } catch (const std::exception& e) {
    return Outcome::failed(std::string("the handler threw: ") + e.what());
  } catch (...) {
    return Outcome::failed("the handler threw something that is not a std::exception");
  }
}

std::size_t threads_for(std::size_t concurrency) {
  const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
  return std::clamp<std::size_t>(concurrency, 1, 2 * cores);
}

// One run. Shared by whoever waits for it and the thread that does it: either may be gone first.
struct FunctionHandler::Call {
  Call(std::shared_ptr<const queue::Delivery> d, std::uint32_t n, aio::Clock& clock)
      : delivery(std::move(d)), attempt(n), ended(clock) {}

  void end(Outcome with) {
    outcome = std::move(with);
    if (tell) {
      std::exchange(tell, nullptr)(std::move(*outcome));
    } else {
      ended.notify();
    }
  }

  const std::shared_ptr<const queue::Delivery> delivery;
  const std::uint32_t attempt;
  std::atomic<bool> cancelled = false;
  // Loop thread only.
  std::move_only_function<void(Outcome)> tell;  // instead of ended
  aio::Event ended;
  std::optional<Outcome> outcome;
};

// The threads, and the channel to and from them. The only place with a lock. What one turn of the loop submits goes
// over together, and so do the ends that the loop has not heard of yet.
class FunctionHandler::Threads {
 public:
  Threads(aio::Loop& loop, std::size_t n, Function function)
      : shared_(std::make_shared<Shared>()), function_(std::make_shared<const Function>(std::move(function))) {
    shared_->loop = &loop;
    for (std::size_t i = 0; i < n; ++i) {
      threads_.emplace_back([shared = shared_, f = function_] { serve(shared, *f); });
    }
  }
  // Those left behind keep what they share alive, and find nobody to answer to.
  void end(bool wait) {
    {
      const std::scoped_lock lock(shared_->mutex);
      shared_->ending = true;
    }
    if (!wait) {
      shared_->leave_loop();
    }
    shared_->changed.notify_all();
    for (std::thread& thread : threads_) {
      if (wait) {
        thread.join();
      } else {
        thread.detach();
      }
    }
    shared_->leave_loop();
  }
  void submit(std::shared_ptr<Call> call) {
    Shared& shared = *shared_;
    sluice::check(shared.submitted.size() < calls_max, "more calls than a worker can have messages");
    shared.submitted.push_back(std::move(call));
  }
  void hand_over() { shared_->hand_over(); }

 private:
  struct Ended {
    std::shared_ptr<Call> call;
    Outcome outcome;
  };
  struct Shared {
    void hand_over() {
      if (submitted.empty()) {
        return;
      }
      std::size_t wake = 0;
      {
        const std::scoped_lock lock(mutex);
        wake = std::min(waiting, submitted.size());
        calls.insert(calls.end(), std::move_iterator(submitted.begin()), std::move_iterator(submitted.end()));
      }
      submitted.clear();
      for (; wake > 0; --wake) {
        changed.notify_one();
      }
    }
    void leave_loop() {
      const std::scoped_lock lock(loop_mutex);
      loop = nullptr;
    }
    // Not under the other lock: what is posted takes that first.
    static void tell(const std::shared_ptr<Shared>& shared) {
      const std::scoped_lock lock(shared->loop_mutex);
      if (shared->loop != nullptr) {
        shared->loop->post([shared] { shared->hear(); });
      }
    }
    void hear() {
      std::vector<Ended> heard;
      {
        const std::scoped_lock lock(mutex);
        heard.swap(ended);
      }
      for (Ended& one : heard) {
        one.call->end(std::move(one.outcome));
      }
    }

    std::vector<std::shared_ptr<Call>> submitted;  // loop thread only
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::shared_ptr<Call>> calls;
    std::size_t waiting = 0;  // threads without a call
    std::vector<Ended> ended;
    bool ending = false;
    std::mutex loop_mutex;
    aio::Loop* loop = nullptr;
  };

  static void serve(const std::shared_ptr<Shared>& owner, const Function& function) {
    Shared& shared = *owner;
    std::unique_lock lock(shared.mutex);
    while (true) {
      ++shared.waiting;
      shared.changed.wait(lock, [&] { return shared.ending || !shared.calls.empty(); });
      --shared.waiting;
      if (shared.calls.empty()) {
        return;
      }
      const std::shared_ptr<Call> call = std::move(shared.calls.front());
      shared.calls.pop_front();
      lock.unlock();
      Outcome outcome = run(function, *call);
      lock.lock();
      shared.ended.push_back({call, std::move(outcome)});
      if (shared.ended.size() == 1) {
        lock.unlock();
        Shared::tell(owner);
        lock.lock();
      }
    }
  }

  static Outcome run(const Function& function, const Call& call) {
    if (call.cancelled) {
      return Outcome::failed("cancelled before it started");
    }
    return worker::call(function, *call.delivery, call.attempt, call.cancelled);
  }

  std::shared_ptr<Shared> shared_;
  std::shared_ptr<const Function> function_;
  std::vector<std::thread> threads_;
};

class FunctionHandler::CallRun final : public Run {
 public:
  CallRun(FunctionHandler& handler, std::shared_ptr<Call> call) : handler_(handler), call_(std::move(call)) {}
  ~CallRun() override {
    call_->tell = nullptr;
    call_->cancelled = true;
  }
  CallRun(const CallRun&) = delete;
  CallRun& operator=(const CallRun&) = delete;
  aio::Task<std::optional<Outcome>> cancel() override {
    call_->tell = nullptr;
    return handler_.stop(call_);
  }

 private:
  FunctionHandler& handler_;
  std::shared_ptr<Call> call_;
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
    co_return Outcome::cannot_start(std::string(stuck_why));
  }
  const auto call = std::make_shared<Call>(std::make_shared<const queue::Delivery>(delivery), attempt, clock_);
  threads_->submit(call);
  threads_->hand_over();
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
  std::optional<Outcome> end = co_await stop(call);
  if (end) {
    co_return std::move(*end);
  }
  std::rethrow_exception(cancelled);
}

std::unique_ptr<Run> FunctionHandler::start_at_once(std::shared_ptr<const queue::Delivery> delivery,
                                                    std::uint32_t attempt,
                                                    std::move_only_function<void(Outcome)> ended) {
  if (stuck_) {
    return nullptr;  // handle() says why
  }
  auto call = std::make_shared<Call>(std::move(delivery), attempt, clock_);
  call->tell = std::move(ended);
  auto run = std::make_unique<CallRun>(*this, call);
  threads_->submit(std::move(call));
  return run;
}

void FunctionHandler::started() {
  threads_->hand_over();
}

aio::Task<std::optional<Outcome>> FunctionHandler::stop(std::shared_ptr<Call> call) {
  call->cancelled = true;
  const aio::Deadline patience = clock_.in(cancel_patience_);
  while (!call->outcome && !patience.passed(clock_.now())) {
    co_await call->ended.wait(patience);
  }
  stuck_ = stuck_ || !call->outcome;
  if (call->outcome && call->outcome->kind == Outcome::Kind::done) {
    co_return std::move(call->outcome);  // it was nearly there; what it did is done
  }
  co_return std::nullopt;
}

}  // namespace sluice::worker
