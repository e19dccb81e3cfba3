// SPDX-License-Identifier: Apache-2.0
// When a fleet of a Deployment writes nothing, and what becomes of a write that was not answered or came too late.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kube/testing_deployment_world.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;
using model::WorkerState;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

TEST(DeploymentFleet, ARolloutHolds) {
  DeploymentWorld world;
  const auto body = [&]() -> aio::Task<void> {
    auto view = co_await grown(world, 1);
    world.fake().begin_rollout();
    view = co_await seen(world, 1s);
    EXPECT_EQ(view.hold, "a rollout of the Deployment orders is under way");
    auto refused = co_await world.fleet().start(1, false, world.soon());
    EXPECT_THAT(refused.error().what, HasSubstr("rollout"));
    refused = co_await world.fleet().drain(0, view.workers.at(0).id, world.soon());
    EXPECT_THAT(refused.error().what, HasSubstr("rollout"));
    EXPECT_EQ(world.fake().puts, 1);
    world.fake().end_rollout();
    view = co_await seen(world, 1s);
    EXPECT_EQ(view.hold, "");
    const auto asked = co_await world.fleet().start(1, false, world.soon());
    EXPECT_TRUE(asked) << asked.error().what;
  };
  world.run(body());
  EXPECT_THAT(world.fake().drains, IsEmpty());
}

TEST(DeploymentFleet, AnotherAutoscalerIsAConflictUntilItIsGone) {
  DeploymentWorld world;
  const auto put = [&](const std::string& name, const std::string& target) {
    world.fake().api.put(
        "horizontalpodautoscalers", name,
        {{"metadata", {{"name", name}}}, {"spec", {{"scaleTargetRef", {{"kind", "Deployment"}, {"name", target}}}}}});
  };
  put("other", "invoices");
  const auto body = [&]() -> aio::Task<void> {
    auto view = co_await grown(world, 1);
    put("keda-hpa-orders", "orders");
    view = co_await seen(world, 31s);
    EXPECT_THAT(view.hold, StartsWith("conflict with the HorizontalPodAutoscaler keda-hpa-orders"));
    const auto refused = co_await world.fleet().start(1, false, world.soon());
    EXPECT_THAT(refused.error().what, StartsWith("conflict with"));
    EXPECT_EQ(world.fake().puts, 1);
    world.fake().api.remove("horizontalpodautoscalers", "keda-hpa-orders");
    view = co_await seen(world, 31s);
    EXPECT_EQ(view.hold, "");
  };
  world.run(body());
}

TEST(DeploymentFleet, ThreeWritesOfOthersInARowAreAConflict) {
  DeploymentWorld world;
  const auto body = [&]() -> aio::Task<void> {
    auto view = co_await grown(world, 2);
    for (const int replicas : {1, 2}) {
      world.fake().scale(replicas);
      view = co_await seen(world, 20s);
      EXPECT_EQ(view.hold, "");
    }
    // Ours in between changes nothing: who sets it back each time is the conflict.
    const auto asked = co_await world.fleet().start(4, false, world.soon());
    EXPECT_TRUE(asked) << asked.error().what;
    world.fake().scale(2);
    view = co_await seen(world, 20s);
    EXPECT_THAT(view.hold,
                StartsWith("conflict with somebody who has set the replicas of the Deployment orders 3 times "
                           "in a row, last to 2"));
    const auto refused = co_await world.fleet().start(3, false, world.soon());
    EXPECT_FALSE(refused);
    EXPECT_EQ(world.fake().replicas(), 2);
    view = co_await seen(world, 10min);
    EXPECT_EQ(view.hold, "");
  };
  world.run(body());
}

// The server commits and the answer is lost: one more, not two, and nobody else's write.
TEST(DeploymentFleet, ALostAnswerIsLookedUp) {
  DeploymentWorld world;
  const auto inner = world.fake().api.on_request;
  int lost = 0;
  world.fake().api.on_request = [&, inner](const std::string& method, const std::string& path,
                                           const std::string& body) {
    FakeApi::Answer out = inner(method, path, body);
    return method == "PUT" && ++lost <= 3 ? FakeApi::Answer{.status = 504} : out;
  };
  const auto body = [&]() -> aio::Task<void> {
    const auto view = co_await grown(world, 4);
    EXPECT_EQ(view.hold, "");
  };
  world.run(body());
  EXPECT_EQ(world.fake().puts, 4);
  EXPECT_EQ(world.fake().replicas(), 4);
}

