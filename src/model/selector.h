// SPDX-License-Identifier: Apache-2.0
#pragma once
// A Kubernetes label selector as values: requirements that must all hold.
#include <string>
#include <vector>

namespace sluice::model {

enum class SelectorOperator { equals, not_equals, in, not_in, exists, does_not_exist, greater_than, less_than };

struct Requirement {
  std::string key;
  SelectorOperator op = SelectorOperator::equals;
  std::vector<std::string> values = {};  // one for equals, not_equals, greater_than, less_than; none for exists
  friend bool operator==(const Requirement&, const Requirement&) = default;
};

// Sorted by key. Empty: everything.
using Selector = std::vector<Requirement>;

}  // namespace sluice::model
