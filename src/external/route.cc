// SPDX-License-Identifier: Apache-2.0
#include "external/route.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "external/unescape.h"

namespace sluice::external {
namespace {

constexpr std::size_t space_max = 63;  // a DNS label, as every namespace's name

Error wrong(std::string_view what) {
  return Error{Code::invalid, fmt::format("request target: {}", what)};
}

bool printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c < '\x7f'; });
}

bool is_space(std::string_view text) {
  const auto small = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !text.empty() && text.size() <= space_max && small(text.front()) && small(text.back()) &&
         std::ranges::all_of(text, [&](char c) { return small(c) || c == '-'; });
}

// What apimachinery lets a path segment be, which is what an HPA's metric name is checked against.
bool is_segment(std::string_view text) {
  return !text.empty() && text != "." && text != ".." && text.find_first_of("/%") == std::string_view::npos;
}

// Decoded one by one: a %2F is a character of a segment, not the end of one.
Result<std::vector<std::string>> segments_of(std::string_view path) {
  std::vector<std::string> out;
  for (std::size_t begin = 1; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    std::optional<std::string> segment = unescaped(path.substr(begin, end - begin));
    if (!segment || !printable(*segment)) {
      return wrong("the path does not decode to printable ASCII");
    }
    out.push_back(*std::move(segment));
    begin = end + 1;
  }
  if (out.size() > 1 && out.back().empty()) {
    out.pop_back();
  }
  return out;
}

using Path = std::span<const std::string>;

bool is(Path path, std::initializer_list<std::string_view> names) {
  return std::ranges::equal(path, names);
}

Result<void> read_metric(Path names, Route& out) {
  const std::string& space = names[4];
  const std::string& metric = names[5];
  if (!is_space(space)) {
    return wrong("the namespace is none: at most 63 of a-z, 0-9 and '-', the first and the last a letter or digit");
  }
  if (!is_segment(metric)) {
    return wrong("the name of the metric is '.', '..' or holds '/' or '%': write '|' for '/'");
  }
  out.kind = Route::Kind::metric;
  out.space = space;
  out.metric = metric;
  std::ranges::transform(metric, out.metric.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return {};
}

Result<void> read_path(Path names, Route& out) {
  constexpr std::size_t metric_names = 6;
  if (is(names, {"healthz"}) || is(names, {"livez"}) || is(names, {"readyz"})) {
    out.kind = Route::Kind::health;
  } else if (is(names, {"apis"})) {
    out.kind = Route::Kind::apis;
  } else if (is(names, {"apis", api_group})) {
    out.kind = Route::Kind::group;
  } else if (is(names, {"apis", api_group, api_version})) {
    out.kind = Route::Kind::group_version;
  } else if (is(names, {"openapi", "v2"}) || (names.size() >= 2 && is(names.first(2), {"openapi", "v3"}))) {
    out.kind = Route::Kind::openapi;
  } else if (names.size() == metric_names && is(names.first(4), {"apis", api_group, api_version, "namespaces"})) {
    return read_metric(names, out);
  }
  return {};
}

// As an API server reads a boolean parameter: there, and neither "false" nor "0".
bool is_true(std::string_view value) {
  const bool is_false =
      std::ranges::equal(value, std::string_view("false"), [](char a, char b) { return (a | 0x20) == b; });
  return !is_false && value != "0";
}

Result<void> read_query(std::string_view query, Route& out) {
  bool selector_seen = false;
  bool watch_seen = false;
  for (std::size_t begin = 0; begin < query.size();) {
    const std::size_t end = std::min(query.find('&', begin), query.size());
    const std::string_view pair = query.substr(begin, end - begin);
    begin = end + 1;
    const std::size_t sign = std::min(pair.find('='), pair.size());
    const std::optional<std::string> key = unescaped_form(pair.substr(0, sign));
    std::optional<std::string> value = unescaped_form(pair.substr(std::min(sign + 1, pair.size())));
    if (!key || !value) {
      return wrong("a '%' of the query is not followed by two hexadecimal digits");
    }
    if (*key == "labelSelector" && !selector_seen) {
      selector_seen = true;
      out.selector = *std::move(value);
    } else if (*key == "watch" && !watch_seen) {
      watch_seen = true;
      out.watch = is_true(*value);
    }
  }
  return {};
}

}  // namespace

Result<Route> parse_route(std::string_view target) {
  if (!target.starts_with('/')) {
    return wrong("it does not begin with '/'");
  }
  const std::size_t mark = std::min(target.find('?'), target.size());
  const Result<std::vector<std::string>> names = segments_of(target.substr(0, mark));
  if (!names) {
    return names.error();
  }
  Route out;
  for (const std::string& name : *names) {
    out.path += "/" + name;
  }
  if (const Result<void> path = read_path(*names, out); !path) {
    return path.error();
  }
  if (out.kind == Route::Kind::metric) {
    if (const Result<void> query = read_query(target.substr(std::min(mark + 1, target.size())), out); !query) {
      return query.error();
    }
  }
  return out;
}

}  // namespace sluice::external