// Neither done nor answered: the caller learns so, and the next one does not ask twice.
TEST(DeploymentFleet, AWriteThatWasNotDoneIsAnErrorAndLeavesNothing) {
  DeploymentWorld world;
  const auto inner = world.fake().api.on_request;
  bool away = true;
  world.fake().api.on_request = [&, inner](const std::string& method, const std::string& path,
                                           const std::string& body) {
    return method == "PUT" && away ? FakeApi::Answer{.status = 500} : inner(method, path, body);
  };
  const auto body = [&]() -> aio::Task<void> {
    const auto refused = co_await world.fleet().start(0, false, world.soon());
    EXPECT_EQ(refused.error().code, Code::retry);
    auto view = co_await seen(world, 1s);
    EXPECT_THAT(view.workers, IsEmpty());
    away = false;
    view = co_await grown(world, 1);
  };
  world.run(body());
  EXPECT_EQ(world.fake().replicas(), 1);
}

// Another write comes between the look and ours, each time with another meaning.
TEST(DeploymentFleet, AWriteOnAnOldLookIsRefusedAndMadeAnew) {
  DeploymentWorld world;
  int between = 0;
  world.fake().before = [&](const std::string& method, const std::string&) {
    if (method == "PUT" && between > 0) {
      world.fake().scale(std::exchange(between, 0));
    }
  };
  const auto body = [&]() -> aio::Task<void> {
    auto view = co_await grown(world, 1);
    between = 2;
    auto asked = co_await world.fleet().start(1, false, world.soon());
    EXPECT_TRUE(asked) << asked.error().what;
    EXPECT_EQ(world.fake().replicas(), 3) << "one more than what the other made of it";
    between = 5;
    asked = co_await world.fleet().start(4, false, world.soon());
    EXPECT_FALSE(asked);
    EXPECT_THAT(asked.error().what, HasSubstr("more than workers.max"));
    EXPECT_EQ(world.fake().replicas(), 5);
  };
  world.fake().makes_pods = true;
  world.run(body());
}

TEST(DeploymentFleet, OneThatEndsCountsUntilItIsGone) {
  DeploymentWorld world;
  const auto body = [&]() -> aio::Task<void> {
    auto view = co_await grown(world, 2);
    world.fake().slow_ends = true;
    world.fake().scale(0);
    view = co_await seen(world, 5s);
    EXPECT_THAT(view.workers, SizeIs(2));
    EXPECT_EQ(view.workers.at(0).state, WorkerState::terminating);
    EXPECT_THAT(view.free_slots, ElementsAre(2, 3, 4));
    for (const int slot : {2, 3}) {
      const auto asked = co_await world.fleet().start(slot, false, world.soon());
      EXPECT_TRUE(asked) << asked.error().what;
    }
    view = co_await seen(world, 5s);
    EXPECT_THAT(view.free_slots, ElementsAre(4));
  };
  world.run(body());
}

TEST(DeploymentFleet, WritesNothingWithoutTheLease) {
  DeploymentWorld world;
  const auto body = [&]() -> aio::Task<void> {
    auto view = co_await grown(world, 1);
    world.may_write_until = world.clock().now() + 500ms;  // not long enough to be sure
    auto refused = co_await world.fleet().start(1, false, world.soon());
    EXPECT_EQ(refused.error().what, "this controller does not hold the lease");
    refused = co_await world.fleet().drain(0, view.workers.at(0).id, world.soon());
    EXPECT_EQ(refused.error().what, "this controller does not hold the lease");
    world.may_write_until = Time::max();
    const auto asked = co_await world.fleet().start(1, false, world.soon());
    EXPECT_TRUE(asked);
  };
  world.run(body());
  EXPECT_THAT(world.fake().drains, IsEmpty());
}

}  // namespace
}  // namespace sluice::kube
