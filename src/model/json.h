// SPDX-License-Identifier: Apache-2.0
#pragma once
// The journal's JSON of the values in this folder, version 1: keys in a fixed order, no spaces, unknown is null. What
// is written reads back to an equal value; that is what makes the journal a replayable record.
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/decision.h"
#include "model/observation.h"

namespace boost::json {
class value;
}

namespace sluice::model {

[[nodiscard]] std::string_view word(AgeKind kind);

// Each appends to `out`, which lets a tick's line be built in one buffer.
void append_json(std::string& out, const Observation& seen);
void append_json(std::string& out, const Decision& decision);
void append_json(std::string& out, const Plan& plan);
// `text` as a JSON string with its quotes.
void append_json_string(std::string& out, std::string_view text);

// The exact inverse. A key that is absent is unknown, null, 0 or empty, as its type allows; a key that is not known, a
// wrong type and a count below zero are Code::invalid with "$.path: what was found; what is accepted". `at_ms` is not
// part of `seen` and stays 0.
[[nodiscard]] Result<Observation> observation_from_json(const boost::json::value& json, const std::string& path);
[[nodiscard]] Result<Decision> decision_from_json(const boost::json::value& json, const std::string& path);
[[nodiscard]] Result<Plan> plan_from_json(const boost::json::value& json, const std::string& path);

}  // namespace sluice::model
