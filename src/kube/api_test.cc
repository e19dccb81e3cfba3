// SPDX-License-Identifier: Apache-2.0
#include "kube/api.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "aio/faults.h"
#include "aio/stream.h"
#include "aio/task_group.h"
#include "aio/url.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::string answer(const std::string& status, const std::string& body, const std::string& more = "") {
  return fmt::format("HTTP/1.1 {}\r\nContent-Length: {}\r\n{}\r\n{}", status, body.size(), more, body);
}
std::string chunk(const std::string& bytes) {
  return fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
}
const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

// An API server in memory: says what it is told, a line of `script` for each request, on any connection.
class ApiTest : public testing::Test {
 protected:
  struct Line {
    std::string bytes;
    Duration pause{};  // after it
    bool close = false;
  };

  aio::Task<void> serve(std::unique_ptr<aio::Stream> stream) {
    std::array<char, 65536> buffer;
    while (true) {
      const Result<std::size_t> n = co_await stream->read_some(buffer, aio::Deadline{});
      if (n.value_or(0) == 0) {
        co_return;
      }
      requests_.emplace_back(buffer.data(), *n);
      if (next_ >= script_.size()) {
        ADD_FAILURE() << "asked for more: " << requests_.back();
        co_return;
      }
      const std::vector<Line>& lines = script_[next_++];
      for (const Line& line : lines) {
        const Result<void> sent = co_await stream->write_all(line.bytes, aio::Deadline{});
        if (!sent || line.close) {
          co_return;
        }
        co_await clock_.sleep_for(line.pause);
      }
    }
  }
  aio::Task<Result<std::unique_ptr<aio::Stream>>> dial() {
    aio::StreamPair pair = aio::stream_pair(clock_, 1U << 20U);
    group_->spawn(serve(std::move(pair.second)));
    co_return std::move(pair.first);
  }
  void run(const std::function<aio::Task<void>(Api&)>& body) {
    group_.emplace(loop_, clock_);
    Access access;
    access.server = "http://api:80";
    access.prefix = "/k8s";
    access.token_file = "/token";
    access.origin = "the test";
    const auto read = [this](const std::string&) { return token_; };
    auto api = std::make_unique<Api>(loop_, clock_, access, read, std::vector<std::string>{},
                                     ApiOptions{.dial = [this](const aio::Url&, aio::Deadline) { return dial(); }});
    const auto main = [&]() -> aio::Task<void> {
      co_await body(*api);
      api.reset();
      group_->cancel();
      co_await group_->join();
    };
    clock_.run(main());
  }
  void script(const std::string& whole) { script_.push_back({{whole}}); }
  // Keeps what it is given.
  TakeItem keep() {
    return [this](std::string_view item) {
      items_.emplace_back(item);
      return Result<void>{};
    };
  }

  aio::Loop loop_;
  aio::VirtualClock clock_{loop_};
  std::optional<aio::TaskGroup> group_;  // of one run
  Result<std::string> token_ = std::string("T1\n");
  std::vector<std::vector<Line>> script_;
  std::size_t next_ = 0;
  std::vector<std::string> requests_;
  std::vector<std::string> items_;
  int begun_ = 0;
};

TEST_F(ApiTest, AsksWithWhoItIsAndGivesTheAnswer) {
  script(answer("201 Created", "{\"kind\":\"Job\"}"));
  run([&](Api& api) -> aio::Task<void> {
    Call call{.method = "POST", .path = "/apis/batch/v1/namespaces/shop/jobs", .body = "{}"};
    const Result<std::string> made = co_await api.ask(std::move(call), clock_.in(1s));
    EXPECT_EQ(made.value_or("?"), "{\"kind\":\"Job\"}");
  });
  ASSERT_EQ(requests_.size(), 1U);
  EXPECT_THAT(requests_[0], AllOf(HasSubstr("POST /k8s/apis/batch/v1/namespaces/shop/jobs HTTP/1.1\r\n"),
                                  HasSubstr("Authorization: Bearer T1\r\n"), HasSubstr("User-Agent: sluice\r\n"),
                                  HasSubstr("Content-Type: application/json\r\n"), HasSubstr("\r\n\r\n{}")));
}

