// SPDX-License-Identifier: Apache-2.0
#include "external/front_proxy.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>
#include <utility>

#include "base/text.h"
#include "external/unescape.h"
#include "model/strict_json.h"

namespace sluice::external {
namespace {

namespace json = boost::json;
using aio::http::HeaderList;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_name(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

// The first of the names under which something stands; of a field that is repeated its first value.
std::string first_value(const HeaderList& headers, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const std::optional<std::string_view> value = aio::http::header(headers, name);
    if (value && !value->empty()) {
      return std::string(*value);
    }
  }
  return {};
}

std::vector<std::string> all_values(const HeaderList& headers, const std::vector<std::string>& names) {
  std::vector<std::string> out;
  for (const std::string& name : names) {
    for (const auto& [field, value] : headers) {
      if (same_name(field, name) && !value.empty()) {
        out.push_back(value);
      }
    }
  }
  return out;
}

// "X-Remote-Extra-Example.com%2fScopes" is the key "example.com/scopes". One that does not decode stays as it is.
void add_extra(const HeaderList& headers, std::string_view prefix, User& user) {
  for (const auto& [field, value] : headers) {
    if (!same_name(std::string_view(field).substr(0, prefix.size()), prefix)) {
      continue;
    }
    std::string key = field.substr(prefix.size());
    std::ranges::transform(key, key.begin(), lower);
    user.extra[unescaped(key).value_or(key)].push_back(value);
  }
}

// Empty when the front proxy names nobody: then it asks for itself.
std::optional<User> user_of_headers(const ProxyConfig& config, const HeaderList& headers) {
  User user{.name = first_value(headers, config.user_headers)};
  if (user.name.empty()) {
    return std::nullopt;
  }
  user.uid = first_value(headers, config.uid_headers);
  user.groups = all_values(headers, config.group_headers);
  for (const std::string& prefix : config.extra_prefixes) {
    add_extra(headers, prefix, user);
  }
  return authenticated(std::move(user));
}

bool allowed(const ProxyConfig& config, const std::string& common_name) {
  return config.allowed_names.empty() ||
         std::ranges::find(config.allowed_names, common_name) != config.allowed_names.end();
}

// "Bearer TOKEN", the word in any case; what follows a second blank is not looked at.
std::optional<std::string> bearer(const HeaderList& headers) {
  constexpr std::string_view word = "bearer";
  const std::string_view value = trimmed(aio::http::header(headers, "Authorization").value_or(""));
  const std::size_t blank = value.find(' ');
  if (blank == std::string_view::npos || !same_name(value.substr(0, blank), word)) {
    return std::nullopt;
  }
  const std::string_view rest = value.substr(blank + 1);
  const std::string_view token = rest.substr(0, rest.find(' '));
  return token.empty() ? std::nullopt : std::optional(std::string(token));
}

Error wrong(std::string_view key, std::string_view what) {
  return Error{Code::invalid, fmt::format("ConfigMap extension-apiserver-authentication: {}: {}", key, what)};
}

Result<std::string> text_of(const json::object& data, std::string_view key) {
  const json::value* const value = data.if_contains(key);
  if (value == nullptr) {
    return std::string();
  }
  return value->is_string() ? Result<std::string>(std::string(value->get_string())) : wrong(key, "not a string");
}

Result<void> read_pem(const json::object& data, std::string_view key, std::string& out) {
  Result<std::string> text = text_of(data, key);
  if (!text) {
    return text.error();
  }
  if (!trimmed(*text).empty() && !text->contains("-----BEGIN CERTIFICATE-----")) {
    return wrong(key, "no certificate in it; accepted: PEM");
  }
  out = trimmed(*text).empty() ? "" : std::move(*text);
  return {};
}

// A JSON array of strings within a string. An empty name would be a header without one, or a prefix of them all.
Result<void> read_names(const json::object& data, std::string_view key, std::vector<std::string>& out) {
  const Result<std::string> text = text_of(data, key);
  if (!text || text->empty()) {
    return text ? Result<void>() : text.error();
  }
  const Result<json::value> list = model::parse_strict_json(*text);
  if (!list || !list->is_array()) {
    return wrong(key, "not a JSON array of strings");
  }
  for (const json::value& name : list->get_array()) {
    if (!name.is_string() || trimmed(name.get_string()).empty()) {
      return wrong(key, "not a JSON array of strings, of which none is empty");
    }
    out.emplace_back(trimmed(name.get_string()));
  }
  return {};
}

}  // namespace

User authenticated(User user) {
  const bool said = std::ranges::any_of(user.groups, [](const std::string& group) {
    return group == authenticated_group || group == "system:unauthenticated";
  });
  if (!said && user.name != "system:anonymous") {
    user.groups.emplace_back(authenticated_group);
  }
  return user;
}

Result<ProxyConfig> parse_proxy_config(std::string_view config_map) {
  const Result<json::value> read = model::parse_strict_json(config_map);
  if (!read) {
    return read.error().in("ConfigMap extension-apiserver-authentication");
  }
  const json::value* const data = read->is_object() ? read->get_object().if_contains("data") : nullptr;
  if (data == nullptr || !data->is_object()) {
    return wrong("data", "absent or not an object");
  }
  const json::object& fields = data->get_object();
  ProxyConfig out;
  Result<void> done = read_pem(fields, "client-ca-file", out.client_ca_pem);
  done = done ? read_pem(fields, "requestheader-client-ca-file", out.proxy_ca_pem) : done;
  const std::pair<std::string_view, std::vector<std::string>*> lists[] = {
      {"requestheader-allowed-names", &out.allowed_names},
      {"requestheader-username-headers", &out.user_headers},
      {"requestheader-uid-headers", &out.uid_headers},
      {"requestheader-group-headers", &out.group_headers},
      {"requestheader-extra-headers-prefix", &out.extra_prefixes},
  };
  for (const auto& [key, into] : lists) {
    done = done ? read_names(fields, key, *into) : done;
  }
  return done ? Result<ProxyConfig>(std::move(out)) : done.error();
}

Asker who_asks(const PeerFacts& peer, const ProxyConfig& config, const HeaderList& headers) {
  std::string why;
  if (peer.shown && !config.proxy_ca_pem.empty()) {
    if (!peer.proxy) {
      why = "the certificate is not one of the front proxy's authority";
    } else if (!allowed(config, peer.proxy->common_name)) {
      why = "the certificate is of the front proxy's authority, but its name is not an allowed one";
    } else if (std::optional<User> user = user_of_headers(config, headers)) {
      return *std::move(user);
    }
  }
  if (peer.shown && !config.client_ca_pem.empty()) {
    if (peer.client && !peer.client->common_name.empty()) {
      return authenticated(User{.name = peer.client->common_name, .groups = peer.client->organizations});
    }
    if (!peer.client) {
      why += (why.empty() ? "" : ", and ") + std::string("the certificate is not one of the clients' authority");
    }
  }
  if (std::optional<std::string> token = bearer(headers)) {
    return BearerToken{*std::move(token)};
  }
  if (!why.empty()) {
    return Refused{std::move(why)};
  }
  if (!first_value(headers, config.user_headers).empty()) {
    return Refused{"a user is named in headers, which only the front proxy may do, with its certificate"};
  }
  return User{.name = "system:anonymous", .groups = {"system:unauthenticated"}};
}

}  // namespace sluice::external
