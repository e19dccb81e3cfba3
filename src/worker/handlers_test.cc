// SPDX-License-Identifier: Apache-2.0
// The handlers against real processes, a real server on a local socket, and real threads.
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <latch>
#include <sstream>
#include <thread>

#include "aio/event.h"
#include "aio/signals.h"
#include "aio/task_group.h"
#include "base/testing_folder.h"
#include "worker/exec_handler.h"
#include "worker/function_handler.h"
#include "worker/http_handler.h"
#include "worker/metadata.h"
#include "worker/simulate_handler.h"

namespace sluice::worker {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Kind = Outcome::Kind;

queue::Delivery delivery(std::string body) {
  queue::Delivery out;
  out.message.id = "m-1";
  out.message.body = std::move(body);
  return out;
}

struct Folder {
  [[nodiscard]] std::string read(const std::string& name) const {
    std::ifstream in(path / name, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
  TestFolder folder;
  std::filesystem::path path = folder.path();
};

class HandlerTest : public ::testing::Test {
 protected:
  HandlerTest() { aio::ignore_sigpipe(); }

  static aio::Task<void> keep(Handler& handler, queue::Delivery d, std::uint32_t attempt, std::optional<Outcome>& out) {
    Outcome outcome = co_await handler.handle(d, attempt, aio::Deadline{});
    out = std::move(outcome);
  }
  // The outcome; nothing when it was cancelled after `patience`.
  std::optional<Outcome> handle(Handler& handler, queue::Delivery d, std::uint32_t attempt = 1,
                                Duration patience = 60s) {
    std::optional<Outcome> out;
    const auto main = [&]() -> aio::Task<void> {
      aio::TaskGroup group(loop_, clock_);
      group.spawn(keep(handler, std::move(d), attempt, out));
      co_await group.join_or_cancel(clock_.in(patience));
    };
    loop_.run(main());
    return out;
  }

  aio::Loop loop_;
  aio::RealClock clock_{loop_};
  Random random_{1};
  Folder folder_;
};

class ExecTest : public HandlerTest {
 protected:
  ExecHandler exec(std::vector<std::string> argv) {
    return ExecHandler(loop_, clock_,
                       {.argv = std::move(argv), .environment = {"PATH=/usr/bin:/bin"}, .directory = folder_.path});
  }
  ExecHandler script(const std::string& text) { return exec({"sh", "-c", text}); }
};

TEST_F(ExecTest, TheExitStatusIsTheOutcome) {
  struct Case {
    std::string script;
    Kind kind;
    std::string why;
  };
  for (const Case& c :
       {Case{"exit 0", Kind::done, ""}, Case{"exit 75", Kind::retry, "exit status 75"},
        Case{"exit 3", Kind::failed, "exit status 3"}, Case{"kill -SEGV $$", Kind::failed, "killed by SIGSEGV"},
        Case{"exec >&- 2>&-; exit 1", Kind::failed, "exit status 1"}}) {
    ExecHandler handler = script(c.script);
    const std::optional<Outcome> outcome = handle(handler, delivery("x"));
    ASSERT_TRUE(outcome) << c.script;
    EXPECT_EQ(outcome->kind, c.kind) << c.script;
    EXPECT_EQ(outcome->why, c.why) << c.script;
  }
}

TEST_F(ExecTest, TheBodyIsTheInputWhateverItsSizeAndNeedNotBeRead) {
  std::string binary;
  for (int i = 0; i < 256; ++i) {
    binary += static_cast<char>(i);
  }
  std::string large;
  while (large.size() < (3U << 20U)) {
    large += binary;
  }
  for (const std::string& body : {std::string(), binary, large}) {
    ExecHandler reader = script("cat > got");
    EXPECT_EQ(handle(reader, delivery(body))->kind, Kind::done);
    EXPECT_TRUE(folder_.read("got") == body) << body.size();
    ExecHandler deaf = script("exit 0");
    EXPECT_EQ(handle(deaf, delivery(body))->kind, Kind::done);
    ExecHandler closing = script("exec 0<&-; head -c 1 /dev/zero > /dev/null");
    EXPECT_EQ(handle(closing, delivery(body))->kind, Kind::done);
  }
}

TEST_F(ExecTest, TheMessagesMetadataIsInTheEnvironment) {
  ExecHandler handler = script(
      "printf '%s|%s|%s|%s' \"$SLUICE_MESSAGE_ID\" $SLUICE_MESSAGE_ATTEMPT \"$SLUICE_MESSAGE_HEADERS\" "
      "\"$*\" > got");
  queue::Delivery d = delivery("body");
  d.message.headers = {{"b", "\xc3\xa9 \xf0\x9f\x98\x80"}, {"a", "\"\n\xff"}, {"b2", "x"}};
  d.cause = queue::Cause::ack_unknown;
  EXPECT_EQ(handle(handler, d, 3)->kind, Kind::done);
  EXPECT_EQ(folder_.read("got"),
            "m-1|3|{\"a\":\"\\\"\\n\\ufffd\",\"b\":\"\\u00e9 \\ud83d\\ude00\",\"b2\":\"x\",\"sluice-cause\":\"ack "
            "unknown\"}|");
}

TEST_F(ExecTest, HeadersThatNoEnvironmentHoldsAreTheMessagesFault) {
  ExecHandler handler = script("exit 0");
  queue::Delivery d = delivery("x");
  d.message.headers = {{"big", std::string(200'000, 'x')}};
  EXPECT_EQ(handle(handler, d)->kind, Kind::permanent);
  d.message.headers = {{"big", std::string(100'000, 'x')}};
  EXPECT_EQ(handle(handler, d)->kind, Kind::done);
}

TEST_F(ExecTest, AProgramThatCannotStartIsFoundByTheCheckAndIsNotTheMessagesFault) {
  std::ofstream(folder_.path / "plain") << "#!/bin/sh\nexit 0\n";
  std::ofstream(folder_.path / "odd") << "\x7f" << "ELF nonsense";
  ::chmod((folder_.path / "odd").c_str(), 0755);
  std::ofstream(folder_.path / "lost") << "#!/no/such/shell\n";
  ::chmod((folder_.path / "lost").c_str(), 0755);
  struct Case {
    std::string name;
    std::string check;  // part of what check() says; empty: it cannot see it
  };
  for (const Case& c : {Case{"./none", "no such file"}, Case{"no-such-program", "no such file"},
                        Case{"./plain", "not executable (chmod +x)"}, Case{"./", "not a file"}, Case{"./odd", ""},
                        Case{"./lost", ""}}) {
    ExecHandler handler = exec({c.name});
    const Result<void> able = handler.check();
    EXPECT_EQ(able.has_value(), c.check.empty()) << c.name;
    if (!able) {
      EXPECT_EQ(able.error().what, "cannot start the handler " + c.name + ": " + c.check);
    }
    const std::optional<Outcome> outcome = handle(handler, delivery("x"));
    ASSERT_TRUE(outcome) << c.name;
    EXPECT_EQ(outcome->kind, Kind::cannot_start) << c.name;
    EXPECT_THAT(outcome->why, StartsWith("cannot start " + c.name + ": "));
  }
  EXPECT_TRUE(exec({"sh"}).check());
  EXPECT_FALSE(exec({}).check());
}

TEST_F(ExecTest, CancelledItIsKilledWithItsChildrenBeforeTheCancellationGoesOn) {
  ExecHandler handler =
      script("trap '' TERM INT; sh -c 'trap \"\" TERM; echo $$ > child; sleep 60' & echo $$ > parent; wait");
  std::optional<Outcome> out;
  const auto main = [&]() -> aio::Task<void> {
    aio::TaskGroup group(loop_, clock_);
    group.spawn(keep(handler, delivery(std::string(1U << 20U, 'x')), 1, out));
    while (folder_.read("child").empty() || folder_.read("parent").empty()) {
      co_await clock_.sleep_for(1ms);
    }
    group.cancel();
    co_await group.join();
    const int parent = std::stoi(folder_.read("parent"));
    EXPECT_EQ(::kill(parent, 0), -1) << "reaped when the cancellation came out";
    // The child has another parent now, which reaps it when it likes.
    const std::string stat = fmt::format("/proc/{}/stat", std::stoi(folder_.read("child")));
    const aio::Deadline patience = clock_.in(10s);
    for (bool alive = true; alive && !patience.passed(clock_.now());) {
      std::ifstream in(stat);
      std::string line;
      alive = std::getline(in, line) && !line.substr(line.rfind(')')).starts_with(") Z");
      EXPECT_TRUE(!alive || clock_.now() < patience.at);
      co_await clock_.sleep_for(1ms);
    }
  };
  loop_.run(main());
  EXPECT_FALSE(out);
}

class HttpTest : public HandlerTest {
 protected:
  // Runs `handler` once against a server that gives `answer`.
  std::optional<Outcome> ask(const aio::http::Response& answer, queue::Delivery d) {
    const auto respond = [this, answer](aio::http::Request request) { return serve(std::move(request), answer); };
    aio::http::Server server(loop_, clock_, respond, {.body_max = 8U << 20U});
    EXPECT_TRUE(server.listen_unix(folder_.path / "s"));
    HttpHandler handler(loop_, clock_, random_, {.url = "unix:" + (folder_.path / "s").string()});
    EXPECT_TRUE(handler.check());
    std::optional<Outcome> out;
    const auto main = [&]() -> aio::Task<void> {
      aio::TaskGroup servers(loop_, clock_);
      servers.spawn(server.run());
      aio::TaskGroup group(loop_, clock_);
      group.spawn(keep(handler, std::move(d), 2, out));
      co_await group.join_or_cancel(clock_.in(20s));
      servers.cancel();
      co_await servers.join();
    };
    loop_.run(main());
    return out;
  }
  aio::Task<aio::http::Response> serve(aio::http::Request request, aio::http::Response answer) {
    seen_ = std::move(request);
    co_return answer;
  }
  aio::http::Request seen_;
};

TEST_F(HttpTest, PostsTheMessageAndTheStatusIsTheOutcome) {
  struct Case {
    aio::http::Response answer;
    Kind kind;
    std::optional<Duration> delay;
  };
  for (const Case& c :
       {Case{{.status = 200}, Kind::done, {}}, Case{{.status = 204}, Kind::done, {}},
        Case{{.status = 429, .headers = {{"retry-after", "7"}}}, Kind::retry, 7s},
        Case{{.status = 503}, Kind::retry, {}},
        Case{{.status = 503, .headers = {{"Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT"}}}, Kind::retry, {}},
        Case{{.status = 503, .headers = {{"Retry-After", "99999999999"}}}, Kind::retry, 24h},
        Case{{.status = 503, .headers = {{"Retry-After", "-1"}}}, Kind::retry, {}},
        Case{{.status = 404}, Kind::failed, {}}, Case{{.status = 302}, Kind::failed, {}},
        Case{{.status = 500}, Kind::failed, {}}}) {
    const std::optional<Outcome> outcome = ask(c.answer, delivery("the body"));
    ASSERT_TRUE(outcome) << c.answer.status;
    EXPECT_EQ(outcome->kind, c.kind) << c.answer.status;
    EXPECT_EQ(outcome->delay, c.delay) << c.answer.status;
    if (c.kind == Kind::failed) {
      EXPECT_EQ(outcome->why, fmt::format("the handler answered {}", c.answer.status));
    }
  }
  EXPECT_EQ(seen_.method, "POST");
  EXPECT_EQ(seen_.body, "the body");
  EXPECT_EQ(aio::http::header(seen_.headers, "sluice-message-id"), "m-1");
  EXPECT_EQ(aio::http::header(seen_.headers, "sluice-message-attempt"), "2");
  EXPECT_EQ(aio::http::header(seen_.headers, "sluice-message-headers"), "{}");
}

TEST_F(HttpTest, NoMessageBreaksTheRequestItTravelsIn) {
  queue::Delivery d = delivery(std::string("\0\r\n\r\nPOST / HTTP/1.1\r\n", 22));
  d.message.id = "a\r\nX: y\x01\xc3\xa9";
  d.message.headers = {{"k\r\n", "v\r\nSluice-Message-Attempt: 9"}};
  const std::optional<Outcome> outcome = ask({.status = 200}, d);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->kind, Kind::done) << outcome->why;
  EXPECT_EQ(aio::http::header(seen_.headers, "sluice-message-id"), "a%0D%0AX: y%01\xc3\xa9");
  EXPECT_EQ(aio::http::header(seen_.headers, "sluice-message-attempt"), "2");
  EXPECT_EQ(aio::http::header(seen_.headers, "X"), std::nullopt);
  EXPECT_EQ(seen_.body, d.message.body);
}

TEST_F(HttpTest, AServerThatIsNotThereIsWaitedForAndThenTheWorkersFailure) {
  HttpHandler handler(loop_, clock_, random_,
                      {.url = "unix:" + (folder_.path / "none").string(), .reach_patience = 200ms});
  ASSERT_TRUE(handler.check());
  const Time start = clock_.now();
  const std::optional<Outcome> outcome = handle(handler, delivery("x"));
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->kind, Kind::cannot_start);
  EXPECT_THAT(outcome->why, HasSubstr("cannot reach the handler: "));
  EXPECT_LE(clock_.now() - start, 10s);
}

TEST_F(HttpTest, AWrongUrlIsFoundByTheCheck) {
  HttpHandler handler(loop_, clock_, random_, {.url = "ftp://x"});
  const Result<void> able = handler.check();
  ASSERT_FALSE(able);
  EXPECT_THAT(able.error().what, StartsWith("--http: "));
}

TEST(SimulateHandler, TakesTheTimeItIsToldWithinItsSpread) {
  aio::Loop loop;
  aio::VirtualClock clock(loop);
  Random random(1);
  SimulateHandler handler(clock, random, {.work = 10s, .spread = 0.2});
  const auto main = [&]() -> aio::Task<void> {
    const queue::Delivery d = delivery("x");
    Duration least = 1h;
    Duration most{0};
    for (int i = 0; i < 100; ++i) {
      const Time start = clock.now();
      const Outcome outcome = co_await handler.handle(d, 1, aio::Deadline{});
      EXPECT_EQ(outcome.kind, Kind::done);
      least = std::min(least, clock.now() - start);
      most = std::max(most, clock.now() - start);
    }
    EXPECT_GE(least, 8s);
    EXPECT_LE(most, 12s);
    EXPECT_LT(least, 9s);
    EXPECT_GT(most, 11s);
  };
  clock.run(main());
}

class FunctionTest : public HandlerTest {
 protected:
  // Called by the function under test: from now on a cancellation finds it running.
  void begun() {
    loop_.post([this] { begun_.notify(); });
  }
  // The outcome after it was cancelled in the middle, which a thread that has not begun yet would not notice.
  std::optional<Outcome> handle_and_cancel(Handler& handler, queue::Delivery d) {
    std::optional<Outcome> out;
    const auto main = [&]() -> aio::Task<void> {
      aio::TaskGroup group(loop_, clock_);
      group.spawn(keep(handler, std::move(d), 1, out));
      co_await begun_.wait(aio::Deadline{});
      co_await group.join_or_cancel(clock_.in(0ms));
    };
    loop_.run(main());
    return out;
  }

 private:
  aio::Event begun_{clock_};
};

TEST_F(FunctionTest, RunsBlockingFunctionsSideBySideOffTheLoop) {
  std::latch together(3);
  const std::thread::id mine = std::this_thread::get_id();
  FunctionHandler handler(loop_, clock_, 3, [&](const queue::Delivery& d, std::uint32_t, const std::atomic<bool>&) {
    EXPECT_NE(std::this_thread::get_id(), mine);
    together.arrive_and_wait();  // ends only if all three run at once
    return d.message.body == "ok" ? Outcome::done() : throw std::runtime_error("bad body");
  });
  std::array<std::optional<Outcome>, 3> out;
  const auto main = [&]() -> aio::Task<void> {
    aio::TaskGroup group(loop_, clock_);
    group.spawn(keep(handler, delivery("ok"), 1, out[0]));
    group.spawn(keep(handler, delivery("ok"), 1, out[1]));
    group.spawn(keep(handler, delivery("no"), 1, out[2]));
    co_await group.join();
  };
  loop_.run(main());
  EXPECT_EQ(out[0]->kind, Kind::done);
  EXPECT_EQ(out[1]->kind, Kind::done);
  EXPECT_EQ(out[2]->kind, Kind::failed);
  EXPECT_EQ(out[2]->why, "the handler threw: bad body");
}

TEST_F(FunctionTest, ACancelledFunctionIsToldAndWaitedFor) {
  std::atomic<bool> returned = false;
  FunctionHandler handler(loop_, clock_, 1,
                          [&](const queue::Delivery&, std::uint32_t, const std::atomic<bool>& cancelled) {
                            begun();
                            while (!cancelled) {
                              std::this_thread::yield();
                            }
                            returned = true;
                            return Outcome::failed("cancelled");
                          });
  EXPECT_FALSE(handle_and_cancel(handler, delivery("x")));
  EXPECT_TRUE(returned);
}

TEST_F(FunctionTest, StartedAtOnceItTellsItsEndOnTheLoopUnlessItIsCancelledOrForgotten) {
  std::atomic<bool> waits = false;
  FunctionHandler handler(loop_, clock_, 2,
                          [&](const queue::Delivery& d, std::uint32_t attempt, const std::atomic<bool>& cancelled) {
                            while (d.message.body == "waits" && !cancelled) {
                              waits = true;
                              std::this_thread::yield();
                            }
                            return cancelled ? Outcome::done() : Outcome::failed(std::to_string(attempt));
                          });
  const std::thread::id mine = std::this_thread::get_id();
  std::vector<std::string> told;
  aio::Event changed(clock_);
  const auto start = [&](const char* body) {
    return handler.start_at_once(std::make_shared<const queue::Delivery>(delivery(body)), 7,
                                 [&, body](Outcome outcome) {
                                   EXPECT_EQ(std::this_thread::get_id(), mine);
                                   told.push_back(std::string(body) + " " + outcome.why);
                                   changed.notify();
                                 });
  };
  const auto main = [&]() -> aio::Task<void> {
    const std::unique_ptr<worker::Run> ends = start("ends");
    const std::unique_ptr<worker::Run> cancelled = start("waits");
    std::unique_ptr<worker::Run> forgotten = start("ends, and nobody hears of it");
    EXPECT_TRUE(told.empty()) << "not inside the call";
    handler.started();
    forgotten.reset();
    while (told.empty()) {
      co_await changed.wait(aio::Deadline{});
    }
    while (!waits) {
      std::this_thread::yield();
    }
    const std::optional<Outcome> end = co_await cancelled->cancel();
    EXPECT_TRUE(end && end->kind == Kind::done) << "what was done all the same counts";
  };
  loop_.run(main());
  EXPECT_EQ(told, std::vector<std::string>{"ends 7"});
}

TEST_F(FunctionTest, AFunctionThatIgnoresItsCancellationIsLeftBehindAndEndsTheWorker) {
  static std::atomic<bool> release;  // outlives the function that is left behind
  static std::atomic<bool> left;
  release = left = false;
  {
    const auto deaf = [this](const queue::Delivery&, std::uint32_t, const std::atomic<bool>&) {
      begun();
      while (!release) {
        std::this_thread::yield();
      }
      left = true;
      return Outcome::done();
    };
    FunctionHandler handler(loop_, clock_, 2, deaf, 20ms);
    EXPECT_FALSE(handle_and_cancel(handler, delivery("x")));
    EXPECT_EQ(handle(handler, delivery("y"))->kind, Kind::cannot_start);
  }
  release = true;
  while (!left) {
    std::this_thread::yield();
  }
}

}  // namespace
}  // namespace sluice::worker