TEST_F(ApiTest, SaysWhatToDoAboutARefusalInTheServersOwnWords) {
  struct Case {
    const char* status;
    Code code;
  };
  for (const Case& c : {Case{"401 Unauthorized", Code::denied}, Case{"403 Forbidden", Code::denied},
                        Case{"404 Not Found", Code::gone}, Case{"409 Conflict", Code::conflict},
                        Case{"410 Gone", Code::gone}, Case{"422 Unprocessable Entity", Code::invalid},
                        Case{"500 Internal Server Error", Code::retry}, Case{"504 Gateway Timeout", Code::retry}}) {
    script_.clear();
    next_ = 0;
    script(answer(c.status, R"({"kind":"Status","message":"jobs.batch \"x\"\nis so"})"));
    script(answer(c.status, "<html>secret</html>"));
    run([&](Api& api) -> aio::Task<void> {
      const Result<std::string> told = co_await api.ask({.path = "/a"}, clock_.in(1s));
      EXPECT_EQ(told.error().code, c.code) << c.status;
      EXPECT_THAT(told.error().what, testing::StartsWith("jobs.batch \"x\" is so"));
      const Result<std::string> bare = co_await api.ask({.path = "/a"}, clock_.in(1s));
      EXPECT_EQ(bare.error().code, c.code) << c.status;
      EXPECT_THAT(bare.error().what, HasSubstr(fmt::format("http://api:80 answers {}", std::string(c.status, 3))));
    });
  }
}

TEST_F(ApiTest, PausesWhenItIsAskedToExceptForWhatIsUrgent) {
  script(answer("429 Too Many Requests", "{}", "Retry-After: 3\r\n"));
  script(answer("200 OK", "urgent"));
  script(answer("200 OK", "later"));
  run([&](Api& api) -> aio::Task<void> {
    const Time start = clock_.now();
    const Result<std::string> told = co_await api.ask({.path = "/a"}, clock_.in(1s));
    EXPECT_EQ(told.error().code, Code::throttled);
    const Result<std::string> urgent = co_await api.ask({.path = "/a", .urgent = true}, clock_.in(1s));
    EXPECT_EQ(urgent.value_or("?"), "urgent");
    EXPECT_EQ(clock_.now(), start);
    const Result<std::string> late = co_await api.ask({.path = "/a"}, clock_.in(1s));
    EXPECT_EQ(late.error().code, Code::throttled) << "its deadline lies within the pause";
    const Result<std::string> later = co_await api.ask({.path = "/a"}, clock_.in(10s));
    EXPECT_EQ(later.value_or("?"), "later");
    EXPECT_EQ(clock_.now() - start, 3s);
  });
}

TEST_F(ApiTest, AServerThatIsOverloadedIsLeftAloneForAsLongAsItSays) {
  script(answer("503 Service Unavailable", "{}", "Retry-After: 100000\r\n"));
  script(answer("503 Service Unavailable", "{}"));
  run([&](Api& api) -> aio::Task<void> {
    const Time start = clock_.now();
    const Result<std::string> told = co_await api.ask({.path = "/a"}, clock_.in(1s));
    EXPECT_EQ(told.error().code, Code::throttled);
    const Result<std::string> again = co_await api.ask({.path = "/a"}, clock_.in(1000s));
    EXPECT_EQ(again.error().code, Code::retry);
    EXPECT_EQ(clock_.now() - start, 60s) << "and no longer than a minute";
  });
}

TEST_F(ApiTest, ReadsItsTokenAgain) {
  for (int i = 0; i < 4; ++i) {
    script(answer(i == 1 ? "401 Unauthorized" : "200 OK", "{}"));
  }
  run([&](Api& api) -> aio::Task<void> {
    for (const Duration pause : {0s, 10s, 1s, 5s}) {
      co_await clock_.sleep_for(pause);
      token_ = fmt::format("T{}", to_ms(clock_.now()) / 1000);
      const Result<std::string> told = co_await api.ask({.path = "/a"}, clock_.in(1s));
      EXPECT_EQ(told.has_value(), requests_.size() != 2);
    }
  });
  std::vector<std::string> shown;
  for (const std::string& request : requests_) {
    const std::size_t at = request.find("Bearer ") + 7;
    shown.push_back(request.substr(at, request.find('\r', at) - at));
  }
  const std::int64_t t0 = std::stoll(shown[0].substr(1));
  EXPECT_THAT(shown, ElementsAre(fmt::format("T{}", t0), fmt::format("T{}", t0 + 10), fmt::format("T{}", t0 + 10),
                                 fmt::format("T{}", t0 + 16)))
      << "after 10 s, or 5 s after it was refused";
}

TEST_F(ApiTest, ATokenThatCannotBeReadIsSaidAndTheOldOneGoesOn) {
  script(answer("200 OK", "{}"));
  run([&](Api& api) -> aio::Task<void> {
    const Result<std::string> first = co_await api.ask({.path = "/a"}, clock_.in(1s));
    EXPECT_TRUE(first);
    token_ = Error{Code::denied, "/token: Permission denied"};
    script(answer("200 OK", "{}"));
    co_await clock_.sleep_for(11s);
    const Result<std::string> second = co_await api.ask({.path = "/a"}, clock_.in(1s));
    EXPECT_TRUE(second);
  });
  next_ = 0;
  script_.clear();
  run([&](Api& api) -> aio::Task<void> {
    const Result<std::string> never = co_await api.ask({.path = "/a"}, clock_.in(1s));
    EXPECT_EQ(never.error().what, "/token: Permission denied");
  });
}

