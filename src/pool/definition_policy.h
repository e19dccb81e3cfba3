// SPDX-License-Identifier: Apache-2.0
#pragma once
// The policies' part of the definition; see pool/definition.h.
#include <array>

#include "pool/definition_base.h"
#include "pool/types.h"

namespace sluice::pool {

inline constexpr std::array<std::string_view, 2> hpa_target_words = {"AverageValue", "Value"};
inline constexpr std::array<std::string_view, 2> hpa_policy_words = {"Pods", "Percent"};
inline constexpr std::array<std::string_view, 3> hpa_select_words = {"Max", "Min", "Disabled"};

// More often than ten times a second costs a broker more than it tells; less often than once an hour is no scaling.
inline constexpr Field every_field{.doc =
                                       "The time between two looks at the queue. `adaptive`: at most 10 a second while "
                                       "work is due or was seen within 10 "
                                       "minutes, one a second after that.",
                                   .longest = std::chrono::hours{1}};
inline constexpr Duration wait_longest = std::chrono::hours{720};

template <class V, Is<ThresholdPolicy> T>
void describe(V& v, T& o) {
  v.about(
      "Grow step by step while too many messages wait, or one has waited too long; the workers leave by themselves. "
      "Each step waits until the previous "
      "worker has started.");
  v.field(
      "messages", o.messages,
      {.doc = "Grow while more than this many messages wait.", .max = messages_limit, .default_text = "not looked at"});
  v.field("age", o.age,
          {.doc = "Grow while the oldest waiting message has waited longer than this.",
           .longest = wait_longest,
           .default_text = "not looked at"});
  v.field("step", o.step, {.doc = "Workers that one step adds.", .min = 1, .max = workers_limit});
  v.field("every", o.every, every_field);
  v.rule(o,
         {.fields = {"messages", "age"},
          .accepted = "at least one of messages and age",
          .cel = "has(self.messages) || has(self.age)"},
         [](const ThresholdPolicy& p) { return wrong_unless(p.messages || p.age, "neither messages nor age"); });
}

template <class V, Is<BacklogPerWorkerPolicy> T>
void describe(V& v, T& o) {
  v.about(
      "As many workers as the backlog needs at so many messages each, counting what is claimed; never fewer than are "
      "busy.");
  v.field("messages", o.messages,
          {.doc = "Messages that one worker is worth.", .required = true, .min = 1, .max = messages_limit});
  v.field("every", o.every, every_field);
}

template <class V, Is<LagPolicy> T>
void describe(V& v, T& o) {
  v.about(
      "A message waits at most this long: the fewest workers for which every message starts in time, learned from the "
      "queue. Needs the counts of published and finished messages: a local queue, or RabbitMQ with `management`.");
  v.field("max", o.max, {.doc = "The longest wait.", .required = true, .longest = wait_longest});
  v.field(
      "percentile", o.percentile,
      {.doc = "The share of messages, in percent, that must not wait longer.", .min = 50'000'000, .max = 99'990'000});
  v.field(
      "reserve", o.reserve,
      {.doc = "Workers kept beyond those needed now, for bursts faster than a worker starts.", .max = workers_limit});
  v.field("every", o.every, every_field);
}

template <class V, Is<HpaTarget> T>
void describe(V& v, T& o) {
  v.about("What the HPA steers the backlog to.");
  v.field(
      "type", o.type,
      {.doc = "AverageValue: messages per pod. Value: messages in all.", .required = true, .words = hpa_target_words});
  v.field("value", o.value, {.doc = "The target.", .required = true, .form = Form::quantity});
}

template <class V, Is<HpaScalingPolicy> T>
void describe(V& v, T& o) {
  v.about("One limit on the speed of scaling.");
  v.field("type", o.type, {.doc = "What `value` counts.", .required = true, .words = hpa_policy_words});
  v.field("value", o.value,
          {.doc = "At most so many pods, or percent of the pods, within the period.", .required = true, .min = 1});
  v.field("periodSeconds", o.period_seconds,
          {.doc = "The period in seconds.", .required = true, .min = 1, .max = 1800});
}

template <class V, Is<HpaScalingRules> T>
void describe(V& v, T& o) {
  v.about("Scaling in one direction, as in autoscaling/v2.");
  v.field("stabilizationWindowSeconds", o.stabilization_window_seconds,
          {.doc = "How many seconds of recommendations are looked back at.",
           .max = 3600,
           .default_text = "up 0, down 300"});
  v.field("selectPolicy", o.select_policy,
          {.doc = "Which of the policies counts.", .words = hpa_select_words, .default_text = "Max"});
  v.field("policies", o.policies,
          {.doc = "The limits; they replace the default list as a whole.",
           .items_max = 16,
           .default_text = "up 4 pods and 100 percent in 15 s, down 100 percent in 15 s"});
  v.field("tolerance", o.tolerance,
          {.doc = "The tolerance in this direction.", .max = 1'000'000, .default_text = "the policy's tolerance"});
}

template <class V, Is<HpaBehavior> T>
void describe(V& v, T& o) {
  v.about("autoscaling/v2's behavior. Empty and absent differ, as in Kubernetes.");
  v.field("scaleUp", o.scale_up, {.doc = "Scaling up.", .default_text = "Kubernetes' own"});
  v.field("scaleDown", o.scale_down, {.doc = "Scaling down.", .default_text = "Kubernetes' own"});
}

template <class V, Is<HpaPolicy> T>
void describe(V& v, T& o) {
  v.about(
      "The Kubernetes HPA for external metrics, bit for bit, for a Deployment. The bounds are workers.min and "
      "workers.max.");
  v.field("target", o.target, {.doc = "What the backlog is steered to.", .required = true});
  v.field("behavior", o.behavior, {.doc = "Speed limits and stabilization.", .default_text = "none given"});
  v.field("tolerance", o.tolerance,
          {.doc = "No change while the backlog is within this share of the target.", .max = 1'000'000});
  v.field("every", o.every, every_field);
}

// Rules between a policy and the workers, for whatever object has both.
template <class V, class T>
void describe_limits_of_policy(V& v, T& o) {
  v.rule(o,
         {.fields = {"policy.lag.reserve", "workers.max"},
          .accepted = "lag.reserve at most workers.max",
          .cel = "!has(self.policy.lag) || self.policy.lag.reserve <= self.workers.max"},
         [](const auto& s) {
           const LagPolicy* lag = std::get_if<LagPolicy>(&s.policy);
           return at_most(lag == nullptr ? 0 : lag->reserve, s.workers.max);
         });
}

}  // namespace sluice::pool
