// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "aio/faults.h"
#include "aio/http.h"
#include "aio/stream.h"
#include "aio/task_group.h"
#include "aio/url.h"

namespace sluice::aio::http {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// The whole answer, taken piece by piece.
Task<Result<Response>> send_open(Client& client, Request request, Deadline deadline) {
  const Result<std::unique_ptr<Incoming>> incoming = co_await client.open("http://h", std::move(request), deadline);
  if (!incoming) {
    co_return incoming.error();
  }
  Response out{.status = (*incoming)->status(), .headers = (*incoming)->headers(), .body = {}};
  while (true) {
    const Result<std::string> piece = co_await (*incoming)->next(deadline);
    if (!piece) {
      const Result<std::string> after = co_await (*incoming)->next(deadline);
      EXPECT_EQ(after.value_or("?"), "") << "there is no more after an error";
      co_return piece.error();
    }
    if (piece->empty()) {
      co_return out;
    }
    out.body += *piece;
  }
}

enum class Way { whole, pieces };

// A client and a server joined in memory, one request, under every fault.
struct Joined {
  explicit Joined(Faults& f, bool server_side, Way w) : faults(f), faulty_server(server_side), way(w) {}

  Task<Result<std::unique_ptr<Stream>>> dial(Deadline deadline) {
    Result<void> step = co_await connect_step(faults, clock, deadline);
    if (!step) {
      co_return step.error();
    }
    StreamPair pair = stream_pair(clock, 4096);
    std::unique_ptr<Stream>& broken = faulty_server ? pair.second : pair.first;
    broken = with_faults(std::move(broken), faults, clock);
    group.spawn(server.serve(std::move(pair.second), ""));
    co_return std::move(pair.first);
  }
  Task<Response> handle(Request request) {
    seen.push_back(request.method + request.target + request.body);
    co_return Response{.status = 201, .headers = {{"A", "b"}}, .body = request.target + request.body};
  }
  // Sends twice, so that the second uses a kept connection where there is one.
  void run(const Request& request) {
    const auto main = [&]() -> Task<void> {
      for (int i = 0; i < 2; ++i) {
        const Time start = clock.now();
        Request copy = request;
        const Deadline soon = clock.in(10s);
        Task<Result<Response>> asking = way == Way::whole ? client.send("http://h", std::move(copy), soon)
                                                          : send_open(client, std::move(copy), soon);
        const Result<Response> response = co_await std::move(asking);
        EXPECT_LE(clock.now() - start, 10s);
        if (response) {
          EXPECT_EQ(response->status, 201);
          EXPECT_TRUE(response->body == request.target + request.body) << response->body.substr(0, 80);
          EXPECT_EQ(header(response->headers, "a"), "b");
          ++answered;
        } else {
          EXPECT_EQ(response.error().code, Code::retry) << response.error().what;
          EXPECT_THAT(response.error().what, testing::StartsWith(request.method + " http://h:80/x: "));
        }
      }
      client_.reset();
      co_await group.join();
    };
    clock.run(main());
  }

