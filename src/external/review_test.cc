// SPDX-License-Identifier: Apache-2.0
#include "external/review.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "external/review_cache.h"

namespace sluice::external {
namespace {

using namespace std::chrono_literals;

const User jane{.name = "jane", .uid = "42", .groups = {"dev", "o\"ps"}, .extra = {{"a", {"1", "2"}}, {"b", {}}}};
const Act list{.verb = "list", .space = "shop", .resource = "a|b"};

std::string token_answer(std::string_view status) {
  return fmt::format(R"({{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","status":{}}})", status);
}

std::string access_answer(std::string_view status) {
  return fmt::format(R"({{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{}}})", status);
}

TEST(Review, AsksWhoseATokenIs) {
  EXPECT_EQ(token_review_body("a\"b"),
            R"({"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{"token":"a\"b"}})");
}

TEST(Review, ReadsWhoseATokenIs) {
  const Result<std::optional<User>> read = parse_token_review(
      token_answer(R"({"authenticated":true,"audiences":["api"],"user":{"username":"jane","uid":"42",)"
                   R"("groups":["dev"],"extra":{"a":["1","2"]}}})"));
  ASSERT_TRUE(read) << read.error().what;
  const User want{.name = "jane", .uid = "42", .groups = {"dev", "system:authenticated"}, .extra = {{"a", {"1", "2"}}}};
  EXPECT_EQ(*read, want);
  const Result<std::optional<User>> bare =
      parse_token_review(token_answer(R"({"authenticated":true,"user":{"username":"u","groups":null,"extra":null}})"));
  EXPECT_EQ(bare, (User{.name = "u", .groups = {"system:authenticated"}}));
  for (const char* nobody : {R"({"user":{},"error":"invalid bearer token"})", R"({"authenticated":false})", "{}"}) {
    EXPECT_EQ(parse_token_review(token_answer(nobody)), std::optional<User>()) << nobody;
  }
}

TEST(Review, TakesNoHalfAnswerForAUser) {
  const std::string cases[] = {
      "",
      "null",
      "{}",
      R"({"kind":"Status","status":"Failure"})",
      R"({"kind":"TokenReview"})",
      access_answer(R"({"authenticated":true,"user":{"username":"u"}})"),
      token_answer("null"),
      token_answer(R"({"authenticated":"true","user":{"username":"u"}})"),
      token_answer(R"({"authenticated":true})"),
      token_answer(R"({"authenticated":true,"user":{}})"),
      token_answer(R"({"authenticated":true,"user":{"username":""}})"),
      token_answer(R"({"authenticated":true,"user":{"username":7}})"),
      token_answer(R"({"authenticated":true,"user":{"username":"u","groups":"g"}})"),
      token_answer(R"({"authenticated":true,"user":{"username":"u","groups":["g",1]}})"),
      token_answer(R"({"authenticated":true,"user":{"username":"u","extra":{"a":"1"}}})"),
      token_answer(R"({"authenticated":false,"authenticated":true,"user":{"username":"u"}})"),
      token_answer(R"({"authenticated":true,"user":{"username":"u","uid":")" + std::string(64U << 10U, 'x') + "\"}}"),
  };
  for (const std::string& body : cases) {
    const Result<std::optional<User>> read = parse_token_review(body);
    ASSERT_FALSE(read) << body;
    EXPECT_EQ(read.error().code, Code::invalid) << body;
  }
}

TEST(Review, AsksWhatAUserMayDo) {
  EXPECT_EQ(access_review_body(jane, list),
            R"({"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"resourceAttributes":{)"
            R"("namespace":"shop","group":"external.metrics.k8s.io","version":"v1beta1","resource":"a|b",)"
            R"("verb":"list"},"user":"jane","uid":"42","groups":["dev","o\"ps"],"extra":{"a":["1","2"],"b":[]}}})");
  EXPECT_EQ(access_review_body({.name = "u"}, {.verb = "get", .path = "/apis"}),
            R"({"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"nonResourceAttributes":{)"
            R"("path":"/apis","verb":"get"},"user":"u"}})");
}

