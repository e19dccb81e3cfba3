// SPDX-License-Identifier: Apache-2.0
#include "kube/deployment_fleet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fleet/conformance.h"
#include "kube/testing_deployment_world.h"

namespace sluice::fleet {
INSTANTIATE_TYPED_TEST_SUITE_P(Deployment, FleetConformance, kube::DeploymentWorld);
}  // namespace sluice::fleet

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;
using model::EndKind;
using model::Room;
using model::WorkerState;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

// `count` workers that are ready, each known to the fleet under test.
aio::Task<model::FleetView> grown(DeploymentWorld& world, int count) {
  for (int slot = 0; slot < count; ++slot) {
    const auto asked = co_await world.fleet().start(slot, false, world.soon());
    EXPECT_TRUE(asked) << asked.error().what;
  }
  co_await world.clock().sleep_for(15s);
  auto view = co_await world.fleet().view(world.soon());
  EXPECT_TRUE(view) << view.error().what;
  EXPECT_THAT(view->workers, SizeIs(count));
  for (const model::Worker& worker : view->workers) {
    EXPECT_EQ(worker.state, WorkerState::ready) << worker.name;
  }
  co_return *view;
}

aio::Task<model::FleetView> seen(DeploymentWorld& world, Duration after) {
  co_await world.clock().sleep_for(after);
  auto view = co_await world.fleet().view(world.soon());
  EXPECT_TRUE(view) << view.error().what;
  co_return view ? *view : model::FleetView{};
}

TEST(DeploymentFleet, StartsThatAreAskedForTogetherAreOneWrite) {
  DeploymentWorld world;
  int good = 0;
  const auto body = [&]() -> aio::Task<void> {
    const auto one = [](DeploymentWorld* of, int slot, int* counted) -> aio::Task<void> {
      const auto asked = co_await of->fleet().start(slot, false, of->soon());
      EXPECT_TRUE(asked) << asked.error().what;
      *counted += asked ? 1 : 0;
    };
    aio::TaskGroup group(world.cluster().loop(), world.clock());
    for (const int slot : {4, 1, 2, 0}) {
      group.spawn(one(&world, slot, &good));
    }
    co_await group.join();
    const auto view = co_await seen(world, 0s);
    std::vector<int> slots;
    for (const model::Worker& worker : view.workers) {
      slots.push_back(worker.slot);
      EXPECT_EQ(worker.state, WorkerState::requested);
    }
    EXPECT_THAT(slots, ElementsAre(0, 1, 2, 4));
  };
  world.run(body());
  EXPECT_EQ(good, 4);
  EXPECT_EQ(world.fake().replicas(), 4);
  EXPECT_LE(world.fake().puts, 2) << "the first alone, the others while that is written";
}

TEST(DeploymentFleet, ExactlyTheDrainedLeaveAndTheBusyStay) {
  DeploymentWorld world;
  const auto body = [&]() -> aio::Task<void> {
    auto view = co_await grown(world, 4);
    for (const std::size_t busy : {0U, 3U}) {
      world.fake().worker(busy).state = "busy";
      world.fake().worker(busy).handling = 1;
    }
    const std::vector<std::string> idle{world.fake().worker(1).name, world.fake().worker(2).name};
    for (const int slot : {1, 2}) {
      const auto asked =
          co_await world.fleet().drain(slot, view.workers.at(static_cast<std::size_t>(slot)).id, world.soon());
      EXPECT_TRUE(asked) << asked.error().what;
    }
    view = co_await seen(world, 0s);
    EXPECT_EQ(view.workers.at(1).state, WorkerState::draining);
    view = co_await seen(world, 5s);
    EXPECT_THAT(world.fake().left(), testing::UnorderedElementsAreArray(idle));
    EXPECT_EQ(world.fake().replicas(), 2);
    EXPECT_THAT(view.workers, SizeIs(2));
    EXPECT_THAT(view.ended, SizeIs(2));
    EXPECT_EQ(view.ended.at(0).kind, EndKind::succeeded);
    EXPECT_EQ(view.workers.at(0).state, WorkerState::busy);
  };
  world.run(body());
  EXPECT_THAT(world.fake().drains, ElementsAre(R"({"leave":false})", R"({"leave":false})"));
  EXPECT_THAT(world.troubles, IsEmpty());
}

// Between the look and the request it took a message: it finishes that first, however long that takes.
TEST(DeploymentFleet, AWorkerThatStillWorksIsNotTakenAway) {
  DeploymentWorld world;
  const auto body = [&]() -> aio::Task<void> {
    auto view = co_await grown(world, 2);
    world.fake().worker(0).handling = 1;
    const auto asked = co_await world.fleet().drain(0, view.workers.at(0).id, world.soon());
    EXPECT_TRUE(asked);
    view = co_await seen(world, 10min);
    EXPECT_EQ(view.workers.at(0).state, WorkerState::draining);
    EXPECT_EQ(world.fake().replicas(), 2);
    EXPECT_EQ(world.fake().worker(0).cost, "");
    world.fake().worker(0).handling = 0;
    world.fake().worker(0).state = "gone";
    const std::string name = world.fake().worker(0).name;
    view = co_await seen(world, 5s);
    EXPECT_THAT(world.fake().left(), ElementsAre(name));
  };
  world.run(body());
}

