// SPDX-License-Identifier: Apache-2.0
#pragma once
// The members of a JSON object as the texts that they are, for what is passed on as it came: numbers keep their digits,
// and no depth is too deep. Cuts alone; what is cut out is parsed by who gets it.
#include <optional>
#include <string_view>
#include <vector>

namespace sluice::kube {

struct JsonMember {
  std::string_view key;    // with its quotes and escapes
  std::string_view value;  // without blanks around it
};

// Of the object that `text` holds; empty when it holds none.
[[nodiscard]] std::optional<std::vector<JsonMember>> json_members(std::string_view text);

}  // namespace sluice::kube
