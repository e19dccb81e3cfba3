// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <vector>

#include "aio/clock.h"
#include "aio/task.h"

namespace sluice::aio {

// Signals as values on the loop. While an object lives, its signals no longer end the process.
class Signals {
 public:
  Signals(Loop& loop, Clock& clock, const std::vector<int>& numbers);
  ~Signals();
  // The next signal's number, in order of arrival; 0 at the deadline.
  [[nodiscard]] Task<int> next(Deadline deadline);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// SIGPIPE ignored, so that a closed pipe is an error of the write and not the end of the process.
void ignore_sigpipe();

}  // namespace sluice::aio
