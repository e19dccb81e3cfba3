// SPDX-License-Identifier: Apache-2.0
// What the API server would take as an autoscaling/v2 HPA, and the flags of its controller.
#include "policy/hpa_json_options.h"

#include <algorithm>

#include "policy/hpa_json_reader.h"

namespace sluice::policy::hpa_json {
namespace {

constexpr std::int32_t window_most_s = 3600;
constexpr std::int32_t period_most_s = 1800;

constexpr Named<HpaSemantics> semantics_words[] = {{"1.28", HpaSemantics::v1_28},
                                                   {"1.35", HpaSemantics::v1_35},
                                                   {"1.36", HpaSemantics::v1_36},
                                                   {"1.37", HpaSemantics::v1_37}};
constexpr Named<HpaMetricType> metric_words[] = {
    {"External", HpaMetricType::external}, {"Object", HpaMetricType::object}, {"Resource", HpaMetricType::resource}};
constexpr Named<HpaTargetType> target_words[] = {{"AverageValue", HpaTargetType::average_value},
                                                 {"Value", HpaTargetType::value}};
constexpr Named<HpaTargetType> resource_words[] = {{"Utilization", HpaTargetType::utilization}};
constexpr Named<HpaSelect> select_words[] = {
    {"Max", HpaSelect::max}, {"Min", HpaSelect::min}, {"Disabled", HpaSelect::disabled}};
constexpr Named<bool> limit_words[] = {{"Pods", false}, {"Percent", true}};

constexpr std::string_view above_zero = "a Kubernetes quantity greater than zero, such as \"100\" or \"500m\"";
constexpr std::string_view percentage = "a whole number of percent, 1 or more";

std::string at(const JsonReader& in, std::string_view key, std::size_t i) {
  return fmt::format("{}[{}]", in.at(key), i);
}

void read_target(JsonReader& in, HpaMetric& out) {
  const bool resource = out.type == HpaMetricType::resource;
  std::span<const Named<HpaTargetType>> words = target_words;
  if (resource) {
    words = resource_words;
  }
  require(in, "type", one_of(in, "type", words, out.target_type), resource ? "Utilization" : "AverageValue, Value");
  const std::string_view accepted = resource ? percentage : above_zero;
  const value* member = in.get("value");
  require(in, "value", member != nullptr, accepted);
  if (member != nullptr) {
    const std::optional<model::Quantity> quantity = quantity_of(*member);
    const std::int64_t milli = quantity && quantity->positive() ? model::milli_value(*quantity) : 0;
    const bool percent = milli % 1000 == 0 && milli / 1000 <= int32_most;
    if (milli <= 0 || (resource && !percent)) {
      in.fail("value", model::kind_of(*member), accepted);
    }
    out.target = resource ? milli / 1000 : milli;
  }
  in.end();
}

HpaMetric read_metric(JsonReader in) {
  HpaMetric out;
  require(in, "type", one_of(in, "type", metric_words, out.type), "External, Object, Resource");
  auto target = in.object("target");
  require(in, "target", target.has_value(), R"({"type":"AverageValue","value":"100"})");
  if (target) {
    read_target(*target, out);
  }
  in.end();
  return out;
}

HpaLimit read_limit(JsonReader in) {
  HpaLimit out;
  require(in, "type", one_of(in, "type", limit_words, out.percent), "Pods, Percent");
  require(in, "value", whole(in, "value", out.value, 1), "a whole number, 1 or more");
  require(in, "periodSeconds", whole(in, "periodSeconds", out.period_s, 1, period_most_s), "1 to 1800");
  in.end();
  return out;
}

void read_tolerance(JsonReader& in, HpaSemantics semantics, HpaRules& out) {
  const value* member = in.get("tolerance");
  if (member == nullptr) {
    return;
  }
  const std::optional<model::Quantity> quantity = quantity_of(*member);
  if (semantics == HpaSemantics::v1_28) {
    in.fail("tolerance", model::kind_of(*member), "no tolerance of a direction with semantics 1.28");
  } else if (!quantity || quantity->negative) {
    in.fail("tolerance", model::kind_of(*member), "a Kubernetes quantity of 0 or more, such as \"0.05\"");
  } else {
    out.tolerance = model::approximate(*quantity);
  }
}

HpaRules read_rules(JsonReader& in, HpaSemantics semantics, std::optional<Error>& error) {
  HpaRules out;
  std::int32_t window = 0;
  if (whole(in, "stabilizationWindowSeconds", window, 0, window_most_s)) {
    out.window_s = window;
  }
  HpaSelect select = HpaSelect::max;
  if (one_of(in, "selectPolicy", select_words, select)) {
    out.select = select;
  }
  bool found = false;
  constexpr std::string_view accepted = "a list of at least one {\"type\",\"value\",\"periodSeconds\"}";
  const std::span<const value> limits = list(in, "policies", accepted, found);
  if (found) {
    out.limits.emplace();
    for (std::size_t i = 0; i < limits.size(); ++i) {
      out.limits->push_back(read_limit(JsonReader(limits[i], at(in, "policies", i), error)));
    }
    if (limits.empty()) {
      in.fail("policies", "an empty list", accepted);
    }
  }
  read_tolerance(in, semantics, out);
  in.end();
  return out;
}

HpaBehavior read_behavior(JsonReader& in, HpaSemantics semantics, std::optional<Error>& error) {
  HpaBehavior out;
  if (auto up = in.object("scaleUp")) {
    out.scale_up = read_rules(*up, semantics, error);
  }
  if (auto down = in.object("scaleDown")) {
    out.scale_down = read_rules(*down, semantics, error);
  }
  in.end();
  return out;
}

void read_share(JsonReader& in, std::string_view key, double& out) {
  if (const value* member = in.get(key)) {
    const std::optional<double> share = number(*member);
    if (!share || *share < 0) {
      in.fail(key, model::kind_of(*member), "a number, 0 or more");
    }
    out = share.value_or(out);
  }
}

// The controller's flag: one number, or one for each direction as a gated field would have it.
void read_flag(JsonReader& in, HpaOptions& out) {
  const value* member = in.get("tolerance");
  if (member == nullptr) {
    return;
  }
  if (!member->is_object()) {
    read_share(in, "tolerance", out.tolerance.up);
    out.tolerance.down = out.tolerance.up;
    return;
  }
  auto both = in.object("tolerance");
  read_share(*both, "up", out.tolerance.up);
  read_share(*both, "down", out.tolerance.down);
  both->end();
  if (out.semantics == HpaSemantics::v1_28 && out.tolerance.up != out.tolerance.down) {
    in.fail("tolerance", "two different numbers", "one number with semantics 1.28");
  }
}

// After both, so that a message names the field that is wrong and not the one read first.
void check_bounds(JsonReader& in, const HpaOptions& options) {
  const bool outer = std::ranges::any_of(
      options.metrics, [](const HpaMetric& metric) { return metric.type != HpaMetricType::resource; });
  if (options.min_replicas == 0 && !options.scale_to_zero) {
    in.fail("minReplicas", "0", "1 or more, 0 with scaleToZero");
  } else if (options.min_replicas == 0 && !outer) {
    in.fail("minReplicas", "0", "1 or more without an External or Object metric");
  } else if (options.max_replicas < options.min_replicas) {
    in.fail("maxReplicas", std::to_string(options.max_replicas),
            fmt::format("at least minReplicas, which is {}", options.min_replicas));
  }
}

}  // namespace

HpaOptions read_options(JsonReader& in, std::optional<Error>& error) {
  HpaOptions out;
  one_of(in, "semantics", semantics_words, out.semantics);
  whole(in, "minReplicas", out.min_replicas);
  require(in, "maxReplicas", whole(in, "maxReplicas", out.max_replicas, 1), "a whole number, 1 or more");
  bool found = false;
  constexpr std::string_view accepted = "a list of at least one {\"type\",\"target\"}";
  const std::span<const value> metrics = list(in, "metrics", accepted, found);
  for (std::size_t i = 0; i < metrics.size(); ++i) {
    out.metrics.push_back(read_metric(JsonReader(metrics[i], at(in, "metrics", i), error)));
  }
  if (metrics.empty()) {
    in.fail("metrics", found ? "an empty list" : "nothing", accepted);
  }
  if (auto behavior = in.object("behavior")) {
    out.behavior = read_behavior(*behavior, out.semantics, error);
  }
  microseconds(in, "downscaleStabilization_s", out.downscale_window_us, 0);
  out.scale_to_zero = out.semantics >= HpaSemantics::v1_37;
  in.boolean("scaleToZero", out.scale_to_zero);
  read_flag(in, out);
  check_bounds(in, out);
  in.end();
  return out;
}

}  // namespace sluice::policy::hpa_json
