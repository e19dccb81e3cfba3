// SPDX-License-Identifier: Apache-2.0
#include "kube/pool_object.h"

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

TEST(PoolObject, WhatAUserWroteIntoTheStatusIsAnErrorThatNamesIt) {
  EXPECT_THAT(read_pool_object(R"({"status":{"controller":7}})").error().what, testing::HasSubstr("controller"));
  EXPECT_THAT(read_pool_object("[]").error().what, testing::HasSubstr("workerpool"));
  EXPECT_EQ(read_pool_object("{}")->spec, "null");
}

TEST(PoolObject, EventsCarryIt) {
  const Result<Event<PoolObject>> event = read_pool_event(R"({"type":"ADDED","object":)" + std::string(orders) + "}");
  ASSERT_TRUE(event) << event.error().what;
  EXPECT_EQ(event->type, EventType::added);
  EXPECT_EQ(event->object.generation, 3);
}

}  // namespace
}  // namespace sluice::kube
