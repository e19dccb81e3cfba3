// SPDX-License-Identifier: Apache-2.0
#pragma once
// `sluice simulate --tune POLICY --for TARGET`: the cheapest setting of a policy that meets a target on a scenario.
#include <optional>
#include <string>
#include <vector>

#include "aio/task.h"
#include "app/cli.h"
#include "app/context.h"
#include "app/simulate_load.h"
#include "app/simulate_tune_text.h"
#include "lab/tunable.h"

namespace sluice::app {

struct TuneRequest {
  const lab::Tunable* what = nullptr;
  lab::Target target;
  std::size_t threads = 1;
  std::optional<std::string> journals;  // a folder that is there
  std::optional<std::string> csv;       // a file, a line for each run
};

[[nodiscard]] std::vector<std::string> tune_words();  // the policies that can be tuned
// Empty when it is not asked for; an error when it is asked for in the wrong way.
[[nodiscard]] Result<std::optional<TuneRequest>> tune_request(const Args& args);
// Prints what it found for each scenario; the exit code.
aio::Task<int> tune(Context& context, std::vector<Loaded> loaded, TuneRequest request);

// The search on one scenario, whose policies are of no matter. Requires: a policy that can decide there.
aio::Task<TuneOutcome> tuned(Context& context, Loaded loaded, lab::Tuned policy, TuneRequest request);

}  // namespace sluice::app
