// SPDX-License-Identifier: Apache-2.0
#include "kube/job_fleet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "aio/task_group.h"
#include "fleet/conformance.h"
#include "kube/testing_cluster.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;
using model::EndKind;
using model::Room;
using model::WorkerState;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Two controllers, each with a connection and a memory of its own, before one cluster.
class JobWorld {
 public:
  JobWorld() {
    for (Controller& one : controllers_) {
      one.api = std::make_unique<Api>(loop_, clock_, access(), ReadFile{}, std::vector<std::string>{},
                                      ApiOptions{.dial = fake_.api.dial()});
      one.cluster = std::make_unique<Cluster>(loop_, clock_, random_, *one.api, "default", fake_.to_workers(loop_));
      JobFleetOptions options{.job = {.space = "default", .pool = "orders", .image = "worker:1"},
                              .max = 5,
                              .may_write_until = [this] { return may_write_until; }};
      one.fleet = std::make_unique<JobFleet>(*one.cluster, std::move(options));
    }
  }
  aio::VirtualClock& clock() { return clock_; }
  JobFleet& fleet() { return *controllers_[0].fleet; }
  JobFleet& other() { return *controllers_[1].fleet; }
  FakeCluster& fake() { return fake_; }
  void run(aio::Task<void> body) {
    const auto main = [this, &body]() -> aio::Task<void> {
      aio::TaskGroup group(loop_, clock_);
      group.spawn(fake_.run());
      for (Controller& one : controllers_) {
        group.spawn(one.cluster->run());
      }
      co_await clock_.sleep_for(10ms);
      co_await std::move(body);
      group.cancel();
      co_await group.join();
      co_await fake_.api.stop();
    };
    clock_.run(main());
  }
  void make_next_fail() { fake_.next_fails = true; }
  void end_well(int slot) { fake_.end(slot, 0, R"({"state":"gone","done":1,"reason":"idle"})"); }
  void kill(int slot) { fake_.end(slot, 137, ""); }
  [[nodiscard]] aio::Deadline soon() { return clock_.in(10s); }

  Time may_write_until = Time::max();

 private:
  struct Controller {
    std::unique_ptr<Api> api;
    std::unique_ptr<Cluster> cluster;
    std::unique_ptr<JobFleet> fleet;
  };
  static Access access() {
    Access out;
    out.server = "http://api:80";
    return out;
  }

  aio::Loop loop_;
  aio::VirtualClock clock_{loop_};
  Random random_{1};
  FakeCluster fake_{loop_, clock_};
  std::array<Controller, 2> controllers_;
};

}  // namespace
}  // namespace sluice::kube

namespace sluice::fleet {
INSTANTIATE_TYPED_TEST_SUITE_P(Jobs, FleetConformance, kube::JobWorld);
}  // namespace sluice::fleet

