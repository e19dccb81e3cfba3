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

// What comes before the first request may take the connection, say who answers on it, or close it.
TEST_F(SocketTest, GreetsEachConnectionBeforeItsFirstRequest) {
  run([&](Server& server, Client& client) -> Task<void> {
    int greeted = 0;
    const Greet greet = [&](std::unique_ptr<Stream> stream, Deadline) -> Task<std::optional<Greeted>> {
      if (++greeted == 1) {
        co_return std::nullopt;
      }
      Greeted out{.stream = std::move(stream)};
      if (greeted == 3) {
        out.handler = [](Request) -> Task<Response> { co_return Response{.body = "its own"}; };
      }
      co_return out;
    };
    const Result<std::uint16_t> port = server.listen_tcp("127.0.0.1", 0, greet);
    const std::string base = fmt::format("http://127.0.0.1:{}", port.value());
    TaskGroup group(loop_, clock_);
    group.spawn(server.run());
    const auto ask = [&](Client& who) -> Task<std::string> {
      Request request{.target = "/x"};
      const Result<Response> r = co_await who.send(base, std::move(request), clock_.in(20s));
      co_return r ? r->body : "closed";
    };
    for (const char* const expected : {"closed", "/x "}) {
      Client fresh(loop_, clock_, {});
      const std::string said = co_await ask(fresh);
      EXPECT_EQ(said, expected);
    }
    for (int i = 0; i < 2; ++i) {
      const std::string said = co_await ask(client);
      EXPECT_EQ(said, "its own") << "on the same connection";
    }
    server.wind_down();
    const std::string after = co_await ask(client);
    EXPECT_EQ(after, "/x ") << "a new connection is answered still";
    EXPECT_EQ(greeted, 4);
    group.cancel();
    co_await group.join();
  });
}

// A client that never finishes its handshake keeps nobody out.
TEST_F(SocketTest, ConnectionsThatAreBeingGreetedMakeRoom) {
  const Greet greet = [](std::unique_ptr<Stream> stream, Deadline deadline) -> Task<std::optional<Greeted>> {
    std::array<char, 1> hello;
    const Result<std::size_t> n = co_await stream->read_some(hello, deadline);
    if (!n || *n == 0) {
      co_return std::nullopt;
    }
    co_return Greeted{.stream = std::move(stream)};
  };
  Server server(loop_, clock_, echo, {.header_timeout = 100s, .connections_max = 2});
  const Result<std::uint16_t> port = server.listen_tcp("127.0.0.1", 0, greet);
  const auto main = [&]() -> Task<void> {
    TaskGroup group(loop_, clock_);
    group.spawn(server.run());
    const SocketAddress address = ip_address("127.0.0.1", port.value()).value();
    std::vector<std::unique_ptr<Stream>> slow;
    for (int i = 0; i < 4; ++i) {
      Result<std::unique_ptr<Stream>> one = co_await connect_stream(loop_, clock_, address, clock_.in(20s));
      slow.push_back(std::move(one.value()));
    }
    Result<std::unique_ptr<Stream>> last = co_await connect_stream(loop_, clock_, address, clock_.in(20s));
    const std::string bytes = "!GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    const Result<void> sent = co_await last.value()->write_all(bytes, clock_.in(20s));
    std::array<char, 500> buffer;
    const Result<std::size_t> n = co_await last.value()->read_some(buffer, clock_.in(20s));
    EXPECT_TRUE(sent && n && std::string_view(buffer.data(), *n).starts_with("HTTP/1.1 200"));
    std::array<char, 1> rest;
    const Result<std::size_t> oldest = co_await slow.front()->read_some(rest, clock_.in(20s));
    EXPECT_EQ(oldest.value_or(0), 0U) << "the oldest was cut";
    group.cancel();
    co_await group.join();
  };
  loop_.run(main());
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
