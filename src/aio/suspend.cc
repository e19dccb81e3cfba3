// SPDX-License-Identifier: Apache-2.0
#include "aio/suspend.h"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace sluice::aio {

namespace asio = boost::asio;

struct Resumer::State {
  std::move_only_function<void(boost::system::error_code, Wake)> handler;
  explicit State(Executor e) : executor(std::move(e)) {}
  Executor executor;

  // Posts the handler, never runs it here: whoever wakes is in the middle of something.
  bool finish(boost::system::error_code ec, Wake why) {
    if (!handler) {
      return false;
    }
    // Moved out at once: from here on this State is "not waiting", also for a wake() before the posted handler ran.
    asio::post(executor, [run = std::exchange(handler, nullptr), ec, why]() mutable { run(ec, why); });
    return true;
  }
};

bool Resumer::wake(Wake why) const {
  return state_->finish({}, why);
}

bool Resumer::wake_here(Wake why) const {
  if (!state_->handler) {
    return false;
  }
  const std::shared_ptr<State> state = state_;  // this may be gone after it
  std::exchange(state->handler, nullptr)({}, why);
  return true;
}

bool Resumer::waiting() const {
  return static_cast<bool>(state_->handler);
}

namespace {

Task<Wake> start_waiting(std::function<void(Resumer)> arrange) {
  return asio::async_initiate<const asio::use_awaitable_t<Executor>&, void(boost::system::error_code, Wake)>(
      [](auto handler, std::function<void(Resumer)> start) {
        auto state = std::make_shared<Resumer::State>(asio::get_associated_executor(handler));
        auto slot = asio::get_associated_cancellation_slot(handler);
        if (slot.is_connected()) {
          slot.assign([weak = std::weak_ptr(state)](asio::cancellation_type) {
            if (const auto strong = weak.lock()) {
              strong->finish(asio::error::operation_aborted, Wake::timeout);
            }
          });
        }
        state->handler = [h = std::move(handler), slot](boost::system::error_code ec, Wake why) mutable {
          slot.clear();
          std::move(h)(ec, why);
        };
        start(Resumer(std::move(state)));
      },
      asio::use_awaitable_t<Executor>(), std::move(arrange));
}

}  // namespace

Task<Wake> suspend(std::function<void(Resumer)> arrange) {
  // A cancellation that came between two waits would otherwise be missed by this one.
  const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) {
    throw boost::system::system_error(asio::error::operation_aborted);
  }
  const Wake why = co_await start_waiting(std::move(arrange));
  co_return why;
}

Task<void> ignore_cancellation() {
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
}

}  // namespace sluice::aio