namespace sluice::kube {
namespace {

model::Worker only(const Result<model::FleetView>& view) {
  EXPECT_TRUE(view) << view.error().what;
  EXPECT_EQ(view ? view->workers.size() : 0, 1U);
  return view && !view->workers.empty() ? view->workers.front() : model::Worker{};
}

TEST(JobFleet, ACreatedWorkerIsThereBeforeTheWatchTellsOfIt) {
  JobWorld world;
  const auto body = [&]() -> aio::Task<void> {
    const auto asked = co_await world.fleet().start(2, true, world.soon());
    EXPECT_TRUE(asked) << asked.error().what;
    const auto view = co_await world.fleet().view(world.soon());
    EXPECT_EQ(only(view).state, WorkerState::requested);
    EXPECT_EQ(only(view).slot, 2);
  };
  world.run(body());
}

TEST(JobFleet, WritesNothingWithoutTheLease) {
  JobWorld world;
  const auto body = [&]() -> aio::Task<void> {
    world.may_write_until = world.clock().now() + 500ms;  // not long enough to be sure
    const auto refused = co_await world.fleet().start(0, false, world.soon());
    EXPECT_EQ(refused.error().what, "this controller does not hold the lease");
    world.may_write_until = Time::max();
    const auto asked = co_await world.fleet().start(0, false, world.soon());
    EXPECT_TRUE(asked);
  };
  world.run(body());
}

// Its image knows nothing of sluice: whether it consumes is the broker's to say.
TEST(JobFleet, AWorkerThatDoesNotAnswerIsSilentAndNeverDrained) {
  JobWorld world;
  world.fake().silent = true;
  const auto body = [&]() -> aio::Task<void> {
    const auto asked = co_await world.fleet().start(0, true, world.soon());
    EXPECT_TRUE(asked);
    co_await world.clock().sleep_for(2s);
    auto view = co_await world.fleet().view(world.soon());
    view = co_await world.fleet().view(world.soon());
    EXPECT_EQ(only(view).state, WorkerState::starting);
    EXPECT_TRUE(only(view).silent);
    EXPECT_EQ(view->claim, model::ClaimRung::readiness);
    const auto refused = co_await world.fleet().drain(0, only(view).id, world.soon());
    EXPECT_EQ(refused.error().code, Code::invalid);
    EXPECT_THAT(refused.error().what, HasSubstr("does not take POST /drain"));
  };
  world.run(body());
}

TEST(JobFleet, AForeignJobOfItsNameTakesOneSlotAway) {
  JobWorld world;
  world.fake().api.put("jobs", "orders-w0", {{"metadata", {{"name", "orders-w0"}, {"uid", "x"}}}});
  const auto inner = world.fake().api.on_request;
  world.fake().api.on_request = [&, inner](const std::string& method, const std::string& path,
                                           const std::string& body) {
    if (method == "POST" && body.contains("\"orders-w0\"")) {
      return FakeApi::Answer{.status = 409, .body = R"({"message":"jobs.batch \"orders-w0\" already exists"})"};
    }
    if (path.ends_with("/orders-w0")) {
      return FakeApi::Answer{.body = R"({"metadata":{"name":"orders-w0","uid":"x"}})"};
    }
    return inner(method, path, body);
  };
  const auto body = [&]() -> aio::Task<void> {
    const auto refused = co_await world.fleet().start(0, false, world.soon());
    EXPECT_EQ(refused.error().code, Code::conflict);
    EXPECT_THAT(refused.error().what, HasSubstr("is not of this pool"));
    const auto view = co_await world.fleet().view(world.soon());
    EXPECT_THAT(view->workers, IsEmpty());
    EXPECT_THAT(view->free_slots, ElementsAre(1, 2, 3, 4));
  };
  world.run(body());
}

// The server commits and the answer is lost: no second object, and the first one counts.
TEST(JobFleet, ALostAnswerIsLookedUp) {
  JobWorld world;
  const auto inner = world.fake().api.on_request;
  bool lose = true;
  world.fake().api.on_request = [&, inner](const std::string& method, const std::string& path,
                                           const std::string& body) {
    FakeApi::Answer out = inner(method, path, body);
    return method == "POST" && std::exchange(lose, false) ? FakeApi::Answer{.status = 504} : out;
  };
  const auto body = [&]() -> aio::Task<void> {
    const auto asked = co_await world.fleet().start(0, false, world.soon());
    EXPECT_TRUE(asked) << asked.error().what;
    const auto view = co_await world.fleet().view(world.soon());
    EXPECT_EQ(only(view).name, "orders-w0");
  };
  world.run(body());
}

TEST(JobFleet, ARefusalIsFullForAWhileAndThenTriedAgain) {
  JobWorld world;
  const auto inner = world.fake().api.on_request;
  int posts = 0;
  bool quota = true;
  world.fake().api.on_request = [&, inner](const std::string& method, const std::string& path,
                                           const std::string& body) {
    posts += method == "POST" ? 1 : 0;
    return method == "POST" && quota
               ? FakeApi::Answer{.status = 403,
                                 .body = R"({"message":"jobs.batch \"orders-w0\" is forbidden: exceeded quota: few"})"}
               : inner(method, path, body);
  };
  const auto body = [&]() -> aio::Task<void> {
    const auto refused = co_await world.fleet().start(0, false, world.soon());
    EXPECT_EQ(refused.error().code, Code::throttled);
    EXPECT_EQ(refused.error().what, "exceeded quota: few");
    auto view = co_await world.fleet().view(world.soon());
    EXPECT_EQ(view->capacity.room, Room::full);
    EXPECT_EQ(view->capacity.why, "exceeded quota: few");
    co_await world.clock().sleep_for(31s);
    view = co_await world.fleet().view(world.soon());
    EXPECT_EQ(view->capacity.room, Room::room);
    quota = false;
    const auto asked = co_await world.fleet().start(0, false, world.soon());
    EXPECT_TRUE(asked);
  };
  world.run(body());
  EXPECT_EQ(posts, 2);
}

TEST(JobFleet, ThePodOfAWorkerThatHasEndedIsEndedWithWhatRunsBesideIt) {
  JobWorld world;
  const auto body = [&]() -> aio::Task<void> {
    const auto asked = co_await world.fleet().start(0, false, world.soon());
    EXPECT_TRUE(asked);
    co_await world.clock().sleep_for(2s);
    // The worker is over, a container beside it is not: the pod runs on.
    const auto sidecar = [&](bool over) {
      world.fake().api.put(
          "pods", world.fake().of(0).pod,
          {{"metadata",
            {{"name", world.fake().of(0).pod},
             {"namespace", "default"},
             {"uid", "p"},
             {"labels", {{label_pool, "orders"}}},
             {"annotations", {{annotation_container, "worker"}}},
             {"ownerReferences", {boost::json::object{{"uid", world.fake().of(0).uid}, {"controller", true}}}}}},
           {"spec", {{"nodeName", "node 1"}}},
           {"status",
            {{"phase", "Running"},
             {"containerStatuses",
              {boost::json::object{{"name", "proxy"}, {"ready", true}},
               boost::json::object{{"name", "worker"},
                                   {"state", {{over ? "terminated" : "running", {{"exitCode", 0}}}}}}}}}}});
    };
    sidecar(true);
    co_await world.clock().sleep_for(1s);
    auto view = co_await world.fleet().view(world.soon());
    EXPECT_EQ(only(view).state, WorkerState::terminating);
    int ended = co_await world.fleet().end_leftovers(world.soon());
    EXPECT_EQ(ended, 0) << "what runs beside it has a while to notice";
    co_await world.clock().sleep_for(10s);
    ended = co_await world.fleet().end_leftovers(world.soon());
    EXPECT_EQ(ended, 1);
    co_await world.clock().sleep_for(1s);
    view = co_await world.fleet().view(world.soon());
    EXPECT_THAT(view->workers, IsEmpty());
    EXPECT_EQ(view->ended.at(0).kind, EndKind::succeeded) << "the worker decides, not how its Job ends";
  };
  world.run(body());
  EXPECT_EQ(world.fake().deleted_pods, 1);
}

