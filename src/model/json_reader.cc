// SPDX-License-Identifier: Apache-2.0
#include "model/json_reader.h"

#include <fmt/core.h>

#include <limits>
#include <vector>

#include "base/nearest.h"

namespace sluice::model {
namespace {

// What every JSON reader can hold exactly (2^53); it also leaves room to add and subtract times without overflow.
constexpr std::int64_t integer_max = std::int64_t{1} << 53;

}  // namespace

std::string kind_of(const boost::json::value& json) {
  switch (json.kind()) {
    case boost::json::kind::null:
      return "null";
    case boost::json::kind::bool_:
      return json.get_bool() ? "true" : "false";
    case boost::json::kind::int64:
      return std::to_string(json.get_int64());
    case boost::json::kind::uint64:
      return std::to_string(json.get_uint64());
    case boost::json::kind::double_:
      return fmt::format("{}", json.get_double());
    case boost::json::kind::string:
      return fmt::format("\"{}\"", std::string_view(json.get_string()).substr(0, 40));
    case boost::json::kind::array:
      return "an array";
    case boost::json::kind::object:
      return "an object";
  }
  return "null";
}

JsonReader::JsonReader(const boost::json::value& json, std::string path, std::optional<Error>& error)
    : object_(json.if_object()), path_(std::move(path)), error_(error) {
  if (object_ == nullptr && !error_) {
    error_ = Error{Code::invalid, fmt::format("{}: {}; accepted: an object", path_, kind_of(json))};
  }
}

void JsonReader::fail(std::string_view key, std::string_view found, std::string_view accepted) {
  if (!error_) {
    error_ = Error{Code::invalid, fmt::format("{}: {}; accepted: {}", at(key), found, accepted)};
  }
}

const boost::json::value* JsonReader::get(std::string_view key) {
  known_.emplace(key);
  const boost::json::value* member = object_ == nullptr ? nullptr : object_->if_contains(key);
  return member == nullptr || member->is_null() ? nullptr : member;
}

void JsonReader::integer(std::string_view key, std::optional<std::int64_t>& out, std::int64_t least) {
  const boost::json::value* member = get(key);
  if (member == nullptr) {
    return;
  }
  const std::int64_t* n = member->if_int64();
  if (n != nullptr && (*n > integer_max || *n < -integer_max)) {
    fail(key, kind_of(*member), fmt::format("a whole number, at most {}", integer_max));
    return;
  }
  if (n == nullptr || *n < least) {
    fail(key, kind_of(*member),
         least == 0 ? "a whole number, 0 or more" : fmt::format("a whole number, {} or more", least));
    return;
  }
  out = *n;
}

void JsonReader::integer(std::string_view key, std::int64_t& out, std::int64_t least) {
  std::optional<std::int64_t> n;
  integer(key, n, least);
  out = n.value_or(out);
}

void JsonReader::text(std::string_view key, std::optional<std::string>& out) {
  const boost::json::value* member = get(key);
  if (member == nullptr) {
    return;
  }
  if (!member->is_string()) {
    fail(key, kind_of(*member), "a string");
    return;
  }
  out = std::string(member->get_string());
}

void JsonReader::text(std::string_view key, std::string& out) {
  std::optional<std::string> t;
  text(key, t);
  if (t) {
    out = std::move(*t);
  }
}

void JsonReader::boolean(std::string_view key, bool& out) {
  const boost::json::value* member = get(key);
  if (member == nullptr) {
    return;
  }
  if (!member->is_bool()) {
    fail(key, kind_of(*member), "true or false");
    return;
  }
  out = member->get_bool();
}

std::optional<JsonReader> JsonReader::object(std::string_view key) {
  const boost::json::value* member = get(key);
  if (member == nullptr) {
    return std::nullopt;
  }
  return JsonReader(*member, at(key), error_);
}

void JsonReader::end() {
  if (object_ == nullptr || error_) {
    return;
  }
  for (const auto& member : *object_) {
    if (!known_.contains(std::string_view(member.key()))) {
      const std::vector<std::string> names(known_.begin(), known_.end());
      const auto near = nearest(member.key(), names);
      std::string accepted;
      for (const std::string& name : names) {
        accepted += (accepted.empty() ? "" : ", ") + name;
      }
      fail(member.key(), "unknown field", near ? fmt::format("did you mean {}?", *near) : accepted);
      return;
    }
  }
}

}  // namespace sluice::model
