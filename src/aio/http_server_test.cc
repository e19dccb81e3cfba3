// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "aio/faults.h"
#include "aio/http.h"
#include "aio/stream.h"
#include "aio/task_group.h"

namespace sluice::aio::http {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

Task<Response> echo(Request request) {
  co_return Response{
      .status = 200, .headers = {{"Method", request.method}}, .body = request.target + " " + request.body};
}

// What the other side of a raw connection says until it ends or the deadline passes.
Task<std::string> read_all(Stream& stream, Deadline deadline) {
  std::string out;
  std::array<char, 4096> buffer;
  while (true) {
    const Result<std::size_t> n = co_await stream.read_some(buffer, deadline);
    if (!n || *n == 0) {
      co_return out;
    }
    out.append(buffer.data(), *n);
  }
}

// A server in memory and under virtual time; `body` talks to it over raw streams.
class ServerTest : public testing::Test {
 protected:
  using Body = std::function<Task<void>(TaskGroup&)>;

  void run(const Handler& handler, const Body& body) {
    Server server(loop_, clock_, handler, limits_);
    server_ = &server;
    const auto main = [&]() -> Task<void> {
      TaskGroup group(loop_, clock_);
      co_await body(group);
      co_await group.join();
    };
    clock_.run(main());
  }
  std::unique_ptr<Stream> connect(TaskGroup& group, const std::string& peer = "") {
    StreamPair pair = stream_pair(clock_);
    group.spawn(server_->serve(std::move(pair.second), peer));
    return std::move(pair.first);
  }
  // Sends `bytes` at once and returns everything that comes back.
  std::string talk(const std::string& bytes, const Handler& handler = echo) {
    std::string out;
    const Body body = [&](TaskGroup& group) -> Task<void> {
      const std::unique_ptr<Stream> stream = connect(group);
      const Result<void> sent = co_await stream->write_all(bytes, clock_.in(1s));
      EXPECT_TRUE(sent.has_value());
      const Time start = clock_.now();
      out = co_await read_all(*stream, clock_.in(1h));
      took_ = clock_.now() - start;
    };
    run(handler, body);
    return out;
  }

