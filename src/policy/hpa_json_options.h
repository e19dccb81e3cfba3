// SPDX-License-Identifier: Apache-2.0
#pragma once
// The options of a line of `sluice decide`. Include in .cc files only.
#include "model/json_reader.h"
#include "policy/hpa.h"

namespace sluice::policy::hpa_json {

// Reads $.policy.hpa, which is `in`; the first problem is in `error`.
[[nodiscard]] HpaOptions read_options(model::JsonReader& in, std::optional<Error>& error);

}  // namespace sluice::policy::hpa_json
