// SPDX-License-Identifier: Apache-2.0
#include "queue/receiver.h"

namespace sluice::queue {

aio::Task<std::vector<Result<void>>> Receiver::ack_all(std::vector<Tag> tags, aio::Deadline deadline) {
  std::vector<Result<void>> answers;
  for (const Tag tag : tags) {
    answers.push_back(co_await ack(tag, deadline));
  }
  co_return answers;
}

aio::Task<Result<void>> Receiver::alone(Tag, aio::Deadline) {
  co_return Result<void>{};
}

}  // namespace sluice::queue
