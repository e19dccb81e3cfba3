// SPDX-License-Identifier: Apache-2.0
#include "kube/json_members.h"

namespace sluice::kube {
namespace {

constexpr std::string_view blanks = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(blanks);
  return begin == std::string_view::npos ? std::string_view()
                                         : text.substr(begin, text.find_last_not_of(blanks) + 1 - begin);
}

// Where the string that begins at `at` ends, behind its quote; npos when it does not.
std::size_t string_end(std::string_view text, std::size_t at) {
  for (++at; at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (text[at] == '"') {
      return at + 1;
    }
  }
  return std::string_view::npos;
}

// Where the value that begins at `at` ends: at a comma or at the bracket that closes what it is in.
std::size_t value_end(std::string_view text, std::size_t at) {
  std::size_t depth = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '"') {
      at = string_end(text, at);
      continue;
    }
    const bool closes = c == '}' || c == ']';
    if (depth == 0 && (closes || c == ',')) {
      return at;
    }
    depth += c == '{' || c == '[' ? 1 : 0;
    depth -= closes ? 1 : 0;
    ++at;
  }
  return std::string_view::npos;
}

}  // namespace

std::optional<std::vector<JsonMember>> json_members(std::string_view text) {
  text = trimmed(text);
  if (text.size() < 2 || text.front() != '{' || text.back() != '}') {
    return std::nullopt;
  }
  std::vector<JsonMember> out;
  std::size_t at = text.find_first_not_of(blanks, 1);
  if (at == text.size() - 1) {
    return out;
  }
  while (at < text.size() && text[at] == '"') {
    const std::size_t key_end = string_end(text, at);
    const std::size_t colon = key_end == std::string_view::npos ? key_end : text.find_first_not_of(blanks, key_end);
    const std::size_t end =
        colon == std::string_view::npos || text[colon] != ':' ? std::string_view::npos : value_end(text, colon + 1);
    if (end == std::string_view::npos) {
      return std::nullopt;
    }
    out.push_back({text.substr(at, key_end - at), trimmed(text.substr(colon + 1, end - colon - 1))});
    if (text[end] == '}' && end == text.size() - 1) {
      return out;
    }
    at = text[end] == ',' ? text.find_first_not_of(blanks, end + 1) : std::string_view::npos;
  }
  return std::nullopt;
}

}  // namespace sluice::kube
