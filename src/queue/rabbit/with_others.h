// SPDX-License-Identifier: Apache-2.0
#pragma once
// The sample of a queue together with the queues around it: its dead letters, and the retries that wait.
#include <memory>
#include <optional>
#include <vector>

#include "queue/backlog_source.h"

namespace sluice::queue::rabbit {

class SourceWithOthers final : public BacklogSource {
 public:
  // `clock` outlives it. The others are asked when their last answer is older than `age`: nobody decides by them, and
  // each of them costs as much as the queue itself.
  SourceWithOthers(aio::Clock& clock, std::unique_ptr<BacklogSource> queue, std::unique_ptr<BacklogSource> dead,
                   std::vector<std::unique_ptr<BacklogSource>> retries, Duration age);

  // That of the queue, with `dead` and `delayed` as old as they say. A queue that does not exist holds nothing; one
  // that cannot be asked is unknown, and no reason to know less of the others.
  aio::Task<Result<model::Sample>> sample(aio::Deadline deadline) override;

 private:
  [[nodiscard]] aio::Task<void> ask_others(aio::Deadline deadline);

  aio::Clock& clock_;
  std::unique_ptr<BacklogSource> queue_;
  std::unique_ptr<BacklogSource> dead_source_;
  std::vector<std::unique_ptr<BacklogSource>> retries_;
  Duration age_;
  std::optional<Time> asked_;
  std::optional<model::Reading> dead_;
  std::optional<model::Reading> delayed_;
};

}  // namespace sluice::queue::rabbit
