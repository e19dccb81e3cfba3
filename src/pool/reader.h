// SPDX-License-Identifier: Apache-2.0
#pragma once
// The visitor that fills objects from a tree (see definition.h). Goes on after a problem, so that all are found at
// once.
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "pool/definition.h"
#include "pool/scalar.h"

namespace sluice::pool {

// The names of an object's fields, needed before the first is read: a misspelled field must not also count as missing.
class FieldNames {
 public:
  void about(std::string_view) {}
  void field(std::string_view name, const auto&, const Field&) { names.emplace_back(name); }
  void rule(const auto&, const Rule&, const auto&) {}
  std::vector<std::string> names;
};

// The part of the reader that needs no types.
class ObjectSpot {
 public:
  // Reports unknown fields. `passed` are keys of the node that somebody else reads.
  ObjectSpot(const Spot& spot, std::vector<std::string> names, const std::vector<std::string>& passed);

  // The value of a field, or null; reports a required field that is absent.
  [[nodiscard]] const Entry* find(std::string_view name, Kind kind, const Field& field) const;
  // Whether all of a rule's fields were read well, so that it can be judged.
  [[nodiscard]] bool judges(const Rule& rule) const;
  void broken(const Rule& rule, std::string found) const;
  [[nodiscard]] std::string path_of(std::string_view name) const { return child_path(spot_.path, name); }
  [[nodiscard]] Report& report() const { return spot_.report; }

 private:
  [[nodiscard]] bool misspelled(std::string_view name) const;

  const Spot& spot_;
  std::vector<std::string> misspelled_;  // the fields that unknown ones probably mean
};

template <class T>
void read_object(const Spot& spot, T& out, const std::vector<std::string>& passed = {});

template <class T>
  requires std::is_enum_v<T>
void read(const Spot& spot, T& out) {
  if (const std::optional<std::size_t> word = read_word(spot)) {
    out = static_cast<T>(*word);
  }
}

template <class T>
  requires std::is_class_v<T>
void read(const Spot& spot, T& out) {
  read_object(spot, out);
}

template <class T>
void read(const Spot& spot, std::optional<T>& out) {
  read(spot, out.emplace());
}

template <class T>
void read(const Spot& spot, std::vector<T>& out) {
  if (!is_list(spot)) {
    return;
  }
  out.clear();
  for (std::size_t i = 0; i < spot.node.items.size(); ++i) {
    const std::string path = item_path(spot.path, i);
    read(Spot{spot.node.items[i], path, spot.field, spot.report}, out.emplace_back());
  }
}

template <class... T>
void read(const Spot& spot, std::variant<T...>& out) {
  const Node* chosen = nullptr;
  const std::optional<std::size_t> choice = read_choice(spot, chosen);
  if (!choice) {
    return;
  }
  const std::string path = child_path(spot.path, spot.field.words[*choice]);
  const Spot inner{*chosen, path, spot.field, spot.report};
  std::size_t index = 0;
  ((index++ == *choice ? read(inner, out.template emplace<T>()) : void()), ...);
}

class ObjectReader {
 public:
  explicit ObjectReader(const ObjectSpot& spot) : spot_(spot) {}
  void about(std::string_view) {}
  template <class T>
  void field(std::string_view name, T& member, const Field& field) {
    if (const Entry* entry = spot_.find(name, kind_of<T>, field)) {
      const std::string path = spot_.path_of(name);
      read(Spot{entry->value, path, field, spot_.report()}, member);
    }
  }
  template <class T>
  void rule(const T& object, const Rule& rule, const auto& check) {
    if (spot_.judges(rule)) {
      if (std::optional<std::string> found = check(object)) {
        spot_.broken(rule, std::move(*found));
      }
    }
  }

 private:
  const ObjectSpot& spot_;
};

template <class T>
void read_object(const Spot& spot, T& out, const std::vector<std::string>& passed) {
  if (!is_map(spot)) {
    return;
  }
  FieldNames names;
  describe(names, out);
  const ObjectSpot object(spot, std::move(names.names), passed);
  ObjectReader reader(object);
  describe(reader, out);
}

}  // namespace sluice::pool
