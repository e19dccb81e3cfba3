// SPDX-License-Identifier: Apache-2.0
#include "gcp/query.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/number.h"

namespace sluice::gcp {
namespace {

using model::Requirement;
using model::SelectorOperator;

constexpr std::array<std::string_view, 4> prefixes{"metric.labels", "resource.labels", "metadata.system_labels",
                                                   "metadata.user_labels"};
constexpr std::array<std::string_view, 14> reducers{
    "REDUCE_NONE",          "REDUCE_MEAN",          "REDUCE_MIN",           "REDUCE_MAX",
    "REDUCE_SUM",           "REDUCE_STDDEV",        "REDUCE_COUNT",         "REDUCE_COUNT_TRUE",
    "REDUCE_COUNT_FALSE",   "REDUCE_FRACTION_TRUE", "REDUCE_PERCENTILE_99", "REDUCE_PERCENTILE_95",
    "REDUCE_PERCENTILE_50", "REDUCE_PERCENTILE_05"};
constexpr std::size_t metric_max = 1024;  // chosen; Google's longest has 120 characters
constexpr std::size_t filter_max = 8192;  // chosen: it goes into a URL

Error invalid(std::string what) {
  return Error{Code::invalid, std::move(what)};
}

Error not_allowed(std::string_view what) {
  return invalid(fmt::format("Metric label: {} is not allowed", in_quotes(what)));
}

// As Kubernetes prints it.
std::string_view sign_of(SelectorOperator op) {
  switch (op) {
    case SelectorOperator::equals:
      return "=";
    case SelectorOperator::not_equals:
      return "!=";
    case SelectorOperator::in:
      return "in";
    case SelectorOperator::not_in:
      return "notin";
    case SelectorOperator::exists:
      return "exists";
    case SelectorOperator::does_not_exist:
      return "!";
    case SelectorOperator::greater_than:
      return "gt";
    case SelectorOperator::less_than:
      return "lt";
  }
  return "?";
}

// "resource.labels" of "resource.labels.zone"; empty where the key is none of these.
std::string_view prefix_of(std::string_view key) {
  for (const std::string_view prefix : prefixes) {
    if (key.size() > prefix.size() + 1 && key.starts_with(prefix) && key[prefix.size()] == '.') {
      return prefix;
    }
  }
  return {};
}

// Keys are put into the filter as they are, so they may hold nothing that ends a word there.
bool plain(std::string_view key) {
  return std::ranges::all_of(key, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-' || c == '/';
  });
}

bool allowed(std::string_view key) {
  return plain(key) && (!prefix_of(key).empty() || key == "resource.type");
}

std::string one_of(const std::vector<std::string>& values) {
  std::string out;
  for (const std::string& value : values) {
    out += (out.empty() ? "" : ",") + in_quotes(value);
  }
  return fmt::format("one_of({})", out);
}

Result<std::string> compare(const Requirement& one) {
  const auto n = parse_number<std::int64_t>(one.values.front());
  if (!n) {
    return invalid(
        fmt::format("Unexpected error: value {} could not be parsed to integer", in_quotes(one.values.front())));
  }
  return fmt::format("{} {} {}", one.key, one.op == SelectorOperator::greater_than ? ">" : "<", *n);
}

// One requirement as a term of the filter.
Result<std::string> term_of(const Requirement& one) {
  if (one.op == SelectorOperator::does_not_exist) {
    return invalid("Label selector with operator DoesNotExist is not allowed");
  }
  if (one.op == SelectorOperator::exists) {
    const std::string_view prefix = plain(one.key) ? prefix_of(one.key) : std::string_view();
    return prefix.empty() ? Result<std::string>(not_allowed(one.key))
                          : fmt::format("{} : {}", prefix, one.key.substr(prefix.size() + 1));
  }
  if (!allowed(one.key)) {
    return not_allowed(one.key);
  }
  if (one.values.empty()) {
    return invalid(fmt::format("Label selector {} {} has no value", in_quotes(one.key), sign_of(one.op)));
  }
  const bool single = one.values.size() == 1;
  const std::string& first = one.values.front();
  switch (one.op) {
    case SelectorOperator::in:
    case SelectorOperator::equals:
      return fmt::format("{} = {}", one.key, single ? in_quotes(first) : one_of(one.values));
    case SelectorOperator::not_in:
    case SelectorOperator::not_equals:
      return single ? fmt::format("{} != {}", one.key, in_quotes(first))
                    : fmt::format("NOT {} = {}", one.key, one_of(one.values));
    default:
      return compare(one);
  }
}

Result<std::string> reducer_of(const Requirement& one) {
  if (one.op != SelectorOperator::equals) {
    return not_allowed(fmt::format("Reducer must use '=' or '==': You used {}", sign_of(one.op)));
  }
  if (one.values.size() != 1) {
    return not_allowed("Reducer must select a single value");
  }
  if (std::ranges::find(reducers, one.values.front()) == reducers.end()) {
    return not_allowed("Specified reducer is not supported: " + one.values.front());
  }
  return one.values.front();
}

// It becomes a part of the request's path.
bool is_project(std::string_view text) {
  return !text.empty() && text.size() <= 128 && text != "." && text != ".." && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == ':' || c == '.';
  });
}

