// SPDX-License-Identifier: Apache-2.0
#pragma once
// Two controllers, each with a connection and a memory of its own, before one Deployment in memory.
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "aio/task_group.h"
#include "kube/deployment_fleet.h"
#include "kube/testing_deployment.h"

namespace sluice::kube {

class DeploymentWorld {
 public:
  DeploymentWorld() {
    for (Controller& one : controllers_) {
      one.api = std::make_unique<Api>(loop_, clock_, access(), ReadFile{}, std::vector<std::string>{},
                                      ApiOptions{.dial = fake_.api.dial()});
      one.cluster = std::make_unique<Cluster>(loop_, clock_, random_, *one.api, "default", fake_.to_workers());
      DeploymentFleetOptions options{.space = "default",
                                     .pool = "orders",
                                     .deployment = "orders",
                                     .max = 5,
                                     .may_write_until = [this] { return may_write_until; },
                                     .trouble = [this](const std::string& what) { troubles.push_back(what); }};
      one.fleet = std::make_unique<DeploymentFleet>(*one.cluster, random_, std::move(options));
    }
  }
  aio::VirtualClock& clock() { return clock_; }
  DeploymentFleet& fleet() { return *controllers_[0].fleet; }
  DeploymentFleet& other() { return *controllers_[1].fleet; }
  Cluster& cluster() { return *controllers_[0].cluster; }
  FakeDeployment& fake() { return fake_; }
  void run(aio::Task<void> body) {
    const auto main = [this, &body]() -> aio::Task<void> {
      aio::TaskGroup group(loop_, clock_);
      group.spawn(fake_.run());
      for (Controller& one : controllers_) {
        group.spawn(one.fleet->run());
      }
      co_await clock_.sleep_for(std::chrono::milliseconds{10});
      co_await std::move(body);
      group.cancel();
      co_await group.join();
      co_await fake_.api.stop();
    };
    clock_.run(main());
  }
  void make_next_fail() { fake_.next_fails = true; }
  void end_well(int) { fake_.end_well(fake_.worker()); }
  void kill(int) { fake_.evict(fake_.worker()); }
  std::string name_of(int) { return fake_.worker().name; }
  [[nodiscard]] aio::Deadline soon() { return clock_.in(std::chrono::seconds{10}); }

  Time may_write_until = Time::max();
  std::vector<std::string> troubles;

 private:
  struct Controller {
    std::unique_ptr<Api> api;
    std::unique_ptr<Cluster> cluster;
    std::unique_ptr<DeploymentFleet> fleet;
  };
  static Access access() {
    Access out;
    out.server = "http://api:80";
    return out;
  }

  aio::Loop loop_;
  aio::VirtualClock clock_{loop_};
  Random random_{1};
  FakeDeployment fake_{loop_, clock_};
  std::array<Controller, 2> controllers_;
};

// `count` workers that are ready, each known to the fleet under test.
inline aio::Task<model::FleetView> grown(DeploymentWorld& world, int count) {
  for (int slot = 0; slot < count; ++slot) {
    const auto asked = co_await world.fleet().start(slot, false, world.soon());
    EXPECT_TRUE(asked) << asked.error().what;
  }
  co_await world.clock().sleep_for(std::chrono::seconds{15});
  auto view = co_await world.fleet().view(world.soon());
  EXPECT_TRUE(view) << view.error().what;
  EXPECT_EQ(view->workers.size(), static_cast<std::size_t>(count));
  for (const model::Worker& worker : view->workers) {
    EXPECT_EQ(worker.state, model::WorkerState::ready) << worker.name;
  }
  co_return *view;
}

inline aio::Task<model::FleetView> seen(DeploymentWorld& world, Duration after) {
  co_await world.clock().sleep_for(after);
  auto view = co_await world.fleet().view(world.soon());
  EXPECT_TRUE(view) << view.error().what;
  co_return view ? *view : model::FleetView{};
}

}  // namespace sluice::kube
