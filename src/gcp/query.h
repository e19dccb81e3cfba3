// SPDX-License-Identifier: Apache-2.0
#pragma once
// From the name and selector of an external metric to a question to Cloud Monitoring, as the Stackdriver adapter
// (custom-metrics-stackdriver-adapter 0.16) does it, its error texts included: an HPA that worked there works here.
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/selector.h"

namespace sluice::gcp {

struct Query {
  std::string metric;   // "pubsub.googleapis.com/subscription/num_undelivered_messages"
  std::string project;  // empty: the one that we are in
  std::string filter;
  std::string reducer;  // "REDUCE_SUM"; empty: none
  // Set where the selector says nothing but which subscription, and perhaps its project: such questions are answered
  // from one list of all subscriptions.
  std::optional<std::string> subscription;
  friend bool operator==(const Query&, const Query&) = default;
};

// "a|b|c" is "a/b/c". Code::invalid in the adapter's words.
[[nodiscard]] Result<Query> make_query(std::string_view metric, const model::Selector& selector);

// `metric.type = "METRIC"`.
[[nodiscard]] std::string metric_filter(std::string_view metric);
constexpr std::string_view subscription_label = "resource.labels.subscription_id";
constexpr std::string_view project_label = "resource.labels.project_id";

// In double quotes, with what would end them or is no letter escaped.
[[nodiscard]] std::string in_quotes(std::string_view text);

}  // namespace sluice::gcp
