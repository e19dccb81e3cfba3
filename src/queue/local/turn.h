// SPDX-License-Identifier: Apache-2.0
#pragma once
// Fairness between processes. SQLite's lock is polled, so a process that commits without a pause keeps all others out.
// Who waits for the file therefore locks one byte of FILE-workers/turn; who has just committed sees that and steps back
// a moment. A lock and not a counter: it goes away with a process that dies.
#include <string>

#include "aio/fd.h"
#include "base/random.h"

namespace sluice::queue::local {

class Turn {
 public:
  void open(const std::string& folder);  // without the file everybody polls as best they can
  void want(Random& random);             // idempotent
  void got();
  [[nodiscard]] bool others_want() const;

 private:
  aio::Fd fd_;
  long mine_ = -1;
};

}  // namespace sluice::queue::local