  Faults& faults;
  bool faulty_server;
  Way way;
  Loop loop;
  VirtualClock clock{loop};
  Server server{loop, clock, [this](Request r) { return handle(std::move(r)); }, {}};
  std::unique_ptr<Client> client_ =
      std::make_unique<Client>(loop, clock, ClientOptions{.dial = [this](const Url&, Deadline d) { return dial(d); }});
  Client& client = *client_;
  TaskGroup group{loop, clock};
  std::vector<std::string> seen;
  int answered = 0;
};

void under_every_fault(Way way, const Request& request, bool server_side) {
  const std::size_t steps = for_each_failure([&](Faults& faults) {
    SCOPED_TRACE(
        fmt::format("{} {} {}", request.method, server_side ? "server" : "client", fault_word(faults.fault())));
    Joined joined(faults, server_side, way);
    joined.run(request);
    for (const std::string& seen : joined.seen) {
      EXPECT_TRUE(seen == request.method + request.target + request.body) << "half a request was handled";
    }
    // A POST is never sent twice by itself.
    EXPECT_LE(joined.seen.size(), request.method == "POST" ? 2U : 3U);
    EXPECT_GE(joined.answered, faults.fault() == Fault::none || faults.fault() == Fault::one_byte ? 2 : 1);
  });
  EXPECT_GE(steps, 5U);
}

TEST(HttpExchange, IsRightOrAnErrorWhateverStepFails) {
  const std::string body(30'000, 'b');  // several reads, and in memory several waits to write
  for (const Way way : {Way::whole, Way::pieces}) {
    for (const bool server_side : {false, true}) {
      under_every_fault(way, Request{.target = "/x"}, server_side);
      under_every_fault(way, Request{.method = "POST", .target = "/x", .body = body}, server_side);
    }
  }
}

// What a server may say that is not right: `answer` comes for every request.
std::string against(const std::string& answer, bool then_close, Duration within = 10s) {
  Loop loop;
  VirtualClock clock(loop);
  std::string out;
  TaskGroup group(loop, clock);
  const auto serve = [](std::unique_ptr<Stream> stream, std::string text, bool close, Clock& time) -> Task<void> {
    std::array<char, 1000> buffer;
    const Result<std::size_t> n = co_await stream->read_some(buffer, time.in(1s));
    const Result<void> sent = co_await stream->write_all(text, time.in(1s));
    if (!close) {
      co_await time.sleep_for(1h);
    }
  };
  const Dial dial = [&](Url, Deadline) -> Task<Result<std::unique_ptr<Stream>>> {
    StreamPair pair = stream_pair(clock);
    group.spawn(serve(std::move(pair.second), answer, then_close, clock));
    co_return std::move(pair.first);
  };
  Client client(loop, clock, ClientOptions{.body_max = 100, .dial = dial});
  const auto main = [&]() -> Task<void> {
    const Result<Response> r = co_await client.send("http://h", Request{}, clock.in(within));
    out =
        r ? fmt::format("{} {}", r->status, r->body) : fmt::format("{}: {}", code_word(r.error().code), r.error().what);
    co_await group.join();
  };
  clock.run(main());
  return out;
}

TEST(HttpClient, NamesWhatIsWrongWithAnAnswer) {
  EXPECT_EQ(against("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", false), "200 ab");
  EXPECT_EQ(against("HTTP/1.1 200 OK\r\n\r\nab", true), "200 ab");
  EXPECT_EQ(against("HTTP/1.1 302 Found\r\nLocation: http://evil/\r\nContent-Length: 0\r\n\r\n", false), "302 ")
      << "not followed";
  EXPECT_EQ(against("", true), "retry: GET http://h:80: closed without an answer");
  EXPECT_EQ(against("", false), "retry: GET http://h:80: nothing came in time");
  EXPECT_EQ(against("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", true),
            "retry: GET http://h:80: the answer was cut off");
  EXPECT_EQ(against("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", true),
            "retry: GET http://h:80: the answer was cut off");
  EXPECT_EQ(against("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", false),
            "retry: GET http://h:80: nothing came in time");
  EXPECT_EQ(against("<html>\r\n", false),
            "invalid: GET http://h:80: not an answer in HTTP/1.1: the first line is not \"HTTP/1.1 200 OK\"");
  EXPECT_EQ(against("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", false),
            "invalid: GET http://h:80: not an answer in HTTP/1.1: the body is longer than 100 bytes");
}

class ClientTest : public testing::Test {
 protected:
  // A server that says what it is told, connection by connection; dials_ counts.
  Task<void> answer_on(std::unique_ptr<Stream> stream, std::vector<std::string> answers) {
    std::array<char, 1000> buffer;
    for (const std::string& answer : answers) {
      const Result<std::size_t> n = co_await stream->read_some(buffer, Deadline{});
      if (!n || *n == 0) {
        co_return;
      }
      const Result<void> sent = co_await stream->write_all(answer, Deadline{});
    }
  }
  Task<Result<std::unique_ptr<Stream>>> dial() {
    StreamPair pair = stream_pair(clock_);
    const std::size_t which = std::min(dials_++, script_.size() - 1);
    group_.spawn(answer_on(std::move(pair.second), script_[which]));
    co_return std::move(pair.first);
  }
  void run(const std::function<Task<void>(Client&)>& body, std::size_t idle_max = 32) {
    client_ = std::make_unique<Client>(
        loop_, clock_,
        ClientOptions{.idle_connections_max = idle_max, .dial = [this](const Url&, Deadline) { return dial(); }});
    const auto main = [&]() -> Task<void> {
      co_await body(*client_);
      client_.reset();
      co_await group_.join();
    };
    clock_.run(main());
  }

  const std::string ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  Loop loop_;
  VirtualClock clock_{loop_};
  TaskGroup group_{loop_, clock_};
  std::vector<std::vector<std::string>> script_;
  std::size_t dials_ = 0;
  std::unique_ptr<Client> client_;
};

TEST_F(ClientTest, GivesWhatComesAsItComes) {
  script_ = {{"HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"}};
  run([&](Client& client) -> Task<void> {
    const Result<std::unique_ptr<Incoming>> watch = co_await client.open("http://h", Request{}, clock_.in(1s));
    EXPECT_EQ((*watch)->status(), 200);
    EXPECT_EQ(header((*watch)->headers(), "a"), "b");
    const Result<std::string> some = co_await (*watch)->next(clock_.in(1s));
    EXPECT_EQ(*some, "ab");
    const Result<std::string> cut = co_await (*watch)->next(clock_.in(1s));
    EXPECT_THAT(cut.error().what, testing::StartsWith("GET http://h:80: "));
  });
}

TEST_F(ClientTest, UsesAConnectionAgainAfterABodyThatWasReadToItsEndAlone) {
  const std::string whole = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
  for (const bool to_the_end : {true, false}) {
    script_ = {{whole, ok}, {ok}};
    dials_ = 0;
    run([&](Client& client) -> Task<void> {
      std::string all;
      const Result<std::unique_ptr<Incoming>> incoming = co_await client.open("http://h", Request{}, clock_.in(1s));
      for (bool more = to_the_end; more;) {
        const Result<std::string> some = co_await (*incoming)->next(clock_.in(1s));
        more = some && !some->empty();
        all += some.value_or("an error");
      }
      EXPECT_EQ(all, to_the_end ? "ab" : "");
      const Result<Response> second = co_await client.send("http://h", Request{}, clock_.in(1s));
      EXPECT_TRUE(second) << second.error().what;
    });
    EXPECT_EQ(dials_, to_the_end ? 1U : 2U);
  }
}

TEST_F(ClientTest, KeepsAConnectionForTheNextRequestAndNotForEver) {
  script_ = {{ok, ok, ok}};
  run([&](Client& client) -> Task<void> {
    for (const Duration pause : {0s, 14s, 16s}) {
      co_await clock_.sleep_for(pause);
      const Result<Response> r = co_await client.send("http://h", Request{}, clock_.in(1s));
      EXPECT_TRUE(r.has_value());
    }
  });
  EXPECT_EQ(dials_, 2U);
}

TEST_F(ClientTest, HoldsToWhatTheServerSaysOfTheConnection) {
  for (const std::string& answer :
       {std::string("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        std::string("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=1\r\n\r\n"),
        std::string("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"), ok + "HTTP/1.1 200 stray"}) {
    script_ = {{answer}};
    dials_ = 0;
    run([&](Client& client) -> Task<void> {
      for (int i = 0; i < 2; ++i) {
        const Result<Response> r = co_await client.send("http://h", Request{}, clock_.in(1s));
        EXPECT_TRUE(r.has_value());
      }
    });
    EXPECT_EQ(dials_, 2U) << answer;
  }
}

TEST_F(ClientTest, SendsAGetOnceMoreWhenTheKeptConnectionWasClosedAndAPostNever) {
  for (const char* method : {"GET", "POST"}) {
    script_ = {{ok, ""}, {ok}};  // the second request is read and answered with the end
    dials_ = 0;
    run([&](Client& client) -> Task<void> {
      for (int i = 0; i < 2; ++i) {
        const Result<Response> r = co_await client.send("http://h", Request{.method = method}, clock_.in(1s));
        EXPECT_EQ(r.has_value(), i == 0 || method == std::string("GET"));
      }
    });
  }
}

TEST_F(ClientTest, KeepsNoMoreConnectionsThanAsked) {
  script_ = {{ok, ok}};
  run(
      [&](Client& client) -> Task<void> {
        for (const char* host : {"http://a", "http://b", "http://b", "http://a"}) {
          const Result<Response> r = co_await client.send(host, Request{}, clock_.in(1s));
          EXPECT_TRUE(r.has_value());
        }
      },
      1);
  EXPECT_EQ(dials_, 3U) << "a, b, and a again";
}

TEST_F(ClientTest, RefusesWhatCannotBeAsked) {
  script_ = {{ok}};
  run([&](Client& client) -> Task<void> {
    const Result<Response> url = co_await client.send("http://a:b@h", Request{}, clock_.in(1s));
    EXPECT_EQ(url.error().code, Code::invalid);
    const Result<Response> path = co_await client.send("http://h/path", Request{}, clock_.in(1s));
    EXPECT_THAT(path.error().what, HasSubstr("path and query belong in the request"));
    Request split{.target = "/ HTTP/1.1\r\n"};
    const Result<Response> target = co_await client.send("http://h", std::move(split), clock_.in(1s));
    EXPECT_EQ(target.error().code, Code::invalid);
  });
  EXPECT_EQ(dials_, 0U);
}

}  // namespace
}  // namespace sluice::aio::http
