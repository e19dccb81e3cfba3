// SPDX-License-Identifier: Apache-2.0
#include "kube/lease_keeper.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/json.hpp>

#include "aio/http.h"
#include "aio/loop.h"
#include "aio/task_group.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;

// One Lease behind a real socket, as strict with versions as the API server.
class LeaseServer {
 public:
  LeaseServer()
      : server_(loop, clock, [this](aio::http::Request request) { return answer(std::move(request)); }, {}),
        port_(*server_.listen_tcp("127.0.0.1", 0)) {}

  // `body` with the server beside it.
  void run(aio::Task<void> body) {
    const auto main = [this, &body]() -> aio::Task<void> {
      aio::TaskGroup group(loop, clock);
      group.spawn(server_.run());
      co_await std::move(body);
      group.cancel();
      co_await group.join();
    };
    loop.run(main());
  }
  [[nodiscard]] LeaseKeeperOptions keeper(const std::string& me) const {
    LeaseKeeperOptions out;
    out.lease = {.space = "ops", .name = "sluice", .me = me, .duration = 2s, .each = 50ms};
    out.access.server = fmt::format("http://127.0.0.1:{}", port_);
    return out;
  }
  [[nodiscard]] aio::Task<bool> until(std::function<bool()> holds) {
    const Time limit = clock.now() + 30s;
    while (!holds() && clock.now() < limit) {
      co_await clock.sleep_for(10ms);
    }
    co_return holds();
  }
  [[nodiscard]] std::string holder() const {
    return lease_.empty() ? "" : std::string(lease_.at("spec").at("holderIdentity").as_string());
  }

  aio::Loop loop;
  aio::RealClock clock{loop};

 private:
  aio::Task<aio::http::Response> answer(aio::http::Request request) {
    if (request.method == "GET") {
      co_return lease_.empty() ? aio::http::Response{.status = 404}
                               : aio::http::Response{.body = boost::json::serialize(lease_)};
    }
    boost::json::object sent = boost::json::parse(request.body).as_object();
    boost::json::value& version = sent["metadata"].as_object()["resourceVersion"];
    const bool fits = request.method == "POST"
                          ? lease_.empty()
                          : !lease_.empty() && version == lease_.at("metadata").at("resourceVersion");
    if (!fits) {
      co_return aio::http::Response{.status = 409};
    }
    version = fmt::format("{}", ++version_);
    lease_ = std::move(sent);
    co_return aio::http::Response{.body = boost::json::serialize(lease_)};
  }

  boost::json::object lease_;
  int version_ = 0;
  aio::http::Server server_;
  const std::uint16_t port_;
};

TEST(LeaseKeeper, TheNextOneLeadsAsSoonAsTheFirstLetsGo) {
  LeaseServer server;
  const auto body = [&]() -> aio::Task<void> {
    std::atomic<int> told = 0;
    auto a = std::make_unique<LeaseKeeper>(server.keeper("a"), [&](const std::string&) { ++told; });
    const bool first = co_await server.until([&] { return a->held_until() > server.clock.now(); });
    EXPECT_TRUE(first);
    EXPECT_EQ(server.holder(), "a");
    auto b = std::make_unique<LeaseKeeper>(server.keeper("b"), [](const std::string&) {});
    for (int i = 0; i < 20; ++i) {
      co_await server.clock.sleep_for(10ms);
      EXPECT_LE(b->held_until(), server.clock.now());
    }
    a->release();
    EXPECT_LE(a->held_until(), server.clock.now()) << "from that moment on";
    const bool second = co_await server.until([&] { return b->held_until() > server.clock.now(); });
    EXPECT_TRUE(second);
    EXPECT_EQ(server.holder(), "b");
    EXPECT_GE(told, 1);
    b->release();
    const bool free = co_await server.until([&] { return server.holder().empty(); });
    EXPECT_TRUE(free);
  };
  server.run(body());
}

TEST(LeaseKeeper, ALoopThatHangsLosesTheLease) {
  LeaseServer server;
  const auto body = [&]() -> aio::Task<void> {
    LeaseKeeperOptions options = server.keeper("a");
    options.hang_max = 1s;
    LeaseKeeper a(std::move(options), [](const std::string&) {});
    a.beat(server.clock.now());
    const bool leads = co_await server.until([&] { return a.held_until() > server.clock.now(); });
    EXPECT_TRUE(leads);
    const bool lost = co_await server.until([&] { return a.held_until() <= server.clock.now(); });
    EXPECT_TRUE(lost) << "nobody beats";
    a.beat(Time::max());
    const bool again = co_await server.until([&] { return a.held_until() > server.clock.now(); });
    EXPECT_TRUE(again);
    a.release();
    const bool free = co_await server.until([&] { return server.holder().empty(); });
    EXPECT_TRUE(free);
  };
  server.run(body());
}

}  // namespace
}  // namespace sluice::kube
