// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the readers of an HPA's options, state and observation share. Include in .cc files only.
#include <fmt/core.h>

#include <cmath>
#include <limits>
#include <span>

#include "model/json_reader.h"
#include "model/quantity.h"

namespace sluice::policy::hpa_json {

using boost::json::value;
using model::JsonReader;

constexpr std::int32_t int32_most = std::numeric_limits<std::int32_t>::max();
// Three hundred years to either side: every clock, and far from the ends of an int64 of microseconds.
constexpr double seconds_most = 1e10;

template <class Enum>
struct Named {
  std::string_view word;
  Enum is;
};

// Absent or null leaves `out` as it is. Returns whether it was there.
inline bool whole(JsonReader& in, std::string_view key, std::int32_t& out, std::int32_t least = 0,
                  std::int32_t most = int32_most) {
  const value* member = in.get(key);
  if (member == nullptr) {
    return false;
  }
  const std::int64_t* n = member->if_int64();
  if (n == nullptr || *n < least || *n > most) {
    in.fail(key, model::kind_of(*member), fmt::format("a whole number from {} to {}", least, most));
    return true;
  }
  out = static_cast<std::int32_t>(*n);
  return true;
}

inline std::optional<double> number(const value& json) {
  boost::system::error_code failed;
  const auto out = json.to_number<double>(failed);
  return failed || !json.is_number() || !std::isfinite(out) ? std::nullopt : std::optional(out);
}

inline bool microseconds(JsonReader& in, std::string_view key, std::int64_t& out, double least = -seconds_most) {
  const value* member = in.get(key);
  if (member == nullptr) {
    return false;
  }
  const std::optional<double> s = number(*member);
  if (!s || *s < least || *s > seconds_most) {
    in.fail(key, model::kind_of(*member),
            fmt::format("a number of seconds from {:.0f} to {:.0f}", least, seconds_most));
    return true;
  }
  out = std::llround(*s * 1e6);
  return true;
}

template <class Enum>
bool one_of(JsonReader& in, std::string_view key, std::type_identity_t<std::span<const Named<Enum>>> words, Enum& out) {
  const value* member = in.get(key);
  if (member == nullptr) {
    return false;
  }
  std::string accepted;
  for (const Named<Enum>& named : words) {
    if (member->is_string() && std::string_view(member->get_string()) == named.word) {
      out = named.is;
      return true;
    }
    accepted += (accepted.empty() ? "" : ", ") + std::string(named.word);
  }
  in.fail(key, model::kind_of(*member), accepted);
  return true;
}

// A quantity as text or number; empty where it is none.
inline std::optional<model::Quantity> quantity_of(const value& json) {
  const std::optional<double> n = number(json);
  const std::string text = json.is_string() ? std::string(json.get_string()) : n ? fmt::format("{}", *n) : "";
  const Result<model::Quantity> out = model::parse_quantity(json.is_int64() ? std::to_string(json.get_int64()) : text);
  return out ? std::optional(*out) : std::nullopt;
}

// The elements; empty and a failure where it is no array. `found` tells absent from empty.
inline std::span<const value> list(JsonReader& in, std::string_view key, std::string_view accepted, bool& found) {
  const value* member = in.get(key);
  found = member != nullptr;
  if (member == nullptr) {
    return {};
  }
  if (!member->is_array()) {
    in.fail(key, model::kind_of(*member), accepted);
    return {};
  }
  return {member->get_array().data(), member->get_array().size()};
}

inline void require(JsonReader& in, std::string_view key, bool found, std::string_view accepted) {
  if (!found) {
    in.fail(key, "nothing", accepted);
  }
}

}  // namespace sluice::policy::hpa_json
