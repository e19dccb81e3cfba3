// SPDX-License-Identifier: Apache-2.0
#include "worker/endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/testing_folder.h"
#include "queue/memory.h"
#include "worker/simulate_handler.h"

namespace sluice::worker {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A worker without idle exit, its endpoint on a socket and on a port, and somebody who asks.
struct Asked : Observer {
  void ready() override {
    EXPECT_TRUE(endpoint.listen_unix(path + "/3.sock"));
    const Result<std::uint16_t> taken = endpoint.listen_tcp("127.0.0.1", 0);
    EXPECT_TRUE(taken);
    port = *taken;
    beside.spawn(endpoint.run());
    beside.spawn(ask());
  }
  aio::Task<aio::http::Response> get(std::string base, std::string method, std::string target, std::string body = "") {
    aio::http::Request request{
        .method = std::move(method), .target = std::move(target), .headers = {}, .body = std::move(body)};
    const aio::Deadline deadline = clock.in(10s);
    const Result<aio::http::Response> response = co_await client.send(std::move(base), std::move(request), deadline);
    EXPECT_TRUE(response) << response.error().what;
    co_return response.value_or(aio::http::Response{.status = 0, .headers = {}, .body = {}});
  }
  aio::Task<void> ask() {
    const std::string socket = "unix:" + path + "/3.sock";
    const aio::http::Response worker = co_await get(socket, "GET", "/worker");
    EXPECT_EQ(worker.status, 200);
    EXPECT_THAT(worker.body, StartsWith(R"({"v":1,"worker":"orders-w3","state":"ready","handling":0,)"));
    const aio::http::Response same = co_await get("http://127.0.0.1:" + std::to_string(port), "GET", "/worker");
    EXPECT_EQ(same.body, worker.body);
    const aio::http::Response nothing = co_await get(socket, "GET", "/");
    EXPECT_EQ(nothing.status, 404);
    EXPECT_THAT(nothing.body, HasSubstr("GET /worker, POST /drain"));
    const aio::http::Response read = co_await get(socket, "GET", "/drain");
    EXPECT_EQ(read.status, 405);
    EXPECT_EQ(runtime.report().state, WorkerState::ready) << "looking is not asking";
    const aio::http::Response rest = co_await get(socket, "POST", "/drain", R"({"leave":false})");
    EXPECT_EQ(rest.status, 202);
    while (!runtime.rests()) {
      co_await clock.sleep_for(1ms);
    }
    const aio::http::Response rests = co_await get(socket, "GET", "/worker");
    EXPECT_EQ(rests.status, 503) << "a probe must not find it ready";
    EXPECT_THAT(rests.body, HasSubstr(R"("state":"gone")"));
    const aio::http::Response drain = co_await get(socket, "POST", "/drain");
    EXPECT_EQ(drain.status, 202);
    asked = true;
  }
  void run() {
    const auto main = [this]() -> aio::Task<void> {
      const Result<Summary> end = co_await runtime.run();
      EXPECT_TRUE(end);
      EXPECT_EQ(end->reason, EndReason::sigterm);
      while (!asked) {
        co_await clock.sleep_for(1ms);
      }
      beside.cancel();
      co_await beside.join();
    };
    loop.run(main());
  }

  const TestFolder folder;
  const std::string path = folder.path();
  aio::Loop loop;
  aio::RealClock clock{loop};
  Random random{1};
  queue::MemoryBroker broker{loop, clock, random};
  std::unique_ptr<queue::Receiver> receiver = broker.receiver("orders-w3");
  SimulateHandler handler{clock, random, {}};
  Runtime runtime{loop, clock, random, *receiver, handler, {.worker = "orders-w3", .idle_exit = {}}, *this};
  Endpoint endpoint{loop, clock, runtime};
  aio::http::Client client{loop, clock, {}};
  aio::TaskGroup beside{loop, clock};
  std::uint16_t port = 0;
  bool asked = false;
};

TEST(Endpoint, SaysHowTheWorkerIsAndTakesTheRequestToDrain) {
  Asked asked;
  asked.run();
  EXPECT_TRUE(asked.asked);
}

}  // namespace
}  // namespace sluice::worker
