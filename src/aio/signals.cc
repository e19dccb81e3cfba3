// SPDX-License-Identifier: Apache-2.0
#include "aio/signals.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <deque>

#include "aio/event.h"

namespace sluice::aio {

// Shared with the pending wait, which may complete after the object is gone.
struct Signals::Impl {
  Impl(Loop& loop, Clock& clock) : set(loop.context()), arrived(clock) {}

  boost::asio::signal_set set;
  Event arrived;
  std::deque<int> numbers;
  bool over = false;  // nobody listens any more

  static void listen(const std::shared_ptr<Impl>& impl) {
    impl->set.async_wait([impl](const boost::system::error_code& ec, int number) {
      // A signal that came just before the end is still told. Asio forgets a wait on a set without signals.
      if (ec || impl->over) {
        return;
      }
      impl->numbers.push_back(number);
      impl->arrived.notify();
      listen(impl);
    });
  }
};

// Caught from here on, not only from the first next(): a signal in between must not end the process.
Signals::Signals(Loop& loop, Clock& clock, const std::vector<int>& numbers)
    : impl_(std::make_shared<Impl>(loop, clock)) {
  for (const int number : numbers) {
    impl_->set.add(number);
  }
  Impl::listen(impl_);
}

Signals::~Signals() {
  boost::system::error_code ignored;
  impl_->over = true;
  impl_->set.clear(ignored);  // back to the defaults at once
  impl_->set.cancel(ignored);
}

Task<int> Signals::next(Deadline deadline) {
  const std::shared_ptr<Impl> impl = impl_;
  while (impl->numbers.empty()) {
    const Wake why = co_await impl->arrived.wait(deadline);
    if (why == Wake::timeout) {
      break;
    }
  }
  if (impl->numbers.empty()) {
    co_return 0;
  }
  const int number = impl->numbers.front();
  impl->numbers.pop_front();
  co_return number;
}

void ignore_sigpipe() {
  std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace sluice::aio
