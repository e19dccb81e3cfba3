// SPDX-License-Identifier: Apache-2.0
#include "aio/event.h"

#include <utility>

namespace sluice::aio {

void Event::notify() {
  bool heard = false;
  for (const Resumer& waiter : std::exchange(waiters_, {})) {
    heard = waiter.wake(Wake::ready) || heard;
  }
  remembered_ = !heard;
}

Task<Wake> Event::wait(Deadline deadline) {
  if (std::exchange(remembered_, false)) {
    co_return Wake::ready;
  }
  const auto arrange = [this, deadline](const Resumer& resumer) {
    std::erase_if(waiters_, [](const Resumer& r) { return !r.waiting(); });
    waiters_.push_back(resumer);
    if (deadline.at != Time::max()) {
      clock_.wake_at(deadline.at, resumer);
    }
  };
  const Wake why = co_await suspend(arrange);
  co_return why;
}

}  // namespace sluice::aio