// Kubernetes would take the pod that starts and leave the drained one.
TEST(DeploymentFleet, WaitsWhileAnotherWouldGoInPlaceOfTheDrained) {
  DeploymentWorld world;
  const auto body = [&]() -> aio::Task<void> {
    auto view = co_await grown(world, 2);
    const std::string drained = world.fake().worker(0).name;
    world.fake().worker(1).running = world.fake().worker(1).ready = false;
    world.fake().worker(1).next_at = Time::max();  // it starts again, for long
    world.fake().show(world.fake().worker(1));
    const auto asked = co_await world.fleet().drain(0, view.workers.at(0).id, world.soon());
    EXPECT_TRUE(asked);
    view = co_await seen(world, 30s);
    EXPECT_THAT(world.fake().left(), IsEmpty());
    EXPECT_EQ(view.workers.at(0).why, "others that are not ready would go in its stead");
    world.fake().worker(1).next_at = world.clock().now();
    view = co_await seen(world, 10s);
    EXPECT_THAT(world.fake().left(), ElementsAre(drained));
  };
  world.run(body());
}

TEST(DeploymentFleet, AWorkerThatDoesNotTakeTheRequestStaysAndIsDeaf) {
  DeploymentWorld world;
  world.fake().drain_status = 404;
  const auto body = [&]() -> aio::Task<void> {
    auto view = co_await grown(world, 1);
    const auto refused = co_await world.fleet().drain(0, view.workers.at(0).id, world.soon());
    EXPECT_EQ(refused.error().code, Code::invalid);
    EXPECT_THAT(refused.error().what, HasSubstr("does not take POST /drain (it answers 404)"));
    view = co_await seen(world, 10s);
    EXPECT_TRUE(view.workers.at(0).deaf);
    EXPECT_EQ(view.workers.at(0).state, WorkerState::ready);
  };
  world.run(body());
  EXPECT_EQ(world.fake().replicas(), 1);
}

TEST(DeploymentFleet, AWorkerThatSaysNothingIsSilentAndDeaf) {
  DeploymentWorld world;
  world.fake().silent = true;
  const auto body = [&]() -> aio::Task<void> {
    const auto asked = co_await world.fleet().start(0, false, world.soon());
    EXPECT_TRUE(asked);
    auto view = co_await seen(world, 2s);
    view = co_await seen(world, 2s);
    EXPECT_TRUE(view.workers.at(0).silent);
    EXPECT_TRUE(view.workers.at(0).deaf);
    EXPECT_EQ(view.claim, model::ClaimRung::readiness);
  };
  world.run(body());
}

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

// What the last leader began is ended by the next one.
TEST(DeploymentFleet, ANewLeaderTakesAwayWhatHasDrained) {
  DeploymentWorld world;
  const auto body = [&]() -> aio::Task<void> {
    auto view = co_await grown(world, 2);
    const std::string name = world.fake().worker(1).name;
    world.fake().worker(1).state = "gone";
    co_await world.clock().sleep_for(1s);
    const auto other = co_await world.other().view(world.soon());
    EXPECT_TRUE(other);
    view = co_await seen(world, 10s);
    EXPECT_THAT(world.fake().left(), ElementsAre(name));
    EXPECT_EQ(world.fake().replicas(), 1);
  };
  world.run(body());
}

TEST(DeploymentFleet, AWorkerThatGotItsPlaceMeanwhileIsNotTakenBack) {
  DeploymentWorld world;
  const auto body = [&]() -> aio::Task<void> {
    for (const int slot : {0, 1, 2}) {
      const auto asked = co_await world.fleet().start(slot, false, world.soon());
      EXPECT_TRUE(asked);
    }
    auto view = co_await seen(world, 2s);
    EXPECT_EQ(view.workers.at(2).state, WorkerState::unscheduled);
    const std::string id = view.workers.at(2).id;
    world.fake().before = [&](const std::string& method, const std::string&) {
      if (method == "PATCH") {
        world.fake().worker(2).node = "node 2";
        world.fake().show(world.fake().worker(2));
      }
    };
    const auto refused = co_await world.fleet().withdraw(2, id, world.soon());
    EXPECT_EQ(refused.error().code, Code::conflict);
    EXPECT_EQ(world.fake().replicas(), 3);
    EXPECT_EQ(world.fake().worker(2).cost, "");
  };
  world.run(body());
}

