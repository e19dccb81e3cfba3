// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "aio/faults.h"
#include "aio/http.h"
#include "aio/stream.h"
#include "aio/task_group.h"
#include "aio/url.h"
#include "base/testing_folder.h"

namespace sluice::aio::http {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

Task<Response> echo(Request request) {
  co_return Response{
      .status = 200, .headers = {{"Method", request.method}}, .body = request.target + " " + request.body};
}

// Real sockets from here on.
class SocketTest : public testing::Test {
 protected:
  void run(const std::function<Task<void>(Server&, Client&)>& body) {
    Server server(loop_, clock_, echo, {});
    Client client(loop_, clock_, {});
    const auto main = [&]() -> Task<void> { co_await body(server, client); };
    loop_.run(main());
  }
  // Runs the server while `base` is asked for a small and a large body.
  Task<void> ask(Server& server, Client& client, std::string base) {
    TaskGroup group(loop_, clock_);
    group.spawn(server.run());
    for (const std::size_t size : {0U, 60'000U}) {
      Request request{.method = "POST", .target = "/x", .body = std::string(size, 'b')};
      const Result<Response> r = co_await client.send(base, request, clock_.in(20s));
      EXPECT_EQ(r ? r->body : r.error().what, "/x " + request.body);
    }
    group.cancel();
    co_await group.join();
  }

  const TestFolder folder_;
  Loop loop_;
  RealClock clock_{loop_};
};

TEST_F(SocketTest, ServesOverTcp) {
  run([&](Server& server, Client& client) -> Task<void> {
    for (const char* address : {"127.0.0.1", "::1"}) {
      const Result<std::uint16_t> port = server.listen_tcp(address, 0);
      if (!port && std::string(address) == "::1") {
        continue;  // a machine without IPv6
      }
      const std::string base =
          fmt::format(fmt::runtime(*address == ':' ? "http://[{}]:{}" : "http://{}:{}"), address, *port);
      co_await ask(server, client, base);
      EXPECT_EQ(server.listen_tcp(address, *port).error().code, Code::conflict);
    }
  });
}

TEST_F(SocketTest, ServesOverUnixSocketsOfAnyLengthOfPath) {
  run([&](Server& server, Client& client) -> Task<void> {
    const std::string longer = folder_.path() + "/" + std::string(120, 'd');
    std::filesystem::create_directory(longer);
    for (const std::string& path : {folder_.path() + "/a b.sock", longer + "/s"}) {
      const Result<void> listening = server.listen_unix(path);
      EXPECT_TRUE(listening.has_value());
      struct stat found{};
      EXPECT_EQ(::stat(path.c_str(), &found), 0);
      EXPECT_EQ(found.st_mode & 0777U, 0600U);
      co_await ask(server, client, "unix:" + path);
    }
  });
  EXPECT_FALSE(std::filesystem::exists(folder_.path() + "/a b.sock")) << "goes with the server";
}

TEST_F(SocketTest, ReplacesADeadSocketAndNothingElse) {
  const std::string path = folder_.path() + "/s";
  {
    const Result<SocketAddress> address = unix_address(path);
    const Fd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<const sockaddr*>(&address->storage), address->length), 0);
  }
  Server first(loop_, clock_, echo, {});
  EXPECT_TRUE(first.listen_unix(path).has_value());
  Server second(loop_, clock_, echo, {});
  EXPECT_EQ(second.listen_unix(path).error().code, Code::conflict);
  std::ofstream(folder_.path() + "/file") << "precious";
  EXPECT_THAT(second.listen_unix(folder_.path() + "/file").error().what,
              HasSubstr("there is a file that is not a socket"));
  EXPECT_TRUE(std::filesystem::exists(folder_.path() + "/file"));
  EXPECT_EQ(second.listen_unix(folder_.path() + "/none/s").error().code, Code::invalid);
}

TEST_F(SocketTest, SaysWhenNobodyListens) {
  run([&](Server&, Client& client) -> Task<void> {
    const Result<Response> local = co_await client.send("unix:" + folder_.path() + "/none", Request{}, clock_.in(1s));
    EXPECT_EQ(local.error().code, Code::retry);
    EXPECT_THAT(local.error().what, HasSubstr("cannot connect: No such file"));
    const Result<Response> tcp = co_await client.send("http://127.0.0.1:1", Request{}, clock_.in(1s));
    EXPECT_EQ(tcp.error().what, "GET http://127.0.0.1:1: cannot connect: Connection refused");
  });
}

TEST_F(SocketTest, AnExchangeOverAUnixSocketIsRightOrAnErrorWhateverStepFails) {
  const std::string path = folder_.path() + "/s";
  const std::string body(30'000, 'b');
  const std::size_t steps = for_each_failure([&](Faults& faults) {
    Loop loop;
    VirtualClock clock(loop);  // timeouts cost no time; the socket is real
    Server server(loop, clock, echo, {});
    EXPECT_TRUE(server.listen_unix(path).has_value());
    const Dial dial = [&](Url, Deadline deadline) -> Task<Result<std::unique_ptr<Stream>>> {
      const Result<void> step = co_await connect_step(faults, clock, deadline);
      if (!step) {
        co_return step.error();
      }
      const Result<SocketAddress> address = unix_address(path);
      Result<std::unique_ptr<Stream>> made = co_await connect_stream(loop, clock, *address, deadline);
      if (!made) {
        co_return made;
      }
      co_return with_faults(std::move(*made), faults, clock);
    };
    Client client(loop, clock, ClientOptions{.dial = dial});
    const auto main = [&]() -> Task<void> {
      TaskGroup group(loop, clock);
      group.spawn(server.run());
      Request request{.method = "POST", .target = "/x", .body = body};
      const Result<Response> r = co_await client.send("unix:" + path, std::move(request), clock.in(10s));
      if (faults.fault() == Fault::none || faults.fault() == Fault::one_byte || r) {
        EXPECT_TRUE(r && r->body == "/x " + body) << fault_word(faults.fault());
      } else {
        EXPECT_EQ(r.error().code, Code::retry) << r.error().what;
      }
      group.cancel();
      co_await group.join();
    };
    clock.run(main());
  });
  EXPECT_GE(steps, 3U);
}

}  // namespace
}  // namespace sluice::aio::http
