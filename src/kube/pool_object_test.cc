// SPDX-License-Identifier: Apache-2.0
#include "kube/pool_object.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::kube {
namespace {

constexpr std::string_view orders =
    R"({"apiVersion":"sluice.dev/v1alpha1","kind":"WorkerPool","metadata":{"name":"orders","namespace":"shop",)"
    R"("uid":"u-1","resourceVersion":"7","generation":3,"managedFields":[{"manager":"kubectl"}]},)"
    R"("spec":{"workers":{"max":5}},"status":{"controller":"ops/sluice","state":"steady","conditions":[)"
    R"({"type":"Ready","status":"True","lastTransitionTime":"2026-11-22T10:00:00Z"}]}})";

TEST(PoolObject, KeepsTheSpecAsTextAndOfTheStatusWhatMustBeWrittenAgain) {
  const Result<PoolObject> pool = read_pool_object(orders);
  ASSERT_TRUE(pool) << pool.error().what;
  EXPECT_EQ(pool->meta.space + "/" + pool->meta.name, "shop/orders");
  EXPECT_EQ(pool->meta.uid, "u-1");
  EXPECT_EQ(pool->generation, 3);
  EXPECT_EQ(pool->controller, "ops/sluice");
  ASSERT_EQ(pool->conditions.size(), 1U);
  EXPECT_EQ(pool->conditions[0].since, "2026-11-22T10:00:00Z");
  EXPECT_EQ(pool_file(*pool), R"({"apiVersion":"sluice.dev/v1alpha1","kind":"WorkerPool",)"
                              R"("metadata":{"name":"orders","namespace":"shop"},"spec":{"workers":{"max":5}}})");
}

TEST(PoolObject, WhatAUserWroteIntoTheStatusIsNoStatusAndKeepsNobodyFromReading) {
  for (const char* status : {R"({"controller":7})", "[]", "7", R"({"conditions":"all"})", R"({"conditions":[7]})",
                             R"({"controller":{"a":[1]}})"}) {
    const Result<PoolObject> pool =
        read_pool_object(fmt::format(R"({{"metadata":{{"name":"a"}},"spec":{{}},"status":{}}})", status));
    ASSERT_TRUE(pool) << pool.error().what;
    EXPECT_EQ(pool->meta.name, "a");
    EXPECT_EQ(pool->controller, "");
    EXPECT_TRUE(pool->conditions.empty());
  }
  EXPECT_THAT(read_pool_object("[]").error().what, testing::HasSubstr("workerpool"));
  EXPECT_THAT(read_pool_object(R"({"metadata":{"name":7}})").error().what, testing::HasSubstr("name"));
  EXPECT_EQ(read_pool_object("{}")->spec, "null");
}

TEST(PoolObject, TheSpecIsTheTextThatCameHoweverDeepAndWhateverItsNumbers) {
  const std::string deep(5000, '[');
  for (const std::string& spec :
       {std::string(R"({"tolerance":0.1,"small":0.000001,"large":9223372036854775808})"),
        R"({"a":)" + deep + std::string(deep.size(), ']') + "}", std::string(R"({"}":"{\"]","b":[{}, []]})"),
        std::string("[1,2]"), std::string("7")}) {
    const std::string object =
        fmt::format(R"({{"kind":"WorkerPool", "spec" : {0} ,"metadata":{{"managedFields":[{{"fieldsV1":{0}}}],)"
                    R"("name":"a","generation":2}},"status":{{"x":{0},"controller":"me"}}}})",
                    spec);
    const Result<Event<PoolObject>> event = read_pool_event(R"({"type":"MODIFIED","object":)" + object + "}");
    ASSERT_TRUE(event) << event.error().what;
    EXPECT_EQ(event->object.spec, spec);
    EXPECT_EQ(event->object.meta.name, "a");
    EXPECT_EQ(event->object.generation, 2);
    const Result<PoolObject> listed = read_pool_object(object);
    ASSERT_TRUE(listed) << listed.error().what;
    EXPECT_EQ(listed->spec, spec);
  }
}

TEST(PoolObject, AnObjectThatIsCutOffIsAnError) {
  const std::string whole(orders);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_FALSE(read_pool_object(whole.substr(0, length))) << length;
  }
}

TEST(PoolObject, EventsCarryIt) {
  const Result<Event<PoolObject>> event = read_pool_event(R"({"type":"ADDED","object":)" + std::string(orders) + "}");
  ASSERT_TRUE(event) << event.error().what;
  EXPECT_EQ(event->type, EventType::added);
  EXPECT_EQ(event->object.generation, 3);
  EXPECT_EQ(event->object.controller, "ops/sluice");
  const Result<Event<PoolObject>> error = read_pool_event(
      R"({"type":"ERROR","object":{"kind":"Status","status":"Failure","code":410,"message":"too old"}})");
  ASSERT_TRUE(error) << error.error().what;
  EXPECT_EQ(error->error.code, 410);
  const Result<Event<PoolObject>> mark =
      read_pool_event(R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"12"}}})");
  ASSERT_TRUE(mark) << mark.error().what;
  EXPECT_EQ(mark->object.meta.version, "12");
}

}  // namespace
}  // namespace sluice::kube
