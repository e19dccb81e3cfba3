// SPDX-License-Identifier: Apache-2.0
#pragma once
// Writes YAML that every reader takes alike: blocks of two blanks, and quotes wherever a text could be anything else.
#include <boost/json.hpp>
#include <string>

namespace sluice::pool {

[[nodiscard]] std::string yaml_text(const boost::json::value& value);

}  // namespace sluice::pool
