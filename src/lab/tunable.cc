// SPDX-License-Identifier: Apache-2.0
#include "lab/tunable.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/check.h"
#include "control/decide.h"
#include "lab/definition.h"
#include "lab/scenario_read.h"
#include "model/strict_json.h"
#include "pool/reader.h"
#include "pool/writer.h"
#include "pool/yaml_text.h"

namespace sluice::lab {
namespace {

constexpr std::int64_t count_limit = 100'000;  // chosen: messages for one worker; a day's work of a second each
constexpr pool::Field contender_field{.doc = "", .required = true};

std::string text_of(const Contender& contender) {
  Contender nameless = contender;
  nameless.name.reset();
  std::string out;
  pool::write(out, nameless, contender_field);
  return out;
}

// Of text_of(), or of the table.
pool::Node tree_of(const std::string& text) {
  pool::Report report;
  std::optional<pool::Node> tree = pool::read_tree(text, report);
  check(tree && report.empty(), "a policy that was written by ourselves");
  return std::move(*tree);
}

std::string value_text(const Knob& knob, std::int64_t value) {
  return knob.form == KnobForm::time ? format_duration(std::chrono::milliseconds{value}) : fmt::format("{}", value);
}

pool::Node& member(pool::Node& map, std::string_view key) {
  const auto at = std::ranges::find(map.entries, key, &pool::Entry::key);
  if (at != map.entries.end()) {
    return at->value;
  }
  map.kind = pool::Node::Kind::map;
  return map.entries.emplace_back(pool::Entry{.key = std::string(key), .value = {}}).value;
}

void set(pool::Node& contender, const Tunable& what, const Knob& knob, std::int64_t value) {
  pool::Node* at = &member(member(contender, "policy"), what.policy);
  for (const std::string_view key : knob.path) {
    at = &member(*at, key);
  }
  *at = {.kind = knob.form == KnobForm::count ? pool::Node::Kind::plain : pool::Node::Kind::quoted,
         .text = value_text(knob, value)};
}

}  // namespace

const std::vector<Tunable>& tunables() {
  static const std::vector<Tunable> all = {
      {.policy = "hpa",
       .text = R"({"target":{"type":"AverageValue","value":"1"}})",
       .knobs = {{.name = "averageValue", .path = {"target", "value"}, .form = KnobForm::quantity}},
       .remark = R"(of a HorizontalPodAutoscaler: target: {type: AverageValue, averageValue: "N"})"},
      {.policy = "backlogPerWorker",
       .text = R"({"messages":1})",
       .knobs = {{.name = "messages", .path = {"messages"}}},
       .remark = ""},
      // Two numbers, and wide plains of settings that do the same: the finest level would be hundreds of runs.
      {.policy = "threshold",
       .text = R"({"messages":1,"age":"1m"})",
       .knobs = {{.name = "messages", .path = {"messages"}, .finest = 1},
                 {.name = "age", .path = {"age"}, .form = KnobForm::time, .finest = 1}},
       .remark = ""},
      // A time that people name; and its runs are the longest ones.
      {.policy = "lag",
       .text = R"({"max":"1m"})",
       .knobs = {{.name = "max", .path = {"max"}, .form = KnobForm::time, .finest = 1}},
       .remark = ""},
  };
  return all;
}

Result<Tuned> tuned_policy(const Scenario& scenario, const Tunable& what) {
  Tuned out{
      .what = &what, .base = fmt::format(R"({{"policy":{{"{}":{}}}}})", what.policy, what.text), .from = std::nullopt};
  for (const Contender& contender : scenario.policies) {
    std::string text = text_of(contender);
    const pool::Node tree = tree_of(text);
    if (tree.find("policy")->value.find(what.policy) != nullptr && !out.from) {
      out.base = std::move(text);
      out.from = lab::name_of(contender);
    }
  }
  Setting first;
  for (const Grid& grid : grids_of(what)) {
    first.push_back(grid.front().value);
  }
  const pool::Pool pool = pool_of(scenario, scenario.pools.front(), contender_of(out, first));
  if (const Result<void> can = control::decidable(pool.spec); !can) {
    return can.error();
  }
  return out;
}

std::vector<Grid> grids_of(const Tunable& what) {
  std::vector<Grid> out;
  for (const Knob& knob : what.knobs) {
    out.push_back(knob.form == KnobForm::time ? time_grid(knob.finest) : count_grid(count_limit, knob.finest));
  }
  return out;
}

Contender contender_of(const Tuned& tuned, const Setting& setting) {
  pool::Node tree = tree_of(tuned.base);
  for (std::size_t i = 0; i < setting.size(); ++i) {
    set(tree, *tuned.what, tuned.what->knobs[i], setting[i]);
  }
  Contender out;
  pool::Report report;
  const std::string path = "$";
  pool::read_object(pool::Spot{tree, path, contender_field, report}, out);
  check(report.empty(), "a setting that its policy takes");
  out.name = name_of(*tuned.what, setting);
  return out;
}

std::string name_of(const Tunable& what, const Setting& setting) {
  std::string out(what.policy);
  for (std::size_t i = 0; i < setting.size(); ++i) {
    out += " " + value_text(what.knobs[i], setting[i]);
  }
  return out;
}

std::string remark_of(const Tunable& what, const Setting& setting) {
  std::string out(what.remark);
  if (const std::size_t at = out.find("\"N\""); at != std::string::npos) {
    out.replace(at + 1, 1, value_text(what.knobs.front(), setting.front()));
  }
  return out;
}

std::string setting_json(const Tunable& what, const Setting& setting) {
  std::string out = "{";
  for (std::size_t i = 0; i < setting.size(); ++i) {
    const Knob& knob = what.knobs[i];
    const std::string text = value_text(knob, setting[i]);
    out += fmt::format("{}\"{}\":{}", i == 0 ? "" : ",", knob.name,
                       knob.form == KnobForm::count ? text : pool::json_string(text));
  }
  return out + "}";
}

std::string spec_json(const Contender& contender) {
  return text_of(contender);
}

std::string spec_yaml(const Contender& contender) {
  const Result<boost::json::value> parsed = model::parse_strict_json(text_of(contender));
  check(parsed.has_value(), "a policy that was written by ourselves");
  return pool::yaml_text(*parsed);
}

}  // namespace sluice::lab