TEST(Review, KnowsTheActOfARoute) {
  const std::pair<const char*, Act> cases[] = {
      {"/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/A%7Cb", list},
      {"/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/a|b?watch=1",
       {.verb = "watch", .space = "shop", .resource = "a|b"}},
      {"/apis/?timeout=1s", {.verb = "get", .path = "/apis"}},
      {"/openapi/v2", {.verb = "get", .path = "/openapi/v2"}},
  };
  for (const auto& [target, want] : cases) {
    const Result<Route> route = parse_route(target);
    ASSERT_TRUE(route) << target;
    EXPECT_EQ(act_of(*route), want) << target;
    EXPECT_FALSE(always_allowed(*route)) << target;
  }
  EXPECT_TRUE(always_allowed(*parse_route("/healthz")));
  EXPECT_TRUE(always_allowed(User{.name = "u", .groups = {"a", "system:masters"}}));
  EXPECT_FALSE(always_allowed(User{.name = "system:masters", .groups = {"system:authenticated"}}));
}

TEST(Review, AllowsWhatIsAllowedAndNotDenied) {
  const std::pair<const char*, Ruling> cases[] = {
      {R"({"allowed":true})", {.allowed = true}},
      {R"({"allowed":true,"reason":"RBAC: x"})", {.allowed = true, .reason = "RBAC: x"}},
      {R"({"allowed":false})", {.allowed = false}},
      {R"({"allowed":false,"denied":true,"evaluationError":"e"})", {.allowed = false}},
      {R"({"allowed":true,"denied":true})", {.allowed = false}},
  };
  for (const auto& [status, want] : cases) {
    EXPECT_EQ(parse_access_review(access_answer(status)), want) << status;
  }
  const std::string unreadable[] = {
      "",
      "[]",
      access_answer("{}"),
      access_answer("[]"),
      access_answer(R"({"allowed":"true"})"),
      access_answer(R"({"allowed":1})"),
      access_answer(R"({"allowed":true,"denied":"no"})"),
      access_answer(R"({"allowed":true,"allowed":false})"),
      token_answer(R"({"allowed":true})"),
      access_answer(R"({"allowed":true,"reason":")" + std::string(64U << 10U, 'x') + "\"}"),
  };
  for (const std::string& body : unreadable) {
    EXPECT_FALSE(parse_access_review(body)) << body;
  }
}

TEST(Review, SaysWhichRightIsLacking) {
  EXPECT_EQ(forbidden_message(jane, list, {}),
            R"(a|b.external.metrics.k8s.io is forbidden: User "jane" cannot list resource "a|b" in API group )"
            R"("external.metrics.k8s.io" in the namespace "shop")");
  EXPECT_EQ(forbidden_message({.name = "system:anonymous"}, {.verb = "get", .path = "/apis"}, {.reason = "why"}),
            R"(forbidden: User "system:anonymous" cannot get path "/apis": why)");
}

TEST(ReviewCache, KeepsYesAndNoForTenSeconds) {
  ReviewCache<bool> cache;
  const Time start = Time() + 100s;
  EXPECT_EQ(cache.get("a", start), nullptr);
  cache.put("a", true, start);
  cache.put("b", false, start + 5s);
  EXPECT_THAT(cache.get("a", start + 10s - 1ns), testing::Pointee(true));
  EXPECT_THAT(cache.get("b", start + 10s), testing::Pointee(false));
  EXPECT_EQ(cache.get("a", start + 10s), nullptr);
  cache.put("a", false, start + 11s);
  EXPECT_THAT(cache.get("a", start + 20s), testing::Pointee(false));
  EXPECT_EQ(cache.get("b", start + 15s), nullptr);
}

TEST(ReviewCache, IsBounded) {
  ReviewCache<int> cache({.ttl = 10s, .entries_max = 3, .key_max = 4});
  Time now = Time() + 1s;
  for (const char* key : {"a", "b", "c", "a", "a", "d"}) {
    cache.put(key, key[0], now);
  }
  EXPECT_EQ(cache.size(), 3U);
  EXPECT_EQ(cache.get("b", now), nullptr) << "the one that was put first";
  EXPECT_THAT(cache.get("a", now), testing::Pointee('a'));
  cache.put("12345", 1, now);
  EXPECT_EQ(cache.get("12345", now), nullptr);
  now += 10s;
  cache.put("e", 'e', now);
  EXPECT_EQ(cache.size(), 1U) << "what ended is not kept";
  cache.put("f", 'f', now - 20s);
  EXPECT_EQ(cache.get("f", now), nullptr) << "an answer that took too long";
  EXPECT_THAT(cache.get("e", now), testing::Pointee('e'));
}

}  // namespace
}  // namespace sluice::external
