// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a worker process is started with: its argv and its environment (machine contracts, "Environment").
#include <map>
#include <string>
#include <vector>

namespace sluice::fleet::process {

struct WorkerCommand {
  std::vector<std::string> argv;  // the pool's run.command; "sluice" in front means `binary`
  std::string binary;             // the scaler's own program
  std::string directory;          // where it runs: the pool file's folder
  // "KEY=value": what every worker inherits, usually the scaler's own, which outlives this; null: nothing.
  const std::vector<std::string>* inherited = nullptr;
  std::vector<std::string> environment;    // over it
  std::map<std::string, std::string> env;  // the pool's run.env, over it
  std::string pool_id;                     // namespace/name
  std::string queue_json;                  // SLUICE_QUEUE: no credentials
  std::string secrets;                     // SLUICE_SECRETS: a folder; empty: none
  std::string idle_exit;                   // "10s"; a worker that stays gets "never"
};

struct WorkerStart {
  std::string worker;
  int slot = 0;
  bool stays_when_idle = false;
  std::string state_folder;
  int lock_fd = -1;
};

[[nodiscard]] std::vector<std::string> argv_of(const WorkerCommand& command);
// Later ones win: inherited, the pool's, ours. Sorted by name.
[[nodiscard]] std::vector<std::string> environment_of(const WorkerCommand& command, const WorkerStart& start);

}  // namespace sluice::fleet::process
