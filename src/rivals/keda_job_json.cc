// SPDX-License-Identifier: Apache-2.0
#include "rivals/keda_job_json.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "policy/hpa_json_reader.h"

namespace sluice::rivals {
namespace {

using model::JsonReader;
using policy::hpa_json::int32_most;
using policy::hpa_json::list;
using policy::hpa_json::Named;
using policy::hpa_json::one_of;
using policy::hpa_json::require;
using policy::hpa_json::whole;

constexpr std::array<Named<KedaStrategy>, 4> strategies = {
    Named<KedaStrategy>{"default", KedaStrategy::by_default}, Named<KedaStrategy>{"custom", KedaStrategy::custom},
    Named<KedaStrategy>{"accurate", KedaStrategy::accurate}, Named<KedaStrategy>{"eager", KedaStrategy::eager}};
constexpr std::array<Named<KedaCalculation>, 4> calculations = {
    Named<KedaCalculation>{"max", KedaCalculation::max}, Named<KedaCalculation>{"min", KedaCalculation::min},
    Named<KedaCalculation>{"avg", KedaCalculation::avg}, Named<KedaCalculation>{"sum", KedaCalculation::sum}};

void read(JsonReader& in, std::string_view key, std::optional<std::int32_t>& out, std::int32_t least) {
  std::int32_t n = 0;
  if (whole(in, key, n, least)) {
    out = n;
  }
}

KedaJobOptions read_options(JsonReader& in) {
  KedaJobOptions out;
  one_of<KedaStrategy>(in, "strategy", strategies, out.strategy);
  read(in, "customScalingQueueLengthDeduction", out.deduction, -int32_most);
  in.text("customScalingRunningJobPercentage", out.percentage);
  one_of<KedaCalculation>(in, "multipleScalersCalculation", calculations, out.calculation);
  read(in, "minReplicaCount", out.min_replicas, 0);
  read(in, "maxReplicaCount", out.max_replicas, 0);
  in.end();
  return out;
}

void read_number(JsonReader& in, std::string_view key, double& out) {
  const boost::json::value* member = in.get(key);
  const std::optional<double> n = member == nullptr ? std::nullopt : policy::hpa_json::number(*member);
  if (!n || *n < 0) {
    in.fail(key, member == nullptr ? "nothing" : model::kind_of(*member), "a number from 0 on");
  }
  out = n.value_or(0);
}

KedaTrigger read_trigger(JsonReader& in) {
  KedaTrigger out;
  read_number(in, "queue_length", out.queue_length);
  read_number(in, "target", out.target);
  require(in, "active", in.get("active") != nullptr, "true or false");
  in.boolean("active", out.active);
  in.end();
  return out;
}

KedaJobSeen read_seen(JsonReader& in, std::optional<Error>& error) {
  constexpr std::string_view accepted = "the triggers that answered, as an array";
  KedaJobSeen out;
  bool found = false;
  const auto triggers = list(in, "triggers", accepted, found);
  require(in, "triggers", found, accepted);
  for (std::size_t i = 0; i < triggers.size(); ++i) {
    JsonReader one(triggers[i], fmt::format("{}[{}]", in.at("triggers"), i), error);
    out.triggers.push_back(read_trigger(one));
  }
  require(in, "running", in.get("running") != nullptr, "unfinished Jobs, the pending ones too");
  in.integer("running", out.running);
  in.integer("pending", out.pending);
  in.end();
  return out;
}

}  // namespace

Result<KedaJobQuestion> keda_job_question_from_json(const boost::json::value& line) {
  KedaJobQuestion out;
  std::optional<Error> error;
  JsonReader in(line, "$", error);
  if (auto policy = in.object("policy")) {
    if (auto options = policy->object("kedaScaledJob")) {
      out.options = read_options(*options);
    }
    policy->end();
  }
  if (auto seen = in.object("seen")) {
    out.seen = read_seen(*seen, error);
  } else {
    in.fail("seen", "nothing", "triggers, running and pending");
  }
  in.end();
  if (error) {
    return *error;
  }
  return out;
}

std::string answer_json(const KedaJobAnswer& answer) {
  const std::int64_t scale_to = std::max<std::int64_t>(0, std::min(answer.scale_to, answer.effective_max_scale));
  return fmt::format(R"({{"create":{},"queue_length":{},"max_scale":{},"effective_max_scale":{},"scale_to":{}}})",
                     answer.create, answer.queue_length, answer.max_scale, answer.effective_max_scale, scale_to);
}

}  // namespace sluice::rivals
