// SPDX-License-Identifier: Apache-2.0
#pragma once
// The visitor that writes objects as canonical JSON (see definition.h).
#include <fmt/core.h>

#include <string>

#include "pool/definition.h"
#include "pool/json_text.h"

namespace sluice::pool {

template <class T>
concept Composite = kind_of<T> == Kind::object;

template <Composite T>
void write(std::string& out, const T& object, const Field& field);

inline void write(std::string& out, bool value, const Field&) {
  out += value ? "true" : "false";
}
inline void write(std::string& out, const std::int64_t& value, const Field&) {
  out += fmt::format("{}", value);
}
inline void write(std::string& out, const Duration& value, const Field&) {
  append_json_string(out, format_duration(value));
}
inline void write(std::string& out, const Bytes& value, const Field&) {
  append_json_string(out, format_bytes(value.n));
}
inline void write(std::string& out, const Decimal& value, const Field&) {
  out += format_decimal(value.millionths);
}
inline void write(std::string& out, const std::string& value, const Field&) {
  append_json_string(out, value);
}
inline void write(std::string& out, const JobTemplate& value, const Field&) {
  out += value.json;
}
inline void write(std::string& out, const Every& value, const Field&) {
  append_json_string(out, value.adaptive() ? "adaptive" : format_duration(*value.period));
}
inline void write(std::string& out, const Claim& value, const Field& field) {
  if (value.by == ClaimBy::after) {
    out += fmt::format("{{\"after\":\"{}\"}}", format_duration(value.after));
  } else {
    append_json_string(out, field.words[static_cast<std::size_t>(value.by)]);
  }
}
template <class T>
  requires std::is_enum_v<T>
void write(std::string& out, const T& value, const Field& field) {
  append_json_string(out, field.words[static_cast<std::size_t>(value)]);
}
inline void write(std::string& out, const std::map<std::string, std::string>& map, const Field&) {
  out.push_back('{');
  for (const auto& [key, value] : map) {
    out += out.back() == '{' ? "" : ",";
    append_json_string(out, key);
    out.push_back(':');
    append_json_string(out, value);
  }
  out.push_back('}');
}
template <class T>
void write(std::string& out, const std::vector<T>& list, const Field& field) {
  out.push_back('[');
  for (const T& item : list) {
    out += out.back() == '[' ? "" : ",";
    write(out, item, field);
  }
  out.push_back(']');
}
template <class... T>
void write(std::string& out, const std::variant<T...>& choice, const Field& field) {
  out += fmt::format("{{\"{}\":", field.words[choice.index()]);
  std::visit([&](const auto& chosen) { write(out, chosen, field); }, choice);
  out.push_back('}');
}
template <class T>
void write(std::string& out, const std::optional<T>& value, const Field& field) {
  write(out, *value, field);
}

// What is absent or empty in the object is absent in the text, so that reading it again gives the same object.
template <class T>
bool said(const T&) {
  return true;
}
template <class T>
bool said(const std::optional<T>& value) {
  return value.has_value();
}
template <class T>
bool said(const std::vector<T>& list) {
  return !list.empty();
}
inline bool said(const std::map<std::string, std::string>& map) {
  return !map.empty();
}

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}
  void about(std::string_view) {}
  template <class T>
  void field(std::string_view name, const T& member, const Field& field) {
    if (!said(member)) {
      return;
    }
    out_ += out_.back() == '{' ? "" : ",";
    append_json_string(out_, name);
    out_.push_back(':');
    write(out_, member, field);
  }
  void rule(const auto&, const Rule&, const auto&) {}

 private:
  std::string& out_;
};

template <Composite T>
void write(std::string& out, const T& object, const Field&) {
  out.push_back('{');
  Writer writer(out);
  describe(writer, object);
  out.push_back('}');
}

}  // namespace sluice::pool
