// SPDX-License-Identifier: Apache-2.0
// JSON schema (draft 2020-12) from the definition's shape. The rules between fields travel as CEL in
// x-kubernetes-validations, which JSON schema tools pass over and Kubernetes evaluates.
#include <fmt/core.h>

#include <boost/json.hpp>

#include "pool/json_text.h"
#include "pool/pool.h"
#include "pool/shape.h"

namespace sluice::pool {
namespace {

namespace json = boost::json;

json::value schema_of(const Shape& shape);

constexpr std::string_view duration_pattern = "([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?";

json::string text(std::string_view view) {
  return json::string(view.data(), view.size());
}

json::array words_of(const Field& field) {
  json::array out;
  for (const std::string_view word : field.words) {
    out.emplace_back(text(word));
  }
  return out;
}

json::value decimal(std::int64_t millionths) {
  return json::parse(format_decimal(millionths));
}

json::object validation(std::string_view cel, std::string_view message) {
  return {{"rule", text(cel)}, {"message", text(message)}};
}

json::object duration_schema(const Shape& shape) {
  const bool adaptive = shape.kind == Kind::every;
  const std::string bounds = fmt::format("{}duration(self) >= duration('{}') && duration(self) <= duration('{}')",
                                         adaptive ? "self == 'adaptive' || " : "",
                                         format_duration(shape.field.shortest), format_duration(shape.field.longest));
  return {
      {"type", "string"},
      {"minLength", 2},
      {"maxLength", 40},
      {"pattern", adaptive ? fmt::format("^(adaptive|{})$", duration_pattern) : fmt::format("^{}$", duration_pattern)},
      {"x-kubernetes-validations", {validation(bounds, accepted(shape.kind, shape.field))}}};
}

json::object text_schema(const Field& field) {
  const FormRow& row = form_row(field.form);
  json::object out = {{"type", "string"}};
  if (row.form != Form::argument) {
    out["minLength"] = 1;
  }
  out["maxLength"] = row.length_max;
  if (!row.pattern.empty()) {
    out["pattern"] = text(row.pattern);
  }
  if (row.form == Form::quantity) {  // kubectl users write 100 as often as "100"
    return {{"anyOf", {json::object{{"type", "integer"}, {"minimum", 1}}, out}}, {"x-kubernetes-int-or-string", true}};
  }
  return out;
}

json::object map_schema(const Field& field) {
  const FormRow& keys = form_row(field.key_form);
  return {{"type", "object"},
          {"maxProperties", field.items_max},
          {"propertyNames", {{"pattern", text(keys.pattern)}, {"maxLength", keys.length_max}}},
          {"additionalProperties", text_schema(field)}};
}

json::object claim_schema(const Field& field) {
  Shape after;
  after.kind = Kind::duration;
  after.field.shortest = Duration{0};
  return {{"oneOf",
           {json::object{{"type", "string"}, {"enum", words_of(field)}},
            json::object{{"type", "object"},
                         {"additionalProperties", false},
                         {"required", {"after"}},
                         {"properties", {{"after", schema_of(after)}}}}}}};
}

json::object object_schema(const Object& object) {
  json::array required;
  json::object properties;
  for (const ObjectField& field : object.fields) {
    json::object schema = {{"description", text(field.shape.field.doc)}};
    for (const auto& pair : schema_of(field.shape).as_object()) {
      schema.insert(pair);  // keeps the field's own description
    }
    if (!field.default_json.empty()) {
      schema["default"] = json::parse(field.default_json);
    }
    if (field.shape.field.required) {
      required.emplace_back(text(field.name));
    }
    properties[field.name] = std::move(schema);
  }
  json::object out = {{"type", "object"}, {"description", text(object.about)}, {"additionalProperties", false}};
  if (!required.empty()) {
    out["required"] = std::move(required);
  }
  out["properties"] = std::move(properties);
  json::array validations;
  for (const Rule& rule : object.rules) {
    if (!rule.cel.empty()) {
      validations.emplace_back(validation(rule.cel, rule.accepted));
    }
  }
  if (!validations.empty()) {
    out["x-kubernetes-validations"] = std::move(validations);
  }
  return out;
}

json::object choice_schema(const Shape& shape) {
  json::object properties;
  for (std::size_t i = 0; i < shape.parts.size(); ++i) {
    properties[shape.field.words[i]] = schema_of(shape.parts[i]);
  }
  return {{"type", "object"},
          {"additionalProperties", false},
          {"minProperties", 1},
          {"maxProperties", 1},
          {"properties", std::move(properties)}};
}

json::value schema_of(const Shape& shape) {
  const Field& field = shape.field;
  switch (shape.kind) {
    case Kind::boolean:
      return {{"type", "boolean"}};
    case Kind::whole:
      return {{"type", "integer"}, {"minimum", field.min}, {"maximum", field.max}};
    case Kind::decimal:
      return {{"type", "number"}, {"minimum", decimal(field.min)}, {"maximum", decimal(field.max)}};
    case Kind::duration:
    case Kind::every:
      return duration_schema(shape);
    case Kind::bytes:
      return {{"type", "string"}, {"maxLength", 20}, {"pattern", "^(0|[1-9][0-9]*)(B|KiB|MiB|GiB)$"}};
    case Kind::text:
      return text_schema(field);
    case Kind::word:
      return {{"type", "string"}, {"enum", words_of(field)}};
    case Kind::claim:
      return claim_schema(field);
    case Kind::job_template:
      return {{"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}};
    case Kind::list:
      return {{"type", "array"},
              {"minItems", field.items_min},
              {"maxItems", field.items_max},
              {"items", schema_of(shape.parts.front())}};
    case Kind::map:
      return map_schema(field);
    case Kind::choice:
      return choice_schema(shape);
    case Kind::object:
      return object_schema(*shape.object);
  }
  return nullptr;
}

// Indented by two blanks; short arrays and objects of scalars stay on one line.
void print(std::string& out, const json::value& value, std::size_t indent) {
  const std::string inner = "\n" + std::string(indent + 2, ' ');
  const std::string outer = "\n" + std::string(indent, ' ');
  const char* comma = "";
  if (const json::object* object = value.if_object(); object != nullptr && !object->empty()) {
    out += "{";
    for (const auto& [key, member] : *object) {
      out += comma + inner + json_string({key.data(), key.size()}) + ": ";
      print(out, member, indent + 2);
      comma = ",";
    }
    out += outer + "}";
  } else if (const json::array* array = value.if_array();
             array != nullptr && !array->empty() && array->front().is_structured()) {
    out += "[";
    for (const json::value& item : *array) {
      out += comma + inner;
      print(out, item, indent + 2);
      comma = ",";
    }
    out += outer + "]";
  } else if (array != nullptr) {
    out += "[";
    for (const json::value& item : *array) {
      out += comma;
      print(out, item, indent);
      comma = ", ";
    }
    out += "]";
  } else if (value.is_string()) {
    append_json_string(out, {value.get_string().data(), value.get_string().size()});
  } else if (value.is_double()) {
    out += fmt::format("{}", value.get_double());
  } else {
    out += json::serialize(value);
  }
}

}  // namespace

std::string json_schema() {
  json::object root = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                       {"$id", "urn:sluice:v1alpha1:workerpool"},
                       {"title", "WorkerPool"}};
  for (const auto& pair : schema_of(pool_file_shape()).as_object()) {
    root.insert(pair);
  }
  std::string out;
  print(out, root, 0);
  return out + "\n";
}

}  // namespace sluice::pool
