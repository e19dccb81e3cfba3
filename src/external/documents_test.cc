// SPDX-License-Identifier: Apache-2.0
#include "external/documents.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "model/strict_json.h"

namespace sluice::external {
namespace {

using namespace std::chrono_literals;

// The body, after what every answer has was checked.
std::string checked(const aio::http::Response& answer, int status = 200) {
  EXPECT_EQ(answer.status, status);
  EXPECT_EQ(answer.headers, (aio::http::HeaderList{{"Content-Type", "application/json"}}));
  EXPECT_TRUE(model::parse_strict_json(answer.body)) << answer.body;
  return answer.body;
}

TEST(Documents, AreWhatAnAggregatorDiscovers) {
  EXPECT_EQ(checked(group_list_document()),
            R"({"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"external.metrics.k8s.io","versions":[)"
            R"({"groupVersion":"external.metrics.k8s.io/v1beta1","version":"v1beta1"}],"preferredVersion":)"
            R"({"groupVersion":"external.metrics.k8s.io/v1beta1","version":"v1beta1"}}]})");
  EXPECT_EQ(checked(group_document()),
            R"({"kind":"APIGroup","apiVersion":"v1","name":"external.metrics.k8s.io","versions":[)"
            R"({"groupVersion":"external.metrics.k8s.io/v1beta1","version":"v1beta1"}],"preferredVersion":)"
            R"({"groupVersion":"external.metrics.k8s.io/v1beta1","version":"v1beta1"}})");
  EXPECT_EQ(checked(resource_list_document()),
            R"({"kind":"APIResourceList","apiVersion":"v1","groupVersion":"external.metrics.k8s.io/v1beta1",)"
            R"("resources":[{"name":"externalmetrics","singularName":"","namespaced":true,)"
            R"("kind":"ExternalMetricValueList","verbs":["get"]}]})");
}

TEST(Documents, ListValuesInTheWireForm) {
  const WallTime at = WallTime(1'787'220'000'999ms);
  const std::vector<Item> items = {
      {.labels = {{"resource.labels.subscription_id", "my-subscription"}}, .at = at, .window = 60s, .milli = 1'234'500},
      {.labels = {}, .at = at, .window = 0s, .milli = 2'000'000},
      {.labels = {{"a", "\"\n"}, {"b", ""}}, .at = at, .window = 0s, .milli = 0},
  };
  EXPECT_EQ(
      checked(value_list("a|\"b", items)),
      R"({"kind":"ExternalMetricValueList","apiVersion":"external.metrics.k8s.io/v1beta1","metadata":{},"items":[)"
      R"({"metricName":"a|\"b","metricLabels":{"resource.labels.subscription_id":"my-subscription"},)"
      R"("timestamp":"2026-08-20T10:00:00Z","window":60,"value":"1234500m"},)"
      R"({"metricName":"a|\"b","metricLabels":{},"timestamp":"2026-08-20T10:00:00Z","value":"2k"},)"
      R"({"metricName":"a|\"b","metricLabels":{"a":"\"\n","b":""},"timestamp":"2026-08-20T10:00:00Z",)"
      R"("value":"0"}]})");
  EXPECT_EQ(checked(value_list("m", {})),
            R"({"kind":"ExternalMetricValueList",)"
            R"("apiVersion":"external.metrics.k8s.io/v1beta1","metadata":{},"items":[]})");
}

TEST(Documents, SayWhatFailedInTheWordsOfKubernetes) {
  const std::pair<int, const char*> cases[] = {
      {400, "BadRequest"},       {401, "Unauthorized"},  {403, "Forbidden"},          {404, "NotFound"},
      {405, "MethodNotAllowed"}, {500, "InternalError"}, {503, "ServiceUnavailable"}, {418, ""},
  };
  for (const auto& [status, reason] : cases) {
    EXPECT_EQ(
        checked(failure(status, "why \"so\""), status),
        R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"why \"so\"","reason":")" +
            std::string(reason) + R"(","code":)" + std::to_string(status) + "}");
  }
}

}  // namespace
}  // namespace sluice::external
