// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which numbers of which policy can be tuned: a table. The settings go through a policy's text, so that a further
// policy is one line here, whatever its C++ type.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lab/tune.h"

namespace sluice::lab {

enum class KnobForm { count, quantity, time };
struct Knob {
  std::string_view name;               // what people call it
  std::vector<std::string_view> path;  // below the policy's word
  KnobForm form = KnobForm::count;
  int finest = 2;  // the highest level of its grid
};
struct Tunable {
  std::string_view policy;
  std::string_view text;  // its JSON where the scenario has none, values of the knobs included
  std::vector<Knob> knobs;
  std::string_view remark;  // to who has found a setting, "N" being the first knob's value; may be empty
};

[[nodiscard]] const std::vector<Tunable>& tunables();

// A policy of a scenario with its knobs free.
struct Tuned {
  const Tunable* what = nullptr;
  std::string base;                 // the whole contender as JSON
  std::optional<std::string> from;  // the policy of the scenario that the rest is taken from
};
// The first policy of that kind in the scenario, else the default one; an error where it cannot decide there.
[[nodiscard]] Result<Tuned> tuned_policy(const Scenario& scenario, const Tunable& what);

[[nodiscard]] std::vector<Grid> grids_of(const Tunable& what);
// Called "hpa 20".
[[nodiscard]] Contender contender_of(const Tuned& tuned, const Setting& setting);
[[nodiscard]] std::string name_of(const Tunable& what, const Setting& setting);
[[nodiscard]] std::string remark_of(const Tunable& what, const Setting& setting);
// {"averageValue":"20"}
[[nodiscard]] std::string setting_json(const Tunable& what, const Setting& setting);
// {"policy":{..}}, with its workers if it has its own: as in a pool's spec.
[[nodiscard]] std::string spec_json(const Contender& contender);
// The same as YAML, with ends.
[[nodiscard]] std::string spec_yaml(const Contender& contender);

}  // namespace sluice::lab