Result<std::string> project_of(const Requirement& one) {
  if (one.op != SelectorOperator::equals || one.values.size() != 1) {
    return not_allowed(fmt::format("Project selector must use '=' or '==': You used {}", sign_of(one.op)));
  }
  if (!is_project(one.values.front())) {
    return invalid(fmt::format("{} is not the id of a project", in_quotes(one.values.front())));
  }
  return one.values.front();
}

// What may stand in the path of a descriptor and between the quotes of a filter.
Result<std::string> metric_of(std::string_view name) {
  std::string out(name);
  std::ranges::replace(out, '|', '/');
  const bool good = !out.empty() && out.size() <= metric_max && plain(out) && out.find('/') != std::string::npos &&
                    out.find("//") == std::string::npos && !out.starts_with('/') && !out.ends_with('/') &&
                    ("/" + out + "/").find("/../") == std::string::npos &&
                    ("/" + out + "/").find("/./") == std::string::npos;
  if (!good) {
    return invalid(
        fmt::format("{} is not a metric type; accepted: a.googleapis.com|b|c", in_quotes(name.substr(0, 100))));
  }
  return out;
}

}  // namespace

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c >= ' ' && c < '\x7f') {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return out + '"';
}

std::string metric_filter(std::string_view metric) {
  return fmt::format("metric.type = {}", in_quotes(metric));
}

Result<Query> make_query(std::string_view metric, const model::Selector& selector) {
  const Result<std::string> type = metric_of(metric);
  if (!type) {
    return type.error();
  }
  Query out{.metric = *type, .filter = metric_filter(*type)};
  for (const Requirement& one : selector) {  // first of all, as the adapter does
    if (one.key == project_label && out.project.empty()) {
      Result<std::string> project = project_of(one);
      if (!project) {
        return project.error();
      }
      out.project = std::move(*project);
    }
  }
  bool shared = true;
  for (const Requirement& one : selector) {
    const Result<std::string> term = one.key == "reducer" ? reducer_of(one) : term_of(one);
    if (!term) {
      return term.error();
    }
    if (one.key == "reducer") {
      out.reducer = *term;
      shared = false;
      continue;
    }
    out.filter += " AND " + *term;
    if (one.op == SelectorOperator::equals && one.key == subscription_label && !out.subscription) {
      out.subscription = one.values.front();
    } else if (one.op != SelectorOperator::equals || one.key != project_label || one.values.front() != out.project) {
      shared = false;
    }
  }
  if (out.filter.size() > filter_max) {
    return invalid(fmt::format("the selector is longer than {} bytes as a filter", filter_max));
  }
  if (!shared) {
    out.subscription.reset();
  }
  return out;
}

}  // namespace sluice::gcp
