// SPDX-License-Identifier: Apache-2.0
// The loop's side of the channel.
#include "queue/local/engine.h"

#include <utility>

#include "queue/local/engine_thread.h"

namespace sluice::queue::local {

Engine::Engine(aio::Loop& loop, aio::Clock& clock, Random& random, std::string path, EngineOptions options)
    : loop_(loop),
      clock_(clock),
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

// Handed over when the loop has run what is ready now: a hundred tasks that acknowledge at once share one commit, where
// the first would otherwise set out alone.
void Engine::submit(std::shared_ptr<Request> request) {
  if (outgoing_.empty()) {
    loop_.post([self = self_] {
      if (*self != nullptr) {
        (*self)->thread_->submit(std::exchange((*self)->outgoing_, {}));
      }
    });
  }
  outgoing_.push_back(std::move(request));
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
    request.stage_.compare_exchange_strong(waiting, Request::withdrawn);
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
  submit(request);
  // A plain pointer: two of them fit into std::function without an allocation, and this frame keeps the request.
  const auto arrange = [this, asked = request.get()](aio::Resumer resumer) {
    if (asked->deadline.at != Time::max()) {
      clock_.wake_at(asked->deadline.at, resumer);
    }
    asked->waiter_ = std::move(resumer);
  };
  {
    const Withdraw guard{*request};
    co_await aio::suspend(arrange);
  }
  if (request->answered_) {
    co_return request->verdict_;
  }
  if (request->stage_.load() == Request::started) {
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
