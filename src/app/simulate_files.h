// SPDX-License-Identifier: Apache-2.0
#pragma once
// What other programs recorded, as scenarios: --from-csv and --from-prometheus.
#include <optional>
#include <string>
#include <vector>

#include "app/simulate_replay.h"

namespace sluice::app {

// --from-csv and --from-prometheus, --workers and -f.
[[nodiscard]] std::vector<Flag> record_flags();
// What the command line asks for beyond what its parser checks; empty: it is fine.
[[nodiscard]] std::string wrong_record_flags(const Args& args);

// The pools of the files that `args` names, under the pool of -f where it is given. Says what is wrong on stderr and
// returns empty: exit_usage.
[[nodiscard]] std::optional<std::vector<ReplayedPool>> replay_records(Context& context, const Args& args,
                                                                      const std::string& verb);

}  // namespace sluice::app
