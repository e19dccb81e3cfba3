// SPDX-License-Identifier: Apache-2.0
#include "pool/shape.h"

#include "pool/definition.h"
#include "pool/writer.h"

namespace sluice::pool {
namespace {

template <class T>
struct ShapeOf;

template <class T>
Shape shape_of(const Field& field) {
  Shape shape;
  shape.kind = kind_of<T>;
  shape.field = of_pools(field);
  ShapeOf<T>::fill(shape);
  return shape;
}

// The visitor that notes down what it is told.
class Notes {
 public:
  explicit Notes(Object& object) : object_(object) {}
  void about(std::string_view text) { object_.about = text; }
  template <class T>
  void field(std::string_view name, const T& member, const Field& field) {
    ObjectField& out = object_.fields.emplace_back();
    out.name = name;
    out.shape = shape_of<T>(field);
    if (!field.required && out.shape.kind != Kind::object && said(member)) {
      write(out.default_json, member, field);
    }
  }
  void rule(const auto&, const Rule& rule, const auto&) { object_.rules.push_back(rule); }

 private:
  Object& object_;
};

template <class T>
struct ShapeOf {
  static void fill(Shape& shape) {
    if constexpr (kind_of<T> == Kind::object) {
      shape.object = std::make_shared<Object>();
      const T example;
      Notes notes(*shape.object);
      describe(notes, example);
    }
  }
};
template <class T>
struct ShapeOf<std::optional<T>> {
  static void fill(Shape& shape) { ShapeOf<T>::fill(shape); }
};
template <class T>
struct ShapeOf<std::vector<T>> {
  static void fill(Shape& shape) { shape.parts.push_back(shape_of<T>(shape.field)); }
};
template <class... T>
struct ShapeOf<std::variant<T...>> {
  static void fill(Shape& shape) {
    (shape.parts.push_back(shape_of<T>({})), ...);
    shape.parts.erase(shape.parts.begin() + static_cast<std::ptrdiff_t>(shape.field.words.size()), shape.parts.end());
  }
};

}  // namespace

Shape pool_file_shape() {
  return shape_of<PoolFile>({});
}

}  // namespace sluice::pool
