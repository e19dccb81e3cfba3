// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a worker of the library runs with: the program's options before the environment before the defaults.
#include <sluice/worker.h>

#include <optional>
#include <string>

#include "base/result.h"
#include "fleet/process/held_slot.h"
#include "wiring/queues.h"
#include "worker/options.h"

namespace sluice::lib {

using fleet::process::Environment;

struct Settings {
  wiring::QueueSpec queue;  // paths absolute
  std::string secrets;      // the folder of its credentials; may not exist
  worker::RuntimeOptions runtime;
  std::optional<std::uint16_t> port;  // SLUICE_WORKER_PORT
};

// Every problem at once, one a line, each naming the option or variable and the accepted form: Code::invalid. `folder`
// is where relative paths begin.
[[nodiscard]] Result<Settings> read_settings(const WorkerOptions& options, const Environment& environment,
                                             const std::string& folder, const std::string& default_name);

}  // namespace sluice::lib