// Who leads next sees a Job that failed, and a pod that nobody ever ran.
TEST(JobFleet, AWorkerThatAnotherTookBackHasNotFailed) {
  JobWorld world;
  const auto body = [&]() -> aio::Task<void> {
    for (const int slot : {0, 1, 2}) {
      const auto asked = co_await world.fleet().start(slot, false, world.soon());
      EXPECT_TRUE(asked);
    }
    bool withdrawn = false;
    std::vector<model::EndedWorker> ended;
    for (int i = 0; i < 60; ++i) {
      co_await world.clock().sleep_for(50ms);
      const auto mine = co_await world.fleet().view(world.soon());
      const auto seen = co_await world.other().view(world.soon());
      const auto waits = std::ranges::find(mine->workers, WorkerState::unscheduled, &model::Worker::state);
      if (!withdrawn && waits != mine->workers.end()) {
        const int slot = waits->slot;
        std::string id = waits->id;
        const auto done = co_await world.fleet().withdraw(slot, id, world.soon());
        withdrawn = done.has_value();
      }
      ended = seen->ended;
    }
    EXPECT_TRUE(withdrawn);
    EXPECT_THAT(ended, IsEmpty()) << "the other says: " << (ended.empty() ? "" : ended.front().why);
  };
  world.run(body());
}

TEST(JobFleet, HoldsWhenWhatItKnowsIsTooOld) {
  JobWorld world;
  const auto body = [&]() -> aio::Task<void> {
    const auto asked = co_await world.fleet().start(0, false, world.soon());
    EXPECT_TRUE(asked);
    co_await world.clock().sleep_for(2s);
    world.fake().api.set_down(true);
    co_await world.clock().sleep_for(5s);
    auto view = co_await world.fleet().view(world.soon());
    EXPECT_EQ(only(view).state, WorkerState::ready);
    EXPECT_LT(view->observed_at, world.clock().now() - 4s);
    co_await world.clock().sleep_for(10s);
    view = co_await world.fleet().view(world.soon());
    EXPECT_FALSE(view);
    EXPECT_THAT(view.error().what, HasSubstr("cannot be followed"));
    world.fake().api.set_down(false);
    co_await world.clock().sleep_for(40s);
    view = co_await world.fleet().view(world.soon());
    EXPECT_EQ(only(view).state, WorkerState::ready);
  };
  world.run(body());
}

// Only what the API server would never take condemns a template.
TEST(JobFleet, ATemplateIsJudgedByACreateThatIsNotKept) {
  JobWorld world;
  const auto body = [&]() -> aio::Task<void> {
    const auto good = co_await world.fleet().judge(world.soon());
    EXPECT_TRUE(good) << good.error().what;
    const auto view = co_await world.fleet().view(world.soon());
    EXPECT_THAT(view->workers, IsEmpty());
    world.fake().dry_run = {.status = 422, .body = R"({"kind":"Status","message":"containers: Required value"})"};
    const auto bad = co_await world.fleet().judge(world.soon());
    EXPECT_EQ(bad.error().code, Code::invalid);
    EXPECT_EQ(bad.error().what, "the API server does not take its Job: containers: Required value");
    for (const FakeApi::Answer& other :
         {FakeApi::Answer{.status = 403, .body = R"({"kind":"Status","message":"exceeded quota: none"})"},
          FakeApi::Answer{.status = 409, .body = R"({"kind":"Status","message":"already exists"})"},
          FakeApi::Answer{.status = 400, .body = R"({"kind":"Status","message":"webhook does not support dry run"})"},
          FakeApi::Answer{.status = 500, .body = ""}}) {
      world.fake().dry_run = other;
      const auto unknown = co_await world.fleet().judge(world.soon());
      EXPECT_TRUE(unknown) << other.body;
    }
    world.may_write_until = world.clock().now();
    const auto standby = co_await world.fleet().judge(world.soon());
    EXPECT_TRUE(standby) << "it is asked again by who acts";
  };
  world.run(body());
}

}  // namespace
}  // namespace sluice::kube
