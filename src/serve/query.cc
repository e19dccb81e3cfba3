// SPDX-License-Identifier: Apache-2.0
#include "serve/query.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>

#include "base/log.h"

namespace sluice::serve {
namespace {

constexpr std::size_t parameters_max = 16;  // chosen: three times what explain takes
constexpr std::size_t shown_max = 60;       // of what somebody sent, in an answer

int hex(char c) {
  constexpr std::string_view digits = "0123456789abcdef";
  const std::size_t at = digits.find(static_cast<char>(c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c));
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

std::optional<std::string> decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i] == '+' ? ' ' : text[i];
    if (c == '%') {
      const int high = i + 2 < text.size() ? hex(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex(text[i + 2]) : -1;
      if (high < 0 || low < 0) {
        return std::nullopt;
      }
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') {
      return std::nullopt;
    }
    out += c;
  }
  return out;
}

std::string shown(std::string_view text) {
  return json_escape(text.substr(0, shown_max));
}

}  // namespace

std::string_view Query::get(std::string_view name) const {
  const auto at = parameters.find(name);
  return at == parameters.end() ? std::string_view{} : std::string_view(at->second);
}

Result<Query> parse_target(std::string_view target) {
  const std::size_t mark = std::min(target.find('?'), target.size());
  Query out{.path = std::string(target.substr(0, mark)), .parameters = {}};
  std::string_view rest = target.substr(std::min(mark + 1, target.size()));
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(part.size() + 1, rest.size()));
    if (part.empty()) {
      continue;
    }
    const std::size_t equals = std::min(part.find('='), part.size());
    std::optional<std::string> name = decoded(part.substr(0, equals));
    std::optional<std::string> value = decoded(part.substr(std::min(equals + 1, part.size())));
    if (!name || !value) {
      return Error{Code::invalid,
                   fmt::format("parameter {}: accepted: text without control characters, others than letters and "
                               "digits as %20",
                               shown(part))};
    }
    if (out.parameters.size() >= parameters_max) {
      return Error{Code::invalid, fmt::format("accepted: at most {} parameters", parameters_max)};
    }
    if (!out.parameters.emplace(*name, std::move(*value)).second) {
      return Error{Code::invalid, fmt::format("parameter {} is given twice; accepted: once", shown(*name))};
    }
  }
  return out;
}

Result<void> only(const Query& query, std::initializer_list<std::string_view> accepted) {
  for (const auto& [name, value] : query.parameters) {
    if (std::ranges::find(accepted, name) == accepted.end()) {
      std::string names;
      for (const std::string_view one : accepted) {
        names += (names.empty() ? "" : ", ") + std::string(one);
      }
      return Error{Code::invalid, fmt::format("no parameter {}; accepted: {}", shown(name), names)};
    }
  }
  return {};
}

}  // namespace sluice::serve
