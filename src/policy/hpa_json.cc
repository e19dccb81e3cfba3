// SPDX-License-Identifier: Apache-2.0
#include "policy/hpa_json.h"

#include <algorithm>

#include "model/json.h"
#include "policy/hpa_json_options.h"
#include "policy/hpa_json_reader.h"

namespace sluice::policy {
namespace {

using boost::json::value;
using hpa_json::list;
using hpa_json::microseconds;
using hpa_json::require;
using hpa_json::whole;
using model::JsonReader;

constexpr std::string_view values_form = R"({"values":["8600m"]} or {"error":"text"})";
constexpr std::string_view utilization_form = R"({"utilization":20,"ready_pods_with_metrics":3} or {"error":"text"})";

std::string element(const std::string& path, std::size_t i) {
  return fmt::format("{}[{}]", path, i);
}

HpaReading read_values(JsonReader& in, const HpaMetric& metric) {
  HpaValues out;
  bool found = false;
  const std::span<const value> values = list(in, "values", "a list of Kubernetes quantities", found);
  require(in, "values", found, values_form);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::optional<model::Quantity> quantity = hpa_json::quantity_of(values[i]);
    if (!quantity) {
      in.fail(element("values", i), model::kind_of(values[i]), "a Kubernetes quantity such as \"100\" or \"8600m\"");
      break;
    }
    out.milli.push_back(model::milli_value(*quantity));
  }
  if (found && metric.type == HpaMetricType::object && values.size() != 1) {
    in.fail("values", fmt::format("{} values", values.size()), "one value of an Object");
  }
  return out;
}

HpaReading read_utilization(JsonReader& in) {
  HpaUtilization out;
  require(in, "utilization", whole(in, "utilization", out.percent), utilization_form);
  require(in, "ready_pods_with_metrics", whole(in, "ready_pods_with_metrics", out.pods), utilization_form);
  return out;
}

HpaReading read_reading(JsonReader in, const HpaMetric& metric) {
  std::optional<std::string> why;
  in.text("error", why);
  HpaReading out = HpaFailure{why.value_or("")};
  if (!why) {
    out = metric.type == HpaMetricType::resource ? read_utilization(in) : read_values(in, metric);
  }
  in.end();
  return out;
}

HpaSeen read_seen(JsonReader& in, const HpaOptions& options, std::optional<Error>& error) {
  HpaSeen out;
  require(in, "spec_replicas", whole(in, "spec_replicas", out.spec_replicas), "spec.replicas of the scale");
  out.status_replicas = out.spec_replicas;
  const bool divided = std::ranges::any_of(
      options.metrics, [](const HpaMetric& metric) { return metric.target_type == HpaTargetType::average_value; });
  const bool status = whole(in, "status_replicas", out.status_replicas);
  require(in, "status_replicas", status || !divided, "status.replicas of the scale, which AverageValue divides by");
  std::int32_t ready = 0;
  if (whole(in, "ready_pods", ready)) {
    out.ready_pods = ready;
  }
  bool found = false;
  const std::string each = fmt::format("a list of {}, one for each of policy.hpa.metrics", options.metrics.size());
  const std::span<const value> readings = list(in, "metrics", each, found);
  if (found && readings.size() != options.metrics.size()) {
    in.fail("metrics", fmt::format("a list of {}", readings.size()), each);
    return out;
  }
  for (std::size_t i = 0; i < options.metrics.size(); ++i) {
    out.metrics.push_back(
        found ? read_reading(JsonReader(readings[i], element(in.at("metrics"), i), error), options.metrics[i])
              : HpaFailure{"not in seen.metrics"});
  }
  in.end();
  return out;
}

// A pair has no reason; the only condition that is read back has one for each status.
std::vector<HpaCondition> read_conditions(JsonReader& in) {
  std::vector<HpaCondition> out;
  bool found = false;
  constexpr std::string_view accepted = "a list of [\"type\",\"status\"] or [\"type\",\"status\",\"reason\"]";
  for (const value& one : list(in, "conditions", accepted, found)) {
    const auto* words = one.if_array();
    const bool good = words != nullptr && (words->size() == 2 || words->size() == 3) &&
                      std::ranges::all_of(*words, [](const value& word) { return word.is_string(); });
    if (!good) {
      in.fail(element("conditions", out.size()), model::kind_of(one), accepted);
      break;
    }
    HpaCondition condition{.type = std::string((*words)[0].get_string()),
                           .status = std::string((*words)[1].get_string()),
                           .reason = words->size() == 3 ? std::string((*words)[2].get_string()) : ""};
    if (words->size() == 2 && condition.type == "ScaledToZero") {
      condition.reason = condition.status == "True" ? "ScaledToZero" : "NotScaledToZero";
    }
    out.push_back(std::move(condition));
  }
  return out;
}

// To the microsecond, without zeros at the end.
std::string seconds(std::int64_t us) {
  const auto magnitude = static_cast<std::uint64_t>(us < 0 ? -us : us);
  std::string out = fmt::format("{}{}", us < 0 ? "-" : "", magnitude / 1'000'000);
  if (magnitude % 1'000'000 != 0) {
    out += fmt::format(".{:06}", magnitude % 1'000'000);
    out.erase(out.find_last_not_of('0') + 1);
  }
  return out;
}

template <class Entry>
std::vector<Entry> read_entries(JsonReader& in, std::string_view key, std::string_view number,
                                std::int32_t Entry::* member, std::optional<Error>& error, bool& found) {
  std::vector<Entry> out;
  const std::string accepted = fmt::format(R"(a list of {{"at_s","{}"}})", number);
  const std::span<const value> entries = list(in, key, accepted, found);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    JsonReader one(entries[i], element(in.at(key), i), error);
    Entry entry;
    require(one, "at_s", microseconds(one, "at_s", entry.at_us), "seconds");
    require(one, number, whole(one, number, entry.*member), "a whole number, 0 or more");
    one.end();
    out.push_back(entry);
  }
  return out;
}

