// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>

#include "app/cluster_pool.h"
#include "pool/pool.h"

namespace sluice::app {
namespace {

namespace json = boost::json;

pool::Pool orders() {
  return *pool::parse_pool(R"({"apiVersion":"sluice.dev/v1alpha1","kind":"WorkerPool","metadata":{"name":"orders"},)"
                           R"("spec":{"queue":{"rabbitmq":{"url":"amqp://rabbitmq:5672","queue":"orders"}},)"
                           R"("policy":{"threshold":{"messages":20}},)"
                           R"("workers":{"max":5,"run":{"image":"worker:1"}}}})")
              .pool;
}

control::Snapshot looked() {
  control::Snapshot out;
  out.at = WallTime{std::chrono::milliseconds{1'700'000'000'000}};
  out.seen.queue.ready = model::SeenCount{.n = 37, .age_ms = 500};
  out.seen.queue.oldest_age = model::SeenAge{.ms = 12'000};
  out.seen.fleet.age_ms = 0;
  out.seen.workers[static_cast<std::size_t>(model::WorkerState::busy)] = 4;
  out.decision = {.workers = 5, .change = 1, .reason = "grow: 37 messages wait, more than 20"};
  return out;
}

TEST(ClusterStatus, SaysWhatIsKnownAndLeavesOutWhatIsNot) {
  const kube::PoolObject object{.generation = 3};
  control::Snapshot snapshot = looked();
  json::value status = json::parse(status_json(orders(), object, snapshot, "ops/sluice", true));
  EXPECT_EQ(status.at("state").as_string(), "grow");
  EXPECT_EQ(status.at("why").as_string(), "37 messages wait, more than 20");
  EXPECT_EQ(status.at("backlog").as_int64(), 37);
  EXPECT_EQ(status.at("oldest").as_string(), "12 s");
  EXPECT_EQ(status.at("workers").as_int64(), 4);
  EXPECT_EQ(status.at("max").as_int64(), 5);
  EXPECT_EQ(status.at("sampledAt").as_string(), "2023-11-14T22:13:19.500Z");
  EXPECT_EQ(status.at("observedGeneration").as_int64(), 3);
  snapshot.seen.queue = {};
  snapshot.seen.fleet.age_ms.reset();
  status = json::parse(status_json(orders(), object, snapshot, "ops/sluice", true));
  for (const char* unknown : {"backlog", "oldest", "workers", "ready", "sampledAt"}) {
    EXPECT_FALSE(status.as_object().contains(unknown)) << unknown << ": unknown is never zero";
  }
}

TEST(ClusterStatus, AConditionKeepsItsTimeWhileItIsWhatItWas) {
  kube::PoolObject object;
  object.conditions = {{.type = "Ready", .status = "True", .since = "2020-01-01T00:00:00Z"},
                       {.type = "Scaling", .status = "False", .since = "2020-01-01T00:00:00Z"}};
  const json::value status = json::parse(status_json(orders(), object, looked(), "ops/sluice", false));
  for (const json::value& one : status.at("conditions").as_array()) {
    const bool kept = one.at("type").as_string() == "Ready";
    EXPECT_EQ(one.at("lastTransitionTime").as_string(), kept ? "2020-01-01T00:00:00Z" : "2023-11-14T22:13:20.000Z");
    EXPECT_EQ(one.at("status").as_string(), "True");
  }
  EXPECT_FALSE(status.as_object().contains("sampledAt")) << "alone it is not worth a write";
}

TEST(ClusterStatus, AConflictIsAReasonOfItsOwn) {
  control::Snapshot snapshot = looked();
  snapshot.seen.fleet.hold = "conflict with the HorizontalPodAutoscaler orders";
  snapshot.decision = {.workers = 4, .reason = "hold: " + *snapshot.seen.fleet.hold};
  const json::value status = json::parse(status_json(orders(), {}, snapshot, "ops/sluice", false));
  for (const json::value& one : status.at("conditions").as_array()) {
    if (one.at("type").as_string() == "Scaling") {
      EXPECT_EQ(one.at("status").as_string(), "False");
      EXPECT_EQ(one.at("reason").as_string(), "Conflict");
    }
  }
}

TEST(ClusterStatus, ARefusedPoolHasAllItsProblemsInOneCondition) {
  const json::value status =
      json::parse(refusal_json({.generation = 2}, "$.spec.a: no\n$.spec.b: no", "ops/sluice", {}));
  EXPECT_EQ(status.at("state").as_string(), "broken");
  EXPECT_EQ(status.at("why").as_string(), "$.spec.a: no");
  EXPECT_EQ(status.at("conditions").at(0).at("type").as_string(), "Accepted");
  EXPECT_EQ(status.at("conditions").at(0).at("message").as_string(), "$.spec.a: no\n$.spec.b: no");
}

TEST(ClusterStatus, MoreProblemsThanAConditionHoldsAreCounted) {
  std::string why;
  for (int i = 0; i < 1000; ++i) {
    why += fmt::format("{}$.spec.field{}: unknown field; accepted: paused, queue, policy", i == 0 ? "" : "\n", i);
  }
  const json::value status = json::parse(refusal_json({.generation = 2}, why, "ops/sluice", {}));
  const std::string message(status.at("conditions").at(0).at("message").as_string());
  EXPECT_LE(message.size(), 32768U);
  EXPECT_GT(message.size(), 32000U);
  const auto listed = std::count(message.begin(), message.end(), '\n');
  EXPECT_THAT(message, testing::EndsWith(fmt::format("policy\n.. and {} more", 1000 - listed)));
  const json::value line = json::parse(refusal_json({}, std::string(40000, 'x'), "ops/sluice", {}));
  EXPECT_LE(line.at("conditions").at(0).at("message").as_string().size(), 32768U);
}

}  // namespace
}  // namespace sluice::app
