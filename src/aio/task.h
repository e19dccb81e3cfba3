// SPDX-License-Identifier: Apache-2.0
#pragma once
// Task<T>: what every coroutine returns. Boost.Asio's awaitable under our own name, so that the rest of the tree
// neither spells Asio nor pays for its larger headers. A Task runs only when awaited or handed to a TaskGroup.
//
// Cancellation unwinds through a Task as boost::system::system_error(operation_aborted), out of a wait
// (suspend, and all that is written on it) and nowhere else: every catch lets it pass.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

namespace sluice::aio {

// Not the type-erased default of Asio, which costs a simulation a fifth of its speed.
using Executor = boost::asio::io_context::executor_type;

template <class T>
using Task = boost::asio::awaitable<T, Executor>;

}  // namespace sluice::aio
