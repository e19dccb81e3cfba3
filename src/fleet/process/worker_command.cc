// SPDX-License-Identifier: Apache-2.0
#include "fleet/process/worker_command.h"

#include <fmt/core.h>

#include <string_view>

namespace sluice::fleet::process {
namespace {

void put(std::map<std::string, std::string>& all, const std::vector<std::string>& variables) {
  for (const std::string& variable : variables) {
    const std::size_t equals = variable.find('=');
    if (equals != std::string::npos && equals > 0) {
      all[variable.substr(0, equals)] = variable.substr(equals + 1);
    }
  }
}

}  // namespace

std::vector<std::string> argv_of(const WorkerCommand& command) {
  std::vector<std::string> argv = command.argv;
  if (!argv.empty() && argv.front() == "sluice" && !command.binary.empty()) {
    argv.front() = command.binary;
  }
  return argv;
}

std::vector<std::string> environment_of(const WorkerCommand& command, const WorkerStart& start) {
  std::map<std::string, std::string> all;
  if (command.inherited != nullptr) {
    put(all, *command.inherited);
  }
  put(all, command.environment);
  for (const auto& [name, value] : command.env) {
    all[name] = value;
  }
  all["SLUICE_POOL"] = command.pool_id;
  all["SLUICE_WORKER"] = start.worker;
  all["SLUICE_SLOT"] = std::to_string(start.slot);
  all["SLUICE_QUEUE"] = command.queue_json;
  all["SLUICE_IDLE_EXIT"] = start.stays_when_idle ? "never" : command.idle_exit;
  all["SLUICE_STATE"] = start.state_folder;
  all["SLUICE_SLOT_FD"] = std::to_string(start.lock_fd);
  all.erase("SLUICE_SECRETS");  // never the scaler's own of another pool
  if (!command.secrets.empty()) {
    all["SLUICE_SECRETS"] = command.secrets;
  }
  std::vector<std::string> out;
  out.reserve(all.size());
  for (const auto& [name, value] : all) {
    out.push_back(fmt::format("{}={}", name, value));
  }
  return out;
}

}  // namespace sluice::fleet::process
