// SPDX-License-Identifier: Apache-2.0
// The loop's side of the channel.
#include "queue/local/engine.h"

#include "base/check.h"
#include "queue/local/engine_thread.h"

namespace sluice::queue::local {

Engine::Engine(aio::Loop& loop, aio::Clock& clock, Random& random, std::string path, EngineOptions options)
    : clock_(clock),
      path_(std::move(path)),
      options_(std::move(options)),
      ready_(clock),
      room_(clock),
      self_(std::make_shared<Engine*>(this)),
      thread_(std::make_unique<Thread>(*this, loop, random.next())) {
  thread_->thread = std::thread([thread = thread_.get()] { thread->main(); });
}

Engine::~Engine() {
  thread_->stop();
  thread_->thread.join();
  *self_ = nullptr;
}

aio::Task<bool> Engine::room(aio::Deadline deadline, std::size_t bytes) {
  // A single request larger than the channel passes when it is alone.
  while (requests_ > 0 && (requests_ >= options_.requests_max || bytes_ + bytes > options_.bytes_max)) {
    const aio::Wake why = co_await room_.wait(deadline);
    if (why == aio::Wake::timeout) {
      co_return false;
    }
  }
  co_return true;
}

// Withdraws a request that nobody waits for any more, unless it is already under way.
struct Engine::Withdraw {
  Request& request;
  ~Withdraw() {
    int waiting = Request::pending;
    request.waiter_.reset();
    request.state_.compare_exchange_strong(waiting, Request::withdrawn);
  }
};

aio::Task<Verdict> Engine::ask(std::shared_ptr<Request> request) {
  Verdict late{Fate::undone, Error{Code::retry, "queue file " + path_ + ": the deadline came first, nothing was done"}};
  const bool fits = co_await room(request->deadline, request->bytes);
  if (!fits) {
    co_return late;
  }
  ++requests_;
  bytes_ += request->bytes;
  thread_->submit(request);
  const auto arrange = [this, request](aio::Resumer resumer) {
    if (request->deadline.at != Time::max()) {
      clock_.wake_at(request->deadline.at, resumer);
    }
    request->waiter_ = std::move(resumer);
  };
  {
    const Withdraw guard{*request};
    co_await aio::suspend(arrange);
  }
  if (request->answered_) {
    co_return request->verdict_;
  }
  if (request->state_.load() == Request::started) {
    late =
        Verdict{Fate::unknown, Error{Code::retry, "queue file " + path_ + ": the deadline came while it was written"}};
  }
  co_return late;
}

void Engine::completed(const std::vector<std::shared_ptr<Request>>& requests, bool ready) {
  for (const std::shared_ptr<Request>& request : requests) {
    --requests_;
    bytes_ -= request->bytes;
    request->answered_ = true;
    request->answered(request->verdict_.fate);
    if (request->waiter_) {
      request->waiter_->wake(aio::Wake::ready);
    }
  }
  if (!requests.empty()) {
    room_.notify();
  }
  if (ready) {
    ready_.notify();
  }
}

Engine::Watching::Watching(Engine& engine) : engine_(engine) {
  engine_.thread_->watch(+1);
}
Engine::Watching::~Watching() {
  engine_.thread_->watch(-1);
}

}  // namespace sluice::queue::local
