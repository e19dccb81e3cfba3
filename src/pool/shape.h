// SPDX-License-Identifier: Apache-2.0
#pragma once
// The definition as data: what schema and reference page are written from.
#include <memory>
#include <string>
#include <vector>

#include "pool/field.h"

namespace sluice::pool {

struct Object;

// The type of a value. `parts` are a list's element (one) or a choice's alternatives (in the order of their words).
struct Shape {
  Kind kind = Kind::object;
  Field field;
  std::shared_ptr<Object> object;  // Kind::object
  std::vector<Shape> parts;
};

struct ObjectField {
  std::string name;
  Shape shape;
  std::string default_json;  // empty: no constant default
};

struct Object {
  std::string about;
  std::vector<ObjectField> fields;
  std::vector<Rule> rules;
};

// The shape of a whole pool file.
[[nodiscard]] Shape pool_file_shape();

}  // namespace sluice::pool
