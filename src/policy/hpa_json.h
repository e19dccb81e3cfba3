// SPDX-License-Identifier: Apache-2.0
#pragma once
// The JSON of the stock HPA: the lines of `sluice decide` and the state that the journal keeps.
//
// Kubernetes' own names where it has some (behavior), quantities as text or number, times in seconds to the
// microsecond.
#include <string>

#include "base/result.h"
#include "policy/hpa.h"

namespace boost::json {
class value;
}

namespace sluice::policy {

struct HpaQuestion {
  HpaOptions options;
  HpaState state;
  HpaSeen seen;
};

// Of a whole line. Code::invalid with "$.path: what was found; what is accepted" for what the API server would refuse,
// for unknown fields and for readings that do not fit their metric. What sync() requires holds afterwards.
[[nodiscard]] Result<HpaQuestion> hpa_question_from_json(const boost::json::value& line);
// The answer to it, without a line end.
[[nodiscard]] std::string answer_json(const HpaQuestion& question, const HpaStep& step);

void append_json(std::string& out, const HpaState& state);
// The exact inverse; JSON null is a default state.
[[nodiscard]] Result<HpaState> hpa_state_from_json(const boost::json::value& json, const std::string& path);

}  // namespace sluice::policy
