// SPDX-License-Identifier: Apache-2.0
#pragma once
// The target of a request in parts: its path, and the parameters behind the question mark.
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::serve {

struct Query {
  std::string path;  // as it was sent; ours need no escapes
  std::map<std::string, std::string, std::less<>> parameters;
  // Empty when it was not given.
  [[nodiscard]] std::string_view get(std::string_view name) const;
};

// "/path?name=value&name=value", percent-encoded, '+' a blank. Code::invalid for broken escapes, control characters, a
// parameter given twice, and more of them than anybody needs.
[[nodiscard]] Result<Query> parse_target(std::string_view target);
// Code::invalid, naming what is accepted, when there is a parameter that is not.
[[nodiscard]] Result<void> only(const Query& query, std::initializer_list<std::string_view> accepted);

}  // namespace sluice::serve
