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

}  // namespace
}  // namespace sluice::kube
