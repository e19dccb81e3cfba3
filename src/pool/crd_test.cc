// SPDX-License-Identifier: Apache-2.0
// What an API server asks of a schema before it takes it (structural schemas), so that no cluster is needed to notice.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <regex>

#include "pool/crd_schema.h"
#include "pool/pool.h"
#include "pool/yaml_text.h"

namespace sluice::pool {
namespace {

namespace json = boost::json;

const json::object& root_of(const json::value& definition) {
  return definition.at("spec").at("versions").at(0).at("schema").at("openAPIV3Schema").as_object();
}

class Walk {
 public:
  std::vector<std::string> wrong;

  void schema(const json::object& schema, const std::string& at, bool needs_limits) {
    known_words(schema, at);
    for (const char* word : {"anyOf", "allOf", "oneOf"}) {
      for (const json::value& one : list(schema, word)) {
        nested(one.as_object(), schema, at + "." + word);
      }
    }
    if (const json::value* inner = schema.if_contains("not")) {
      nested(inner->as_object(), schema, at + ".not");
    }
    const bool typed = schema.contains("type") || schema.contains("x-kubernetes-int-or-string") ||
                       schema.contains("x-kubernetes-preserve-unknown-fields");
    expect(typed, at, "no type");
    if (needs_limits) {
      limits(schema, at);
    }
    if (const json::value* items = schema.if_contains("items")) {
      this->schema(items->as_object(), at + "[]", needs_limits);
    }
    if (const json::value* values = schema.if_contains("additionalProperties")) {
      expect(!schema.contains("properties"), at, "properties beside additionalProperties");
      this->schema(values->as_object(), at + "{}", needs_limits);
    }
    if (const json::value* fields = schema.if_contains("properties")) {
      for (const auto& [key, field] : fields->as_object()) {
        const std::string inner = fmt::format("{}.{}", at, std::string_view(key.data(), key.size()));
        this->schema(field.as_object(), inner, needs_limits && inner != ".metadata" && inner != ".status");
      }
    }
  }

 private:
  void expect(bool good, const std::string& at, const std::string& what) {
    if (!good) {
      wrong.push_back(at + ": " + what);
    }
  }
  static json::array list(const json::object& schema, const char* key) {
    const json::value* value = schema.if_contains(key);
    return value != nullptr ? value->as_array() : json::array();
  }
  // $ref, propertyNames, additionalProperties: false, uniqueItems .. are not among them.
  void known_words(const json::object& schema, const std::string& at) {
    static const std::vector<std::string_view> known = {"additionalProperties",
                                                        "anyOf",
                                                        "default",
                                                        "description",
                                                        "enum",
                                                        "format",
                                                        "items",
                                                        "maxItems",
                                                        "maxLength",
                                                        "maxProperties",
                                                        "maximum",
                                                        "minItems",
                                                        "minLength",
                                                        "minimum",
                                                        "not",
                                                        "pattern",
                                                        "properties",
                                                        "required",
                                                        "type",
                                                        "x-kubernetes-int-or-string",
                                                        "x-kubernetes-list-map-keys",
                                                        "x-kubernetes-list-type",
                                                        "x-kubernetes-preserve-unknown-fields",
                                                        "x-kubernetes-validations"};
    for (const auto& [key, value] : schema) {
      const std::string_view word(key.data(), key.size());
      expect(std::find(known.begin(), known.end(), word) != known.end(), at, std::string(word));
    }
  }
  // In alternatives only values may be limited, and only of fields that stand outside of them too.
  void nested(const json::object& schema, const json::object& outer, const std::string& at) {
    const bool int_or_string = outer.contains("x-kubernetes-int-or-string");
    for (const char* word : {"type", "default", "description", "additionalProperties", "x-kubernetes-validations",
                             "x-kubernetes-preserve-unknown-fields"}) {
      expect(!schema.contains(word) || (int_or_string && std::string_view(word) == "type"), at, word);
    }
    for (const json::value& field : list(schema, "required")) {
      const json::value* fields = outer.if_contains("properties");
      expect(fields != nullptr && fields->as_object().contains(field.as_string()), at, "a field that is not outside");
    }
  }
  // The budget of the rules is computed from them.
  void limits(const json::object& schema, const std::string& at) {
    const json::value* type = schema.if_contains("type");
    const std::string_view word = type == nullptr ? "" : std::string_view(type->as_string());
    const bool free = word != "string" || schema.contains("enum") || at == ".apiVersion" || at == ".kind";
    expect(free || schema.contains("maxLength"), at, "no maxLength");
    expect(word != "array" || schema.contains("maxItems"), at, "no maxItems");
    expect(!schema.contains("additionalProperties") || schema.contains("maxProperties"), at, "no maxProperties");
  }
};

TEST(Crd, ItsSchemaIsStructuralAndEverythingInTheSpecIsBounded) {
  const json::value definition = json::parse(crd_json());
  Walk walk;
  walk.schema(root_of(definition), "", true);
  EXPECT_THAT(walk.wrong, testing::IsEmpty());
}

TEST(Crd, TheYamlIsReadAsWhatItWasWrittenFrom) {
  const json::value value = {{"plain", "orders"},
                             {"on", "yes"},
                             {"number", "5"},
                             {"colon", "a: b"},
                             {"quote", "it's \"so\"\n\\"},
                             {"empty", json::object()},
                             {"none", json::array()},
                             {"list", {1, 0.25, true, json::object{{"a", json::object{{"b", nullptr}}}, {"c", 1}}}}};
  EXPECT_EQ(yaml_text(value),
            "plain: orders\n\"on\": \"yes\"\nnumber: \"5\"\ncolon: \"a: b\"\nquote: \"it's \\\"so\\\"\\n\\\\\"\n"
            "empty: {}\nnone: []\nlist:\n  - 1\n  - 0.25\n  - true\n  - a:\n      b: null\n    c: 1\n");
}

TEST(Crd, ThePatternOfADurationTakesEveryPartUpToTheLongestAndNoneBeyond) {
  const std::regex pattern(duration_pattern(std::chrono::hours{24}));
  for (const char* good : {"0s", "24h", "1440m", "86400s", "86400000ms", "19h", "23h59m59s999ms", "1h90m", "9s"}) {
    EXPECT_TRUE(std::regex_match(good, pattern)) << good;
  }
  for (const char* bad : {"25h", "1441m", "86401s", "90000s", "100000s", "86400001ms", "5", "5 s", "-5s", "1s1h"}) {
    EXPECT_FALSE(std::regex_match(bad, pattern)) << bad;
  }
}

}  // namespace
}  // namespace sluice::pool
