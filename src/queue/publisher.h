// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

#include "aio/clock.h"
#include "aio/task.h"
#include "queue/message.h"

namespace sluice::queue {

enum class PublishState {
  confirmed,  // safe: survives the death of any process and of the machine
  failed,     // refused, certainly not in the queue
  unknown,    // cut off: may be there; re-send with the same id
};

struct Published {
  PublishState state = PublishState::unknown;
  std::string why;  // empty when confirmed
};

class Publisher {
 public:
  virtual ~Publisher() = default;
  // One answer per message, in order; never throws. Waits (back-pressure) while the broker takes nothing, at most to
  // the deadline; what was not sent by then is failed. Re-sending an id that is already waiting or running is confirmed
  // and makes no second copy where the broker can tell (the local queue can).
  virtual aio::Task<std::vector<Published>> publish(std::vector<Message> batch, aio::Deadline deadline) = 0;
};

}  // namespace sluice::queue