TEST_F(ApiTest, ListsAllPages) {
  script(answer("200 OK", R"({"metadata":{"resourceVersion":"7","continue":"a/b="},"items":[{"n":1},{"n":2}]})"));
  script(answer("200 OK", R"({"items":[{"n":3}],"metadata":{"resourceVersion":"7"}})"));
  run([&](Api& api) -> aio::Task<void> {
    const Result<ListHead> head = co_await api.list("/jobs?labelSelector=x", keep(), clock_.in(1s));
    EXPECT_TRUE(head) << head.error().what;
    EXPECT_EQ(head->version, "7");
  });
  EXPECT_THAT(items_, ElementsAre("{\"n\":1}", "{\"n\":2}", "{\"n\":3}"));
  EXPECT_THAT(requests_[0], HasSubstr("GET /k8s/jobs?labelSelector=x&limit=500 HTTP"));
  EXPECT_THAT(requests_[1], HasSubstr("GET /k8s/jobs?labelSelector=x&limit=500&continue=a%2Fb%3D HTTP"));
}

TEST_F(ApiTest, AListThatIsNotWholeIsAnError) {
  const std::string first = R"({"metadata":{"resourceVersion":"7","continue":"c"},"items":[{}]})";
  script(answer("200 OK", first));
  script(answer("410 Gone", R"({"message":"The provided continue parameter is too old"})"));
  script_.push_back({{.bytes = chunked + chunk(first.substr(0, 60)), .close = true}});
  script(answer("200 OK", first.substr(0, 60)));
  script(answer("200 OK", "<html>"));
  run([&](Api& api) -> aio::Task<void> {
    for (const Code code : {Code::gone, Code::retry, Code::retry, Code::invalid}) {
      const Result<ListHead> head = co_await api.list("/jobs", keep(), clock_.in(1s));
      EXPECT_EQ(head.error().code, code) << head.error().what;
    }
  });
}

TEST_F(ApiTest, WatchesUntilTheServerEndsIt) {
  script_.push_back({{.bytes = chunked + chunk("{\"type\":\"ADDED\"}\n{\"ty"), .pause = 20s},
                     {.bytes = chunk("pe\":\"BOOKMARK\"}\n"), .pause = 20s},
                     {.bytes = "0\r\n\r\n"}});
  run([&](Api& api) -> aio::Task<void> {
    const Result<void> end = co_await api.watch("/jobs", "7", [this] { ++begun_; }, keep(), 30s);
    EXPECT_TRUE(end) << end.error().what;
  });
  EXPECT_THAT(items_, ElementsAre("{\"type\":\"ADDED\"}", "{\"type\":\"BOOKMARK\"}"));
  EXPECT_THAT(requests_[0], HasSubstr("GET /k8s/jobs?watch=1&allowWatchBookmarks=true&resourceVersion=7 HTTP"));
}

TEST_F(ApiTest, AWatchThatIsSilentOrCutOffOrRefusedIsAnError) {
  script_.push_back({{.bytes = chunked + chunk("{}\n"), .pause = 1h}});
  script_.push_back({{.bytes = chunked + chunk("{}\n{"), .close = true}});
  script_.push_back({{.bytes = chunked + chunk("{}\n{") + "0\r\n\r\n"}});
  script(answer("410 Gone", R"({"message":"too old resource version"})"));
  run([&](Api& api) -> aio::Task<void> {
    const Time start = clock_.now();
    for (const Code code : {Code::retry, Code::retry, Code::retry, Code::gone}) {
      const Result<void> end = co_await api.watch("/jobs", "7", [this] { ++begun_; }, keep(), 30s);
      EXPECT_EQ(end.error().code, code) << end.error().what;
    }
    EXPECT_EQ(clock_.now() - start, 30s);
  });
  EXPECT_EQ(begun_, 3) << "all but the refused one";
}

TEST_F(ApiTest, WhatTakesTheItemsMayEndTheReading) {
  script_.push_back({{.bytes = chunked + chunk("{}\n{}\n"), .pause = 1h}});
  run([&](Api& api) -> aio::Task<void> {
    const auto refuse = [](std::string_view) { return Result<void>(Error{Code::invalid, "no such event"}); };
    const Result<void> end = co_await api.watch("/jobs", "7", [] {}, refuse, 30s);
    EXPECT_EQ(end.error().what, "no such event");
  });
}

}  // namespace
}  // namespace sluice::kube
