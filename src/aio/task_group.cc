// SPDX-License-Identifier: Apache-2.0
#include "aio/task_group.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <list>

#include "aio/event.h"
#include "base/check.h"

namespace sluice::aio {

namespace asio = boost::asio;

namespace {

bool is_cancellation(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const boost::system::system_error& e) {
    return e.code() == asio::error::operation_aborted;
  } catch (...) {
    return false;
  }
}

// Asio would throw at the next co_await of anything, also of join(), whose group then dies with live tasks. Here a
// cancelled task unwinds out of its waits (suspend) alone, and join() is one that stays until its tasks have ended.
Task<void> unwind_at_waits(Task<void> task) {
  co_await asio::this_coro::throw_if_cancelled(false);
  co_await std::move(task);
}

}  // namespace

struct TaskGroup::State {
  State(Loop& l, Clock& c) : loop(l), changed(c) {}

  Loop& loop;
  Event changed;  // a task ended
  struct Child {
    std::uint64_t number;
    asio::cancellation_signal signal;
  };
  std::list<Child> children;
  std::uint64_t spawned = 0;
  std::exception_ptr failure;
  bool cancelled = false;

  void cancel() {
    cancelled = true;
    for (Child& child : children) {
      child.signal.emit(asio::cancellation_type::terminal);
    }
  }

  void ended(std::list<Child>::iterator child, const std::exception_ptr& why) {
    children.erase(child);
    if (why && !is_cancellation(why) && !failure) {
      failure = why;
      cancel();
    }
    changed.notify();
  }
};

TaskGroup::TaskGroup(Loop& loop, Clock& clock) : state_(std::make_shared<State>(loop, clock)) {}

TaskGroup::~TaskGroup() {
  check(state_->children.empty(), "a TaskGroup was destroyed before its tasks ended");
}

std::size_t TaskGroup::size() const {
  return state_->children.size();
}

std::uint64_t TaskGroup::spawn(Task<void> task) {
  const std::uint64_t number = ++state_->spawned;
  if (state_->cancelled) {
    return number;
  }
  const auto child = state_->children.emplace(state_->children.end(), number);
  // The completion handler is posted by co_spawn after the frame is gone, so erasing the signal there is safe.
  const auto done = [state = state_, child](const std::exception_ptr& why) { state->ended(child, why); };
  asio::co_spawn(state_->loop.context(), unwind_at_waits(std::move(task)),
                 asio::bind_cancellation_slot(child->signal.slot(), done));
  return number;
}

void TaskGroup::cancel(std::uint64_t spawned) {
  for (State::Child& child : state_->children) {
    if (child.number == spawned) {
      child.signal.emit(asio::cancellation_type::terminal);
      return;
    }
  }
}

void TaskGroup::cancel() {
  state_->cancel();
}

Task<void> TaskGroup::join() {
  return join_or_cancel(Deadline{});
}

Task<void> TaskGroup::join_or_cancel(Deadline deadline) {
  const std::shared_ptr<State> state = state_;
  bool aborted = false;
  while (!state->children.empty()) {
    Wake why = Wake::timeout;
    try {
      why = co_await state->changed.wait(deadline);
    } catch (const boost::system::system_error& e) {
      if (e.code() != asio::error::operation_aborted) {
        throw;
      }
      aborted = true;
    }
    if (aborted) {
      // A cancelled caller must not leave its children behind: its own cancellation no longer reaches the waits below.
      co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    }
    if (why == Wake::timeout) {
      deadline = Deadline{};
      state->cancel();
    }
  }
  if (aborted) {
    throw boost::system::system_error(asio::error::operation_aborted);
  }
  if (state->failure) {
    std::rethrow_exception(state->failure);
  }
}

}  // namespace sluice::aio
