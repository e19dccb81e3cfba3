// SPDX-License-Identifier: Apache-2.0
#include "aio/loop.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

namespace sluice::aio {

Loop::Loop() : context_(std::make_unique<boost::asio::io_context>(1)) {}
Loop::~Loop() = default;

void Loop::run(Task<void> main) {
  bool ended = false;
  std::exception_ptr failure;
  start(std::move(main), [&](std::exception_ptr e) {
    ended = true;
    failure = std::move(e);
    context_->stop();
  });
  while (!ended) {
    context_->restart();
    context_->run();
  }
  if (failure) {
    std::rethrow_exception(failure);
  }
}

void Loop::start(Task<void> main, std::function<void(std::exception_ptr)> done) {
  boost::asio::co_spawn(*context_, std::move(main), std::move(done));
}

std::size_t Loop::poll() {
  context_->restart();
  return context_->poll();
}

void Loop::post(std::move_only_function<void()> work) {
  boost::asio::post(*context_, std::move(work));
}

}  // namespace sluice::aio