// The mark of one that stayed after all is taken off: it may be the one that works next.
TEST(DeploymentFleet, AMarkThatIsNotMeantAnyMoreIsTakenOff) {
  DeploymentWorld world;
  const auto inner = world.fake().api.on_request;
  bool away = true;
  world.fake().api.on_request = [&, inner](const std::string& method, const std::string& path,
                                           const std::string& body) {
    const bool fewer = method == "PUT" && body.contains(R"("replicas":2)") && world.fake().replicas() == 3;
    return fewer && away ? FakeApi::Answer{.status = 500} : inner(method, path, body);
  };
  const auto body = [&]() -> aio::Task<void> {
    for (const int slot : {0, 1, 2}) {
      const auto asked = co_await world.fleet().start(slot, false, world.soon());
      EXPECT_TRUE(asked);
    }
    auto view = co_await seen(world, 2s);
    const auto refused = co_await world.fleet().withdraw(2, view.workers.at(2).id, world.soon());
    EXPECT_FALSE(refused);
    view = co_await seen(world, 15s);
    EXPECT_EQ(view.workers.at(2).state, WorkerState::ready);
    EXPECT_EQ(world.fake().worker(2).cost, "");
  };
  world.run(body());
}

TEST(DeploymentFleet, WhatWasAskedForAndNeverMadeIsTakenBackByReplicasAlone) {
  DeploymentWorld world;
  world.fake().makes_pods = false;
  const auto body = [&]() -> aio::Task<void> {
    const auto asked = co_await world.fleet().start(3, false, world.soon());
    EXPECT_TRUE(asked);
    auto view = co_await seen(world, 2s);
    EXPECT_EQ(view.workers.at(0).state, WorkerState::requested);
    EXPECT_EQ(view.capacity.room, Room::waiting);
    const auto done = co_await world.fleet().withdraw(3, view.workers.at(0).id, world.soon());
    EXPECT_TRUE(done) << done.error().what;
    view = co_await seen(world, 1s);
    EXPECT_THAT(view.workers, IsEmpty());
    EXPECT_THAT(view.ended, IsEmpty());
  };
  world.run(body());
  EXPECT_EQ(world.fake().replicas(), 0);
}

TEST(DeploymentFleet, PodsThatOnlyMatchTheSelectorAreNoWorkers) {
  DeploymentWorld world;
  world.fake().api.put("pods", "orders-debug",
                       {{"metadata", {{"name", "orders-debug"}, {"namespace", "default"}, {"uid", "x"}}},
                        {"status", {{"phase", "Running"}}}});
  const auto body = [&]() -> aio::Task<void> {
    const auto view = co_await grown(world, 1);
    EXPECT_THAT(view.free_slots, ElementsAre(1, 2, 3, 4));
  };
  world.run(body());
}

TEST(DeploymentFleet, ADeploymentThatIsNotThereIsSaidSo) {
  DeploymentWorld world;
  world.fake().api.remove("deployments", "orders");
  const auto body = [&]() -> aio::Task<void> {
    const auto view = co_await world.fleet().view(world.soon());
    EXPECT_FALSE(view);
    EXPECT_EQ(view.error().what, "there is no Deployment orders in namespace default");
  };
  world.run(body());
}

TEST(ReadDeployment, AnySelectorIsWrittenAsALabelSelector) {
  const auto is = read_deployment(
      R"({"metadata":{"name":"a","generation":7},"spec":{"selector":{"matchLabels":{"app":"a","team":"b"},)"
      R"("matchExpressions":[{"key":"tier","operator":"In","values":["x","y"]},{"key":"old","operator":"DoesNotExist"},)"
      R"({"key":"zone","operator":"Exists"},{"key":"env","operator":"NotIn","values":["test"]}]}},)"
      R"("status":{"observedGeneration":6,"replicas":3,"updatedReplicas":2,)"
      R"("conditions":[{"type":"ReplicaFailure","status":"True","message":"exceeded quota"}]}})");
  ASSERT_TRUE(is) << is.error().what;
  EXPECT_EQ(is->selector, "app=a,team=b,tier in (x,y),!old,zone,env notin (test)");
  EXPECT_EQ(is->replicas, 1) << "the API's own default";
  EXPECT_EQ(is->generation, 7);
  EXPECT_EQ(is->updated, 2);
  EXPECT_EQ(is->refused, "exceeded quota");
  EXPECT_FALSE(read_deployment(R"({"spec":{"selector":{"matchExpressions":[{"key":"a","operator":"Near"}]}}})"));
}

TEST(GoesBefore, IsTheOrderOfAReplicaSet) {
  DeploymentPod ready;
  ready.node = "n";
  ready.phase = Pod::Phase::running;
  ready.ready = true;
  DeploymentPod marked = ready;
  marked.cost = lowest_cost;
  DeploymentPod unready = ready;
  unready.ready = false;
  DeploymentPod pending = unready;
  pending.phase = Pod::Phase::pending;
  DeploymentPod unplaced = pending;
  unplaced.node.clear();
  unplaced.cost = 1;
  const std::vector<DeploymentPod> order{unplaced, pending, unready, marked, ready};
  for (std::size_t a = 0; a < order.size(); ++a) {
    for (std::size_t b = 0; b < order.size(); ++b) {
      EXPECT_EQ(goes_before(order[a], order[b]), a < b) << a << " and " << b;
    }
  }
}

}  // namespace
}  // namespace sluice::kube
