// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the demo leaves behind: a pool file, a handler, the handlers' own ledger, the queue and the scaler's state.
#include <optional>
#include <string>

#include "app/demo_rabbit.h"
#include "base/result.h"

namespace sluice::app {

inline constexpr int demo_threshold = 20;  // messages that may wait, in the pool file

struct DemoFolder {
  std::string path;  // absolute
  [[nodiscard]] std::string pool() const { return path + "/pool.yaml"; }
  [[nodiscard]] std::string ledger() const { return path + "/ledger.txt"; }
};

// Makes the folder, or takes over one that a demo left. Refused with Code::invalid: any other folder, or anything else
// of that name; with Code::conflict: one whose demo, scaler or workers still run.
[[nodiscard]] Result<DemoFolder> make_demo_folder(const std::string& path, const std::optional<DemoRabbit>& rabbit);

}  // namespace sluice::app
