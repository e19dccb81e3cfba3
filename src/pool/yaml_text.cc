// SPDX-License-Identifier: Apache-2.0
#include "pool/yaml_text.h"

#include <fmt/core.h>

#include <algorithm>

#include "pool/json_text.h"
#include "pool/scalar.h"

namespace sluice::pool {
namespace {

namespace json = boost::json;

// Text that no reader takes for a number, a boolean, or the beginning of something else.
bool plain(std::string_view text) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  const auto inner = [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '/'; };
  return !text.empty() && letter(text.front()) && std::all_of(text.begin(), text.end(), inner) &&
         classify_plain(text) == Plain::text;
}

void print_text(std::string& out, std::string_view text) {
  if (plain(text)) {
    out += text;
  } else {
    append_json_string(out, text);  // JSON's escapes are YAML's too
  }
}

bool is_leaf(const json::value& value) {
  const bool empty =
      (value.is_object() && value.get_object().empty()) || (value.is_array() && value.get_array().empty());
  return empty || !value.is_structured();
}

void print_leaf(std::string& out, const json::value& value) {
  if (value.is_string()) {
    print_text(out, {value.get_string().data(), value.get_string().size()});
  } else if (value.is_double()) {
    out += fmt::format("{}", value.get_double());
  } else {
    out += json::serialize(value);
  }
}

void print(std::string& out, const json::value& value, std::size_t indent);

// `begun`: the first field's blanks are written already, behind a list's "- ".
void print_fields(std::string& out, const json::object& object, std::size_t indent, bool begun) {
  for (const auto& [key, member] : object) {
    out.append(begun ? 0 : indent, ' ');
    begun = false;
    print_text(out, {key.data(), key.size()});
    out += is_leaf(member) ? ": " : ":\n";
    print(out, member, indent + 2);
  }
}

void print_items(std::string& out, const json::array& array, std::size_t indent) {
  for (const json::value& item : array) {
    out.append(indent, ' ');
    out += "- ";
    if (item.is_object() && !item.get_object().empty()) {
      print_fields(out, item.get_object(), indent + 2, true);
    } else {
      print_leaf(out, item);
      out += "\n";
    }
  }
}

void print(std::string& out, const json::value& value, std::size_t indent) {
  if (is_leaf(value)) {
    print_leaf(out, value);
    out += "\n";
  } else if (value.is_object()) {
    print_fields(out, value.get_object(), indent, false);
  } else {
    print_items(out, value.get_array(), indent);
  }
}

}  // namespace

std::string yaml_text(const json::value& value) {
  std::string out;
  print(out, value, 0);
  return out;
}

}  // namespace sluice::pool
