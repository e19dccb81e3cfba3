// SPDX-License-Identifier: Apache-2.0
#include "external/review.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>
#include <utility>

#include "model/json.h"
#include "model/strict_json.h"

namespace sluice::external {
namespace {

namespace json = boost::json;

constexpr std::size_t answer_max = 64U << 10U;  // chosen: a user of 500 groups is 30 KB

void member(std::string& out, std::string_view key, std::string_view value) {
  out += out.ends_with('{') ? "" : ",";
  model::append_json_string(out, key);
  out += ':';
  model::append_json_string(out, value);
}

void append_list(std::string& out, const std::vector<std::string>& values) {
  out += '[';
  for (std::size_t i = 0; i < values.size(); ++i) {
    out += i == 0 ? "" : ",";
    model::append_json_string(out, values[i]);
  }
  out += ']';
}

void append_user(std::string& out, const User& user) {
  member(out, "user", user.name);
  if (!user.uid.empty()) {
    member(out, "uid", user.uid);
  }
  if (!user.groups.empty()) {
    out += R"(,"groups":)";
    append_list(out, user.groups);
  }
  if (user.extra.empty()) {
    return;
  }
  out += R"(,"extra":)";
  char between = '{';
  for (const auto& [key, values] : user.extra) {
    out += between;
    model::append_json_string(out, key);
    out += ':';
    append_list(out, values);
    between = ',';
  }
  out += '}';
}

Error wrong(std::string_view kind, std::string_view what) {
  return Error{Code::invalid, fmt::format("answer to a {}: {}", kind, what)};
}

// The status of a review of this kind.
Result<json::object> status_of(std::string_view body, std::string_view kind) {
  if (body.size() > answer_max) {
    return wrong(kind, fmt::format("longer than {} bytes", answer_max));
  }
  Result<json::value> read = model::parse_strict_json(body);
  if (!read) {
    return read.error().in(fmt::format("answer to a {}", kind));
  }
  json::object* const review = read->if_object();
  const json::value* const named = review != nullptr ? review->if_contains("kind") : nullptr;
  if (named == nullptr || !named->is_string() || named->get_string() != kind) {
    return wrong(kind, "another kind of object");
  }
  json::value* const status = review->if_contains("status");
  return status != nullptr && status->is_object() ? Result<json::object>(std::move(status->get_object()))
                                                  : wrong(kind, "it has no status");
}

// What is absent or null stays as it is. False for another type.
bool read(const json::object& from, std::string_view key, bool& out) {
  const json::value* const value = from.if_contains(key);
  if (value == nullptr || value->is_null()) {
    return true;
  }
  out = value->is_bool() && value->get_bool();
  return value->is_bool();
}

bool read(const json::object& from, std::string_view key, std::string& out) {
  const json::value* const value = from.if_contains(key);
  if (value == nullptr || value->is_null()) {
    return true;
  }
  out = value->is_string() ? std::string(value->get_string()) : "";
  return value->is_string();
}

bool read(const json::value& list, std::vector<std::string>& out) {
  if (!list.is_array()) {
    return list.is_null();
  }
  for (const json::value& each : list.get_array()) {
    if (!each.is_string()) {
      return false;
    }
    out.emplace_back(each.get_string());
  }
  return true;
}

bool read_user(const json::object& from, User& out) {
  bool good = read(from, "username", out.name) && read(from, "uid", out.uid);
  if (const json::value* const groups = from.if_contains("groups")) {
    good = good && read(*groups, out.groups);
  }
  const json::value* const extra = from.if_contains("extra");
  if (extra == nullptr || extra->is_null()) {
    return good;
  }
  if (!extra->is_object()) {
    return false;
  }
  for (const auto& [key, values] : extra->get_object()) {
    good = good && read(values, out.extra[std::string(key)]);
  }
  return good;
}

}  // namespace

std::string token_review_body(std::string_view token) {
  std::string out = R"({"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{)";
  member(out, "token", token);
  return out + "}}";
}

Result<std::optional<User>> parse_token_review(std::string_view body) {
  constexpr std::string_view kind = "TokenReview";
  const Result<json::object> status = status_of(body, kind);
  if (!status) {
    return status.error();
  }
  bool is_somebody = false;
  if (!read(*status, "authenticated", is_somebody)) {
    return wrong(kind, "status.authenticated is no boolean");
  }
  if (!is_somebody) {
    return std::optional<User>();
  }
  User user;
  const json::value* const about = status->if_contains("user");
  if (about == nullptr || !about->is_object() || !read_user(about->get_object(), user) || user.name.empty()) {
    return wrong(kind, "status.user is no user with a name");
  }
  return std::optional(authenticated(std::move(user)));
}

Act act_of(const Route& route) {
  if (route.kind == Route::Kind::metric) {
    return {.verb = route.watch ? "watch" : "list", .space = route.space, .resource = route.metric};
  }
  return {.verb = "get", .path = route.path};
}

bool always_allowed(const Route& route) {
  return route.kind == Route::Kind::health;
}

bool always_allowed(const User& user) {
  return std::ranges::find(user.groups, "system:masters") != user.groups.end();
}

std::string access_review_body(const User& user, const Act& act) {
  std::string out = R"({"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{)";
  if (act.resource.empty()) {
    out += R"("nonResourceAttributes":{)";
    member(out, "path", act.path);
  } else {
    out += R"("resourceAttributes":{)";
    member(out, "namespace", act.space);
    member(out, "group", api_group);
    member(out, "version", api_version);
    member(out, "resource", act.resource);
  }
  member(out, "verb", act.verb);
  out += '}';
  append_user(out, user);
  return out + "}}";
}

Result<Ruling> parse_access_review(std::string_view body) {
  constexpr std::string_view kind = "SubjectAccessReview";
  const Result<json::object> status = status_of(body, kind);
  if (!status) {
    return status.error();
  }
  Ruling out;
  bool denied = false;
  if (!status->contains("allowed") || !read(*status, "allowed", out.allowed) || !read(*status, "denied", denied) ||
      !read(*status, "reason", out.reason)) {
    return wrong(kind, "status is not {allowed, denied, reason}");
  }
  out.allowed = out.allowed && !denied;
  return out;
}

std::string forbidden_message(const User& user, const Act& act, const Ruling& ruling) {
  const std::string what = act.resource.empty()
                               ? fmt::format("cannot {} path \"{}\"", act.verb, act.path)
                               : fmt::format("cannot {} resource \"{}\" in API group \"{}\" in the namespace \"{}\"",
                                             act.verb, act.resource, api_group, act.space);
  const std::string where =
      act.resource.empty() ? "forbidden" : fmt::format("{}.{} is forbidden", act.resource, api_group);
  return fmt::format("{}: User \"{}\" {}{}{}", where, user.name, what, ruling.reason.empty() ? "" : ": ",
                     ruling.reason);
}

}  // namespace sluice::external
