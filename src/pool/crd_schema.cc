// SPDX-License-Identifier: Apache-2.0
#include "pool/crd_schema.h"

#include <fmt/core.h>

namespace sluice::pool {
namespace {

namespace json = boost::json;

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

// `secret`: the API server must not repeat the value in its answer, which goes into logs.
json::object validation(std::string_view cel, std::string_view message, bool secret = false) {
  json::object out = {{"rule", text(cel)}, {"message", text(message)}};
  if (secret) {
    out["reason"] = "FieldValueForbidden";
  }
  return out;
}

json::object text_by_rule(std::size_t length_max, const std::string& rule, const std::string& message, bool secret) {
  json::object out = {{"type", "string"}, {"maxLength", length_max}};
  if (!rule.empty()) {
    out["x-kubernetes-validations"] = json::array{validation(rule, message, secret)};
  }
  return out;
}

json::object text_schema(const Field& field) {
  const FormRow& row = form_row(field.form);
  if (field.form == Form::quantity) {  // kubectl users write 100 as often as "100"
    return {{"x-kubernetes-int-or-string", true},
            {"anyOf", {json::object{{"type", "integer"}}, json::object{{"type", "string"}}}},
            {"minimum", 1},
            {"maxLength", row.length_max},
            {"pattern", text(row.pattern)}};
  }
  const bool url = field.form == Form::amqp_url || field.form == Form::http_url || field.form == Form::host;
  json::object out =
      text_by_rule(row.length_max, form_rule(field.form), std::string(row.accepted), field.sensitive || url);
  if (field.form == Form::argument) {  // up to 16 MB of them in a map: beyond what CEL may cost
    out["pattern"] = R"(^[^\x00]*$)";
    out["not"] = {{"pattern", text(credentials_pattern)}};
  }
  return out;
}

json::object map_schema(const Field& field) {
  std::string rule = form_rule(field.key_form);
  for (std::size_t at = rule.find("self"); at != std::string::npos; at = rule.find("self", at)) {
    rule.replace(at, 4, "key");
  }
  return {{"type", "object"},
          {"maxProperties", field.items_max},
          {"additionalProperties", text_schema(field)},
          {"x-kubernetes-validations",
           {validation(fmt::format("self.all(key, {})", rule), form_row(field.key_form).accepted)}}};
}

// A word, or {after: DURATION}: two types, which a structural schema can only let pass and then tell apart. Nothing but
// an object fulfils the second alternative: each of its other limits is one that a value of another type breaks. CEL
// cannot look into a value of no type, so that the duration has a pattern.
json::object claim_schema(const Field& field) {
  Field after;
  after.shortest = Duration{0};
  const json::object duration = {
      {"type", "string"},
      {"description",
       text("The time that a worker is granted to begin. Accepted: " + accepted(Kind::duration, after) + ".")},
      {"minLength", 2},
      {"maxLength", 40},
      {"pattern", text(duration_pattern(after.longest))}};
  json::object only_object = {
      {"required", {"after"}}, {"maxProperties", 1}, {"pattern", "a^"}, {"minimum", 1},
      {"maximum", 0},          {"minItems", 1},      {"maxItems", 0},   {"not", {{"enum", {true, false}}}}};
  return {{"x-kubernetes-preserve-unknown-fields", true},
          {"properties", {{"after", duration}}},
          {"anyOf", {json::object{{"enum", words_of(field)}}, std::move(only_object)}}};
}

std::string joined(std::string first, std::string_view second) {
  return first.empty() ? std::string(second) : second.empty() ? first : fmt::format("{} {}", first, second);
}

// What `kubectl explain` shows. The API server's own wording of bounds is not in it, so ours is.
std::string description(const Shape& shape) {
  std::string out(shape.field.doc);
  const bool self_evident = shape.kind == Kind::boolean || shape.kind == Kind::word || shape.kind == Kind::object ||
                            shape.kind == Kind::map || shape.kind == Kind::job_template;
  if (shape.object) {
    const std::string& about = shape.object->about;
    out = about.starts_with(out.substr(0, out.find('.'))) ? about : joined(out, about);
  }
  if (!self_evident) {
    const std::string form = shape.kind == Kind::list ? accepted(shape.kind, shape.field) + ", each " +
                                                            accepted(shape.parts[0].kind, shape.field)
                                                      : accepted(shape.kind, shape.field);
    out = joined(out, "Accepted: " + form + ".");
  }
  const std::string_view otherwise = shape.field.default_text;
  return otherwise.empty() ? out : joined(out, fmt::format("Default: {}.", otherwise));
}

json::object described(const Shape& shape) {
  json::object out;
  if (std::string about = description(shape); !about.empty()) {
    out["description"] = about;
  }
  for (const auto& pair : crd_schema(shape)) {
    out.insert(pair);
  }
  return out;
}

// A rule's problem is shown at the first field of it.
json::object rule_of(const Rule& rule) {
  json::object out = validation(rule.cel, rule.accepted);
  if (!rule.fields.empty()) {
    out["fieldPath"] = fmt::format(".{}", rule.fields.front());
  }
  return out;
}

json::object object_schema(const Object& object) {
  json::array required;
  json::object properties;
  for (const ObjectField& field : object.fields) {
    json::object schema = described(field.shape);
    // The defaults are the API server's as well: what is stored then says what holds, and rules find all values.
    if (!field.default_json.empty()) {
      schema["default"] = json::parse(field.default_json);
    }
    if (field.shape.field.required) {
      required.emplace_back(text(field.name));
    }
    properties[field.name] = std::move(schema);
  }
  json::object out = {{"type", "object"}};
  if (!required.empty()) {
    out["required"] = std::move(required);
  }
  out["properties"] = std::move(properties);
  json::array validations;
  for (const Rule& rule : object.rules) {
    if (!rule.cel.empty()) {
      validations.emplace_back(rule_of(rule));
    }
  }
  if (!validations.empty()) {
    out["x-kubernetes-validations"] = std::move(validations);
  }
  return out;
}

json::object choice_schema(const Shape& shape) {
  json::object properties;
  std::string given;
  for (std::size_t i = 0; i < shape.parts.size(); ++i) {
    const std::string_view word = shape.field.words[i];
    properties[word] = described(shape.parts[i]);
    given += fmt::format("{}has(self.{})", i == 0 ? "" : ", ", word);
  }
  return {
      {"type", "object"},
      {"properties", std::move(properties)},
      {"x-kubernetes-validations",
       {validation(fmt::format("[{}].filter(given, given).size() == 1", given), accepted(Kind::choice, shape.field))}}};
}

json::object list_schema(const Shape& shape) {
  return {{"type", "array"},
          {"minItems", shape.field.items_min},
          {"maxItems", shape.field.items_max},
          {"x-kubernetes-list-type", "atomic"},
          {"items", crd_schema(shape.parts.front())}};
}

}  // namespace

json::object crd_schema(const Shape& shape) {
  const Field& field = shape.field;
  switch (shape.kind) {
    case Kind::boolean:
      return {{"type", "boolean"}};
    case Kind::whole:
      return {{"type", "integer"}, {"format", "int64"}, {"minimum", field.min}, {"maximum", field.max}};
    case Kind::decimal:
      return {{"type", "number"},
              {"minimum", json::parse(format_decimal(field.min))},
              {"maximum", json::parse(format_decimal(field.max))},
              {"x-kubernetes-validations", {validation(decimal_rule(), "at most six digits behind the point")}}};
    case Kind::duration:
    case Kind::every:
      return text_by_rule(40, duration_rule(shape.kind, field), accepted(shape.kind, field), false);
    case Kind::bytes:
      return text_by_rule(20, bytes_rule(field), accepted(shape.kind, field), false);
    case Kind::text:
      return text_schema(field);
    case Kind::word:
      return {{"type", "string"}, {"enum", words_of(field)}};
    case Kind::claim:
      return claim_schema(field);
    case Kind::job_template:
      return {{"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}};
    case Kind::list:
      return list_schema(shape);
    case Kind::map:
      return map_schema(field);
    case Kind::choice:
      return choice_schema(shape);
    case Kind::object:
      return object_schema(*shape.object);
  }
  return {};
}

}  // namespace sluice::pool