  Loop loop_;
  VirtualClock clock_{loop_};
  ServerLimits limits_;
  Server* server_ = nullptr;
  Duration took_{0};
};

TEST_F(ServerTest, AnswersAndClosesAnIdleConnection) {
  EXPECT_EQ(talk("GET /a HTTP/1.1\r\nHost: h\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nMethod: GET\r\nContent-Length: 3\r\n\r\n/a ");
  EXPECT_EQ(took_, 60s);
  EXPECT_EQ(talk("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nMethod: GET\r\nContent-Length: 3\r\nConnection: close\r\n\r\n/a ");
  EXPECT_EQ(took_, 0s);
  EXPECT_EQ(talk("HEAD /a HTTP/1.0\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nMethod: HEAD\r\nContent-Length: 3\r\nConnection: close\r\n\r\n");
}

TEST_F(ServerTest, AnswersAPipelineInOrder) {
  std::string bytes;
  std::string want;
  for (int i = 0; i < 1000; ++i) {
    const std::string body = fmt::format("/{} b{}", i, i);
    bytes += fmt::format("POST /{} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\nb{}", i,
                         fmt::format("b{}", i).size(), i);
    want += fmt::format("HTTP/1.1 200 OK\r\nMethod: POST\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
  }
  const Body body = [&](TaskGroup& group) -> Task<void> {
    StreamPair pair = stream_pair(clock_, 1U << 20U);
    group.spawn(server_->serve(std::move(pair.second), ""));
    const Result<void> sent = co_await pair.first->write_all(bytes, clock_.in(1s));
    const Result<void> ended = co_await pair.first->end_writing(clock_.in(1s));
    EXPECT_TRUE(sent && ended);
    const std::string got = co_await read_all(*pair.first, clock_.in(1h));
    EXPECT_EQ(got, want);
  };
  run(echo, body);
}

TEST_F(ServerTest, SaysContinueToWhoWaitsForIt) {
  const Body body = [&](TaskGroup& group) -> Task<void> {
    const std::unique_ptr<Stream> stream = connect(group);
    const std::string head =
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
    const Result<void> sent = co_await stream->write_all(head, clock_.in(1s));
    std::array<char, 100> buffer;
    const Result<std::size_t> n = co_await stream->read_some(buffer, clock_.in(1s));
    EXPECT_EQ(std::string_view(buffer.data(), *n), "HTTP/1.1 100 Continue\r\n\r\n");
    const Result<void> rest = co_await stream->write_all("ok", clock_.in(1s));
    EXPECT_TRUE(sent && rest);
    const std::string answer = co_await read_all(*stream, clock_.in(1h));
    EXPECT_THAT(answer, HasSubstr("/ ok"));
  };
  run(echo, body);
  EXPECT_THAT(talk("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"), HasSubstr("408"))
      << "never followed";
}

TEST_F(ServerTest, RefusesWithTheReasonAndCloses) {
  EXPECT_EQ(talk("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET "
                 "/evil HTTP/1.1\r\n"),
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 46\r\nConnection: "
            "close\r\n\r\n"
            "more than one field says how long the body is\n");
  EXPECT_THAT(talk("GET /" + std::string(20000, 'a')), HasSubstr("414 URI Too Long"));
  EXPECT_THAT(talk("GET / HTTP/1.1\r\nA: " + std::string(20000, 'a')), HasSubstr("431 "));
  EXPECT_THAT(talk("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 65537\r\n\r\n"), HasSubstr("413 "));
  EXPECT_THAT(talk("\x16\x03\x01"), HasSubstr("400 "));
  EXPECT_LE(took_, 1s);
}

TEST_F(ServerTest, CutsWhoIsSlow) {
  EXPECT_EQ(talk(""), "");
  EXPECT_EQ(took_, 5s) << "a connection that says nothing";
  EXPECT_THAT(talk("GET / HT"), HasSubstr("408 Request Timeout"));
  EXPECT_LE(took_, 6s) << "a head without end";
  EXPECT_THAT(talk("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc"), HasSubstr("408"));
  EXPECT_LE(took_, 31s) << "a body without end";
  const Body drip = [&](TaskGroup& group) -> Task<void> {
    const std::unique_ptr<Stream> stream = connect(group);
    const Time start = clock_.now();
    const std::string bytes = "GET / HTTP/1.1\r\nHost: h\r\nA: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    for (const char& c : bytes) {
      const std::string_view one(&c, 1);
      const Result<void> sent = co_await stream->write_all(one, clock_.in(1s));
      co_await clock_.sleep_for(1s);
      if (!stream->quiet()) {
        break;
      }
    }
    EXPECT_LE(clock_.now() - start, 6s) << "a byte a second does not buy more time";
  };
  run(echo, drip);
}

TEST_F(ServerTest, EndsAHandlerAtItsDeadlineAndSurvivesABrokenOne) {
  Clock& clock = clock_;
  const Handler forever = [&clock](Request) -> Task<Response> {
    co_await clock.sleep_until(Time::max());
    co_return Response{};
  };
  EXPECT_THAT(talk("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", forever), HasSubstr("503 "));
  EXPECT_EQ(took_, 30s);
  const Handler broken = [](Request) -> Task<Response> {
    throw std::runtime_error("bug");
    co_return Response{};
  };
  EXPECT_THAT(talk("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", broken), HasSubstr("500 "));
}

TEST_F(ServerTest, ASlowClientMakesRoomForOneThatAsks) {
  limits_.connections_max = 3;
  limits_.connections_per_peer_max = 2;
  const Body body = [&](TaskGroup& group) -> Task<void> {
    std::vector<std::unique_ptr<Stream>> slow;
    for (const char* peer : {"1.1.1.1", "1.1.1.1", "2.2.2.2"}) {
      slow.push_back(connect(group, peer));
      const Result<void> sent = co_await slow.back()->write_all("GET /", clock_.in(1s));
      co_await clock_.sleep_for(1ms);
    }
    const std::unique_ptr<Stream> same = connect(group, "1.1.1.1");
    const std::string request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    const Result<void> sent = co_await same->write_all(request, clock_.in(1s));
    const std::string answer = co_await read_all(*same, clock_.in(1ms));
    EXPECT_THAT(answer, HasSubstr("200 OK"));
    EXPECT_FALSE(slow[0]->quiet()) << "the oldest of its peer was cut";
    EXPECT_TRUE(slow[1]->quiet());
    EXPECT_TRUE(slow[2]->quiet());
    const std::unique_ptr<Stream> third = connect(group, "3.3.3.3");
    const std::unique_ptr<Stream> fourth = connect(group, "4.4.4.4");
    co_await clock_.sleep_for(1ms);
    EXPECT_FALSE(slow[1]->quiet()) << "the oldest of all was cut";
    EXPECT_TRUE(slow[2]->quiet());
  };
  run(echo, body);
}

TEST_F(ServerTest, NeverCutsARequestAtWorkForANewOne) {
  limits_.connections_max = 1;
  Clock& clock = clock_;
  const Handler slow = [&clock](Request) -> Task<Response> {
    co_await clock.sleep_for(10s);
    co_return Response{.status = 200, .headers = {}, .body = "done"};
  };
  const Body body = [&](TaskGroup& group) -> Task<void> {
    const std::unique_ptr<Stream> first = connect(group);
    const std::string request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    const Result<void> sent = co_await first->write_all(request, clock_.in(1s));
    co_await clock_.sleep_for(1s);
    const std::unique_ptr<Stream> second = connect(group);
    const std::string refused = co_await read_all(*second, clock_.in(1s));
    EXPECT_EQ(refused, "");
    const std::string answer = co_await read_all(*first, clock_.in(1h));
    EXPECT_THAT(answer, HasSubstr("done"));
  };
  run(slow, body);
}

TEST_F(ServerTest, AnswersThatNobodyReadsHaveABoundTogether) {
  limits_.answers_bytes_max = 1U << 20U;
  const Handler large = [](Request) -> Task<Response> {
    co_return Response{.status = 200, .headers = {}, .body = std::string(700U << 10U, 'x')};
  };
  const Body body = [&](TaskGroup& group) -> Task<void> {
    const std::string request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    const std::unique_ptr<Stream> first = connect(group);
    const Result<void> sent = co_await first->write_all(request, clock_.in(1s));
    co_await clock_.sleep_for(1s);
    const std::unique_ptr<Stream> second = connect(group);
    const Result<void> sent_too = co_await second->write_all(request, clock_.in(1s));
    const std::string refused = co_await read_all(*second, clock_.in(1s));
    EXPECT_THAT(refused, HasSubstr(" 503 "));
    EXPECT_THAT(refused, HasSubstr("Retry-After: 1"));
    const std::string whole = co_await read_all(*first, clock_.in(1s));
    EXPECT_GT(whole.size(), 700U << 10U) << "the one on its way is not cut";
    const std::unique_ptr<Stream> third = connect(group);
    const Result<void> sent_again = co_await third->write_all(request, clock_.in(1s));
    const std::string again = co_await read_all(*third, clock_.in(1s));
    EXPECT_GT(again.size(), 700U << 10U) << "there is room again";
  };
  run(large, body);
}

}  // namespace
}  // namespace sluice::aio::http