template <class Entry>
void append_entries(std::string& out, const std::vector<Entry>& entries, std::string_view number,
                    std::int32_t Entry::* member) {
  out += '[';
  for (const Entry& entry : entries) {
    out += out.back() == '[' ? "" : ",";
    out += fmt::format(R"({{"at_s":{},"{}":{}}})", seconds(entry.at_us), number, entry.*member);
  }
  out += ']';
}

std::string proposal_json(const HpaMetric& metric, const HpaProposal& proposal) {
  if (!proposal.replicas) {
    return R"({"replicas":null,"usage":null})";
  }
  const std::int64_t usage = proposal.usage.value_or(0);
  return fmt::format(R"({{"replicas":{},"usage":"{}"}})", *proposal.replicas,
                     metric.type == HpaMetricType::resource ? std::to_string(usage) : model::format_milli(usage));
}

}  // namespace

Result<HpaQuestion> hpa_question_from_json(const boost::json::value& line) {
  HpaQuestion out;
  std::optional<Error> error;
  JsonReader in(line, "$", error);
  auto policy = in.object("policy");
  auto hpa = policy ? policy->object("hpa") : std::nullopt;
  auto seen = in.object("seen");
  require(in, "policy", policy.has_value(), R"({"hpa":{..}})");
  require(in, "seen", seen.has_value(), R"({"spec_replicas":3,"status_replicas":3,"metrics":[..]})");
  if (hpa) {
    out.options = hpa_json::read_options(*hpa, error);
    policy->end();
  } else if (policy) {
    policy->fail("hpa", "nothing", "an object");
  }
  if (seen) {
    out.seen = read_seen(*seen, out.options, error);
  }
  out.seen.conditions = read_conditions(in);
  require(in, "at_s", microseconds(in, "at_s", out.seen.at_us), "the time of the sync in seconds, of any clock");
  if (const value* state = in.get("state")) {
    const Result<HpaState> read = hpa_state_from_json(*state, "$.state");
    if (!read && !error) {
      error = read.error();
    }
    out.state = read.value_or(HpaState{});
  }
  in.end();
  if (error) {
    return *error;
  }
  return out;
}

std::string answer_json(const HpaQuestion& question, const HpaStep& step) {
  std::string out = fmt::format(R"({{"replicas":{},"rescale":{},"metrics":[)", step.replicas, step.rescale);
  for (std::size_t i = 0; i < step.metrics.size(); ++i) {
    out += (i == 0 ? "" : ",") + proposal_json(question.options.metrics[i], step.metrics[i]);
  }
  out += "],\"conditions\":[";
  for (const HpaCondition& condition : step.conditions) {
    out += out.back() == '[' ? "[" : ",[";
    model::append_json_string(out, condition.type);
    out += ',';
    model::append_json_string(out, condition.status);
    out += ',';
    model::append_json_string(out, condition.reason);
    out += ']';
  }
  out += "],\"error\":";
  if (step.error) {
    model::append_json_string(out, *step.error);
  } else {
    out += "null";
  }
  out += ",\"state\":";
  append_json(out, step.next);
  return out + "}";
}

void append_json(std::string& out, const HpaState& state) {
  out += "{\"recommendations\":";
  if (state.recommendations) {
    append_entries(out, *state.recommendations, "replicas", &HpaRecommendation::replicas);
  } else {
    out += "null";
  }
  out += ",\"up_events\":";
  append_entries(out, state.up_events, "change", &HpaScaleEvent::change);
  out += ",\"down_events\":";
  append_entries(out, state.down_events, "change", &HpaScaleEvent::change);
  out += '}';
}

Result<HpaState> hpa_state_from_json(const boost::json::value& json, const std::string& path) {
  HpaState out;
  if (json.is_null()) {
    return out;
  }
  std::optional<Error> error;
  JsonReader in(json, path, error);
  bool found = false;
  auto log = read_entries(in, "recommendations", "replicas", &HpaRecommendation::replicas, error, found);
  if (found) {
    out.recommendations = std::move(log);
  }
  out.up_events = read_entries(in, "up_events", "change", &HpaScaleEvent::change, error, found);
  out.down_events = read_entries(in, "down_events", "change", &HpaScaleEvent::change, error, found);
  in.end();
  if (error) {
    return *error;
  }
  return out;
}

}  // namespace sluice::policy
