// SPDX-License-Identifier: Apache-2.0
#pragma once
// From a scenario's text, and the files it names, to what can be run.
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "lab/scenario.h"
#include "pool/problem.h"

namespace sluice::lab {

struct Bin {
  Duration at{0};  // from the first bin
  std::int64_t arrivals = 0;
};

// The files of a scenario, by the names it calls them.
struct Files {
  std::map<std::string, std::vector<Bin>, std::less<>> traces;
  std::map<std::string, std::vector<double>, std::less<>> quantiles;
};

struct Read {
  std::optional<Scenario> scenario;
  Files files;
  std::vector<pool::Problem> problems;
};

// A scenario with its files, or everything that is wrong with it; never both, never neither. `open` gives the text of a
// file that the scenario names.
[[nodiscard]] Read read_scenario(std::string_view text,
                                 const std::function<Result<std::string>(const std::string&)>& open);

// `time_s,arrivals` lines under a header, times rising; and `quantile,size` lines, both rising.
[[nodiscard]] Result<std::vector<Bin>> parse_trace(std::string_view csv);
[[nodiscard]] Result<std::vector<double>> parse_quantiles(std::string_view csv);

// The pool that a policy makes of a load: whole, as a pool file would give it.
[[nodiscard]] pool::Pool pool_of(const Scenario& scenario, const Load& load, const Contender& contender);
// "threshold 20", "backlogPerWorker 5": what a policy is called that was given no name.
[[nodiscard]] std::string name_of(const Contender& contender);

}  // namespace sluice::lab
