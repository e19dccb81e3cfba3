// SPDX-License-Identifier: Apache-2.0
#include "external/route.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::external {
namespace {

using Kind = Route::Kind;

TEST(Route, KnowsThePathsOfTheApi) {
  const std::pair<const char*, Kind> cases[] = {
      {"/healthz", Kind::health},
      {"/livez", Kind::health},
      {"/readyz?verbose", Kind::health},
      {"/apis", Kind::apis},
      {"/apis/", Kind::apis},
      {"/apis?timeout=32s", Kind::apis},
      {"/apis/external.metrics.k8s.io", Kind::group},
      {"/apis/external.metrics.k8s.io/", Kind::group},
      {"/apis/external.metrics.k8s.io/v1beta1", Kind::group_version},
      {"/apis/external.metrics.k8s.io/v1beta1?timeout=32s", Kind::group_version},
      {"/apis/external.metrics.k8s.io/v1beta1/namespaces/a/m", Kind::metric},
      {"/openapi/v2", Kind::openapi},
      {"/openapi/v3", Kind::openapi},
      {"/openapi/v3/apis/external.metrics.k8s.io/v1beta1", Kind::openapi},
      {"/", Kind::unknown},
      {"/api", Kind::unknown},
      {"/metrics", Kind::unknown},
      {"//apis", Kind::unknown},
      {"/apis//", Kind::unknown},
      {"/apis/custom.metrics.k8s.io", Kind::unknown},
      {"/apis/external.metrics.k8s.io/v1", Kind::unknown},
      {"/apis/external.metrics.k8s.io/v1beta1/m", Kind::unknown},
      {"/apis/external.metrics.k8s.io/v1beta1/namespaces/a", Kind::unknown},
      {"/apis/external.metrics.k8s.io/v1beta1/namespaces/a/m/n", Kind::unknown},
      {"/apis/external.metrics.k8s.io%2Fv1beta1", Kind::unknown},
      {"/APIS", Kind::unknown},
      {"/openapi", Kind::unknown},
  };
  for (const auto& [target, want] : cases) {
    const Result<Route> route = parse_route(target);
    ASSERT_TRUE(route) << target << ": " << route.error().what;
    EXPECT_EQ(route->kind, want) << target;
  }
}

TEST(Route, ReadsWhatAnHpaAsks) {
  const Result<Route> route = parse_route(
      "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/"
      "pubsub.googleapis.com%7Csubscription%7CNum_Undelivered_messages"
      "?labelSelector=resource.labels.subscription_id%3DMy-sub%2Ctier+in+%28a%2Cb%29");
  ASSERT_TRUE(route) << route.error().what;
  const Route want{
      .kind = Kind::metric,
      .path =
          "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/"
          "pubsub.googleapis.com|subscription|Num_Undelivered_messages",
      .space = "default",
      .metric = "pubsub.googleapis.com|subscription|num_undelivered_messages",
      .selector = "resource.labels.subscription_id=My-sub,tier in (a,b)",
      .watch = false,
  };
  EXPECT_EQ(*route, want);
}

TEST(Route, TakesABarAsItIs) {
  const Result<Route> route = parse_route("/apis/external.metrics.k8s.io/v1beta1/namespaces/d/a|b%7cc+d/");
  ASSERT_TRUE(route) << route.error().what;
  EXPECT_EQ(route->metric, "a|b|c+d");
}

TEST(Route, ReadsTheQueryOnceAndIgnoresTheRest) {
  struct Case {
    const char* query;
    const char* selector;
    bool watch;
  };
  const Case cases[] = {
      {"", "", false},
      {"?", "", false},
      {"?labelSelector=", "", false},
      {"?labelSelector", "", false},
      {"?labelSelector=a%3Db", "a=b", false},
      {"?labelSelector=a=b", "a=b", false},
      {"?labelSelector=a&labelSelector=b", "a", false},
      {"?limit=500&labelSelector=a&resourceVersion=0&timeoutSeconds=3&&x", "a", false},
      {"?label%53elector=a", "a", false},
      {"?labelselector=a", "", false},
      {"?watch=true", "", true},
      {"?watch=1", "", true},
      {"?watch", "", true},
      {"?watch=false", "", false},
      {"?watch=False", "", false},
      {"?watch=0", "", false},
      {"?watch=false&watch=true", "", false},
      {"?labelSelector=a%2Bb+c", "a+b c", false},
  };
  for (const Case& each : cases) {
    const Result<Route> route =
        parse_route(std::string("/apis/external.metrics.k8s.io/v1beta1/namespaces/d/m") + each.query);
    ASSERT_TRUE(route) << each.query;
    EXPECT_EQ(route->selector, each.selector) << each.query;
    EXPECT_EQ(route->watch, each.watch) << each.query;
  }
}

TEST(Route, RefusesWhatTwoReadersCouldReadDifferently) {
  const std::string below = "/apis/external.metrics.k8s.io/v1beta1/namespaces/";
  const std::pair<std::string, const char*> cases[] = {
      {"", "does not begin with"},
      {"apis", "does not begin with"},
      {"http://host/apis", "does not begin with"},
      {"/apis%", "does not decode"},
      {"/apis%4", "does not decode"},
      {"/apis%zz", "does not decode"},
      {"/%00", "does not decode"},
      {"/%0a", "does not decode"},
      {"/\xc3\xa4", "does not decode"},
      {below + "d/a%2525", "holds '/' or '%'"},
      {below + "d/a%2Fb", "holds '/' or '%'"},
      {below + "d/..", "holds '/' or '%'"},
      {below + "d/%2e", "holds '/' or '%'"},
      {below + "/m", "namespace"},
      {below + "D/m", "namespace"},
      {below + "-d/m", "namespace"},
      {below + "../m", "namespace"},
      {below + std::string(64, 'd') + "/m", "namespace"},
      {below + "d/m?labelSelector=%", "of the query"},
      {below + "d/m?%zz=1", "of the query"},
      {below + "d/m?x=%+1", "of the query"},
  };
  for (const auto& [target, want] : cases) {
    const Result<Route> route = parse_route(target);
    ASSERT_FALSE(route) << target;
    EXPECT_EQ(route.error().code, Code::invalid) << target;
    EXPECT_THAT(route.error().what, testing::HasSubstr(want)) << target;
  }
}

}  // namespace
}  // namespace sluice::external
