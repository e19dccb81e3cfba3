// SPDX-License-Identifier: Apache-2.0
#pragma once
// JSON of another program, read strictly: one value and nothing after it, at most 32 deep, valid UTF-8, no key twice in
// one object (two readers would see two values). Include in .cc files only.
#include <boost/json.hpp>
#include <string_view>

#include "base/result.h"

namespace sluice::model {

// Code::invalid otherwise; the text says what is wrong and where, never what was there.
[[nodiscard]] Result<boost::json::value> parse_strict_json(std::string_view text);

}  // namespace sluice::model
