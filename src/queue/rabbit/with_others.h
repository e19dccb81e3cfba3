// SPDX-License-Identifier: Apache-2.0
#pragma once
// The sample of a queue together with the queues around it: its dead letters, and the retries that wait.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "queue/backlog_source.h"
#include "queue/rabbit/poller.h"

namespace sluice::queue::rabbit {

class SourceWithOthers final : public BacklogSource {
 public:
  // `dead` and `retries` are names of queues on `broker`. They are asked when their last answer is older than `age`:
  // nobody decides by them, and each of them costs as much as the queue itself.
  SourceWithOthers(const std::shared_ptr<Broker>& broker, std::unique_ptr<BacklogSource> queue, std::string dead,
                   std::vector<std::string> retries, Duration age);

  // That of the queue, with `dead` and `delayed` as old as they say. A queue that does not exist holds nothing; one
  // that cannot be asked is unknown, and no reason to know less of the others.
  aio::Task<Result<model::Sample>> sample(aio::Deadline deadline) override;

 private:
  [[nodiscard]] aio::Task<void> ask_others(aio::Deadline deadline);
  // Messages in it; empty: unknown.
  [[nodiscard]] aio::Task<std::optional<model::Reading>> count(std::string queue, Time now, aio::Deadline deadline);

  aio::Clock& clock_;
  std::shared_ptr<Poller> poller_;
  std::unique_ptr<BacklogSource> queue_;
  std::string dead_queue_;
  std::vector<std::string> retries_;
  Duration age_;
  std::optional<Time> asked_;
  std::optional<model::Reading> dead_;
  std::optional<model::Reading> delayed_;
};

}  // namespace sluice::queue::rabbit
