// SPDX-License-Identifier: Apache-2.0
#pragma once
// Scenario files as `sluice simulate` and its like are given them.
#include <optional>
#include <string>
#include <vector>

#include "app/cli.h"
#include "app/context.h"
#include "lab/scenario_read.h"

namespace sluice::app {

// A scenario that was read and is valid, cut to what the flags ask for.
struct Loaded {
  lab::Scenario scenario;
  lab::Files files;
  std::vector<std::int64_t> seeds;
};

// The scenarios that `args` names, with --policy, --first, --seeds and --traces applied. Prints every mistake of every
// file on stderr when there is one, and returns empty: exit_usage.
[[nodiscard]] std::optional<std::vector<Loaded>> load_scenarios(Context& context, const Args& args);
// The same of one scenario whose text is at hand: `path` is what messages call it, files that it names are beside it.
[[nodiscard]] std::optional<Loaded> load_scenario(Context& context, const std::string& path, std::string_view text,
                                                  const Args& args);

// --policy, --first and --seeds applied to a scenario that did not come from a file; `name` is what messages call it.
[[nodiscard]] std::optional<Loaded> fitted(Context& context, const std::string& name, lab::Scenario scenario,
                                           lab::Files files, const Args& args);

}  // namespace sluice::app
