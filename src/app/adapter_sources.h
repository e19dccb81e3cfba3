// SPDX-License-Identifier: Apache-2.0
#pragma once
// What an adapter serves, in the order in which names are looked up: pools, Cloud Monitoring, another adapter.
#include <string>
#include <vector>

#include "aio/task_group.h"
#include "app/adapter_settings.h"
#include "app/context.h"
#include "app/watched_queue.h"
#include "external/pools.h"

namespace sluice::app {

class AdapterSources {
 public:
  // References outlive it and what it made.
  AdapterSources(Context& context, const AdapterSettings& settings);

  // Once.
  [[nodiscard]] external::Sources take() { return std::move(sources_); }
  // Spawns what keeps them up to date; they live until `group` has ended.
  void run(aio::TaskGroup& group);
  // For a log: "pools, Cloud Monitoring".
  [[nodiscard]] const std::string& words() const { return words_; }

 private:
  void say(std::string_view word);

  external::Sources sources_;
  std::vector<external::Pools*> pools_;  // in what take() gave
  std::vector<std::unique_ptr<WatchedQueueLoop>> queues_;
  std::string words_;
};

}  // namespace sluice::app
