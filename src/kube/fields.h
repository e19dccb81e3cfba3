// SPDX-License-Identifier: Apache-2.0
#pragma once
// Fields of the API server's JSON: what is absent keeps its default, what is of another kind is an error that names it,
// what nobody asks for is another version's affair. Include in .cc files only.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "base/time.h"
#include "kube/objects.h"

namespace sluice::kube {

// Reads what it is asked for and remembers the first field that was of another kind.
class Fields {
 public:
  Fields(const boost::json::value* value, std::string path, std::optional<Error>& error)
      : object_(value != nullptr ? value->if_object() : nullptr), path_(std::move(path)), error_(error) {
    if (value != nullptr && object_ == nullptr && !value->is_null()) {
      fail("", "an object");
    }
  }
  [[nodiscard]] const boost::json::value* get(std::string_view key) const {
    const boost::json::value* value = object_ != nullptr ? object_->if_contains({key.data(), key.size()}) : nullptr;
    return value != nullptr && !value->is_null() ? value : nullptr;
  }
  [[nodiscard]] Fields in(std::string_view key) const { return {get(key), path_ + "." + std::string(key), error_}; }
  void fail(std::string_view key, std::string_view accepted) const {
    if (!error_) {
      error_ = Error{Code::invalid, fmt::format("{}{}{}: not {}", path_, key.empty() ? "" : ".", key, accepted)};
    }
  }
  // The same, called by this name in errors.
  [[nodiscard]] Fields named(std::string_view key, std::string_view name) const {
    return {get(key), std::string(name), error_};
  }
  [[nodiscard]] std::string text(std::string_view key) const {
    const boost::json::value* value = get(key);
    if (value != nullptr && !value->is_string()) {
      fail(key, "a string");
    }
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
  }
  [[nodiscard]] std::int64_t number(std::string_view key) const {
    const boost::json::value* value = get(key);
    if (value != nullptr && !value->is_int64()) {
      fail(key, "a whole number");
    }
    return value != nullptr && value->is_int64() ? value->get_int64() : 0;
  }
  // Counts and codes of the API are int32.
  [[nodiscard]] int small(std::string_view key) const {
    const std::int64_t n = number(key);
    if (n < std::numeric_limits<std::int32_t>::min() || n > std::numeric_limits<std::int32_t>::max()) {
      fail(key, "a number of 32 bits");
      return 0;
    }
    return static_cast<int>(n);
  }
  [[nodiscard]] bool truth(std::string_view key) const {
    const boost::json::value* value = get(key);
    if (value != nullptr && !value->is_bool()) {
      fail(key, "true or false");
    }
    return value != nullptr && value->is_bool() && value->get_bool();
  }
  [[nodiscard]] std::optional<WallTime> time(std::string_view key) const {
    const std::string written = text(key);
    const std::optional<WallTime> at = written.empty() ? std::nullopt : parse_wall(written);
    if (!written.empty() && !at) {
      fail(key, "a time as in RFC 3339");
    }
    return at;
  }
  template <class Each>
  void each(std::string_view key, const Each& take) const {
    const boost::json::value* value = get(key);
    if (value == nullptr) {
      return;
    }
    if (!value->is_array()) {
      fail(key, "an array");
      return;
    }
    for (std::size_t i = 0; i < value->get_array().size(); ++i) {
      take(Fields(&value->get_array()[i], fmt::format("{}.{}[{}]", path_, key, i), error_));
    }
  }
  // Calls take(type, status, its fields) for each.
  template <class Take>
  void conditions(const Take& take) const {
    each("conditions", [&](const Fields& one) { take(one.text("type"), one.text("status"), one); });
  }

 private:
  const boost::json::object* object_;
  std::string path_;
  std::optional<Error>& error_;
};

// The API server's depth limit for what it stores is of this order; a Job's is about 20.
inline constexpr std::size_t depth_max = 64;

// What `read` makes of the object.
template <class T, class Read>
[[nodiscard]] Result<T> read_object(std::string_view text, std::string_view name, const Read& read) {
  boost::json::error_code failed;
  boost::json::parse_options options;
  options.max_depth = depth_max;
  boost::json::monotonic_resource memory;
  const boost::json::value value = boost::json::parse({text.data(), text.size()}, failed, &memory, options);
  if (failed) {
    return Error{Code::invalid, fmt::format("{}: no JSON that can be read: {}", name, failed.message())};
  }
  std::optional<Error> error;
  T out = read(Fields(&value, std::string(name), error));
  return error ? Result<T>(*error) : Result<T>(std::move(out));
}

// Parts that every object has.
[[nodiscard]] Meta meta_of(const Fields& object);
[[nodiscard]] Status status_of(const Fields& status);
[[nodiscard]] Pod pod_of(const Fields& object);

// One line of a watch of objects that `of` reads.
template <class T>
[[nodiscard]] Result<Event<T>> read_event(std::string_view json, std::string_view name, T (*of)(const Fields&)) {
  constexpr std::array<std::pair<std::string_view, EventType>, 5> words{{{"ADDED", EventType::added},
                                                                         {"MODIFIED", EventType::modified},
                                                                         {"DELETED", EventType::deleted},
                                                                         {"BOOKMARK", EventType::bookmark},
                                                                         {"ERROR", EventType::error}}};
  return read_object<Event<T>>(json, "event", [&](const Fields& event) {
    Event<T> out;
    const std::string type = event.text("type");
    const auto* const known = std::ranges::find(words, type, &decltype(words)::value_type::first);
    if (known == words.end() || event.get("object") == nullptr) {
      event.fail(known == words.end() ? "type" : "object", known == words.end() ? "a known type of event" : "there");
      return out;
    }
    out.type = known->second;
    const Fields object = event.named("object", name);
    if (out.type == EventType::error) {
      out.error = status_of(object);
    } else {
      out.object = of(object);
    }
    return out;
  });
}

}  // namespace sluice::kube
