// SPDX-License-Identifier: Apache-2.0
#pragma once
// A shape as the API server judges it: a *structural* OpenAPI v3 schema, with CEL for what OpenAPI cannot say.
//
// Not the JSON schema of schema.cc with another name: structural schemas know no additionalProperties: false (the API
// server prunes, and refuses unknown fields on request), no alternatives of types, and every CEL rule costs from a
// budget that is computed from maxLength, maxItems and maxProperties.
#include <boost/json.hpp>
#include <string>

#include "pool/shape.h"

namespace sluice::pool {

[[nodiscard]] boost::json::object crd_schema(const Shape& shape);

// What a text of this form must fulfil, as CEL about `self`; empty: anything. Never an error, whatever the text.
[[nodiscard]] std::string form_rule(Form form);
// The same for the durations, sizes and fractions between the field's bounds.
[[nodiscard]] std::string duration_rule(Kind kind, const Field& field);
// A pattern, for where CEL cannot look: no part of the duration is longer than `longest`, though their sum may be.
[[nodiscard]] std::string duration_pattern(Duration longest);
[[nodiscard]] std::string bytes_rule(const Field& field);
[[nodiscard]] std::string decimal_rule();

// RE2: what looks like the user and password of a URL.
inline constexpr std::string_view credentials_pattern = R"(://[^/?# \t\r\n"']*:[^/?# \t\r\n"']*@)";

}  // namespace sluice::pool
