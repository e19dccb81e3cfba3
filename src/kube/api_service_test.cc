// SPDX-License-Identifier: Apache-2.0
#include "kube/api_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::kube {
namespace {

using testing::HasSubstr;

// As KEDA's chart leaves it.
constexpr std::string_view keda = R"({
 "kind":"APIService","apiVersion":"apiregistration.k8s.io/v1",
 "metadata":{"name":"v1beta1.external.metrics.k8s.io","resourceVersion":"812",
  "labels":{"app.kubernetes.io/name":"keda-operator-metrics-apiserver","app.kubernetes.io/part-of":"keda-operator"}},
 "spec":{"service":{"namespace":"keda","name":"keda-operator-metrics-apiserver","port":443},
  "group":"external.metrics.k8s.io","version":"v1beta1","caBundle":"UEVN","groupPriorityMinimum":100,
  "versionPriority":100},
 "status":{"conditions":[{"type":"Available","status":"False","reason":"MissingEndpoints",
  "message":"endpoints for service/keda-operator-metrics-apiserver in \"keda\" have no addresses"}]}})";

ApiService named(const std::string& service, const std::string& label = "x") {
  return {.version = {},
          .space = "ops",
          .service = service,
          .ca_bundle = {},
          .labels = {{"app", label}},
          .available = {},
          .reason = {},
          .message = {}};
}

TEST(ApiService, SaysWhoServesAndWhetherItIsThere) {
  const Result<ApiService> service = read_api_service(keda);
  ASSERT_TRUE(service) << service.error().what;
  EXPECT_EQ(service->version, "812");
  EXPECT_EQ(service->ca_bundle, "PEM");
  EXPECT_FALSE(service->skips_verification);
  EXPECT_EQ(service->available, "False");
  EXPECT_EQ(service->reason, "MissingEndpoints");
  EXPECT_THAT(service->message, HasSubstr("no addresses"));
  EXPECT_EQ(owner_words(*service), "KEDA (Service keda/keda-operator-metrics-apiserver)");
}

TEST(ApiService, IsKnownByItsServiceOrItsLabels) {
  EXPECT_EQ(product_of(named("keda-metrics-apiserver")), "KEDA");
  EXPECT_EQ(product_of(named("prometheus-adapter")), "prometheus-adapter");
  EXPECT_EQ(product_of(named("monitoring-prometheus-adapter")), "prometheus-adapter");
  EXPECT_EQ(product_of(named("custom-metrics-stackdriver-adapter")), "the Stackdriver adapter");
  EXPECT_EQ(product_of(named("datadog-cluster-agent-metrics-api")), "Datadog");
  EXPECT_EQ(product_of(named("metrics", "datadog-custom-metrics-server")), "Datadog");
  EXPECT_EQ(product_of(named("jobs-adapter", "sluice-0.1.0")), "sluice");
  EXPECT_EQ(product_of(named("sluice-adapter")), "sluice");
  EXPECT_EQ(product_of(named("metrics")), "");
  EXPECT_EQ(owner_words(named("metrics")), "Service ops/metrics");
}

TEST(ApiService, OfTheApiServerItselfHasNoService) {
  const Result<ApiService> service = read_api_service(R"({"metadata":{"name":"v1.batch"},"spec":{"service":null}})");
  ASSERT_TRUE(service) << service.error().what;
  EXPECT_EQ(owner_words(*service), "the API server itself");
  EXPECT_EQ(service->available, "");
}

TEST(ApiService, ThatCannotBeReadIsAnErrorThatNamesTheField) {
  const auto why = [](std::string_view json) { return read_api_service(json).error().what; };
  EXPECT_EQ(why(R"({"spec":{"caBundle":"!"}})"), "APIService.spec.caBundle: not base64");
  EXPECT_EQ(why(R"({"spec":{"insecureSkipTLSVerify":"yes"}})"),
            "APIService.spec.insecureSkipTLSVerify: not true or false");
  EXPECT_EQ(why(R"({"metadata":{"labels":{"a":1}}})"), "APIService.metadata.labels.a: not a string");
  EXPECT_THAT(why("no JSON"), HasSubstr("no JSON that can be read"));
}

}  // namespace
}  // namespace sluice::kube
