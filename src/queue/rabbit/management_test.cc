// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/management.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "aio/faults.h"
#include "aio/task_group.h"
#include "aio/url.h"

namespace sluice::queue::rabbit {
namespace {

using namespace std::chrono_literals;
using aio::http::Request;
using aio::http::Response;
using testing::HasSubstr;
using testing::Not;

constexpr const char* password = "S3CR3T-canary";

Response json(std::string body) {
  return {.status = 200, .headers = {{"Content-Type", "application/json"}}, .body = std::move(body)};
}

std::string one_queue(std::string_view name, int ready, int in_flight) {
  return fmt::format(
      R"({{"name":"{}","type":"classic","state":"running","messages_ready":{},"messages_unacknowledged":{},"consumers":1}})",
      name, ready, in_flight);
}

// A management API in memory, in virtual time.
class ManagementTest : public testing::Test {
 protected:
  void run(const std::string& url, const std::function<aio::Task<void>()>& body) {
    const auto place = parse_management_url(url);
    ASSERT_TRUE(place) << place.error().what;
    ManagementOptions options{.place = *place};
    options.login = [this] { return Result<Login>(login_); };
    options.dial = [this](aio::Url to, aio::Deadline) { return connect(to.host); };
    const auto main = [&]() -> aio::Task<void> {
      management_ = std::make_unique<Management>(loop_, clock_, options);
      co_await body();
      management_.reset();
      co_await clock_.sleep_for(11s);  // what is under way ends
      group_.cancel();
      co_await group_.join();
    };
    clock_.run(main());
  }
  aio::Task<Result<std::unique_ptr<aio::Stream>>> connect(std::string host) {
    hosts_.push_back(host);
    if (down_) {
      co_return Error{Code::retry, "refused"};
    }
    aio::StreamPair pair = aio::stream_pair(clock_);
    group_.spawn(server_.serve(std::move(pair.second), ""));
    co_return std::move(pair.first);
  }
  aio::Task<Response> handle(Request request) {
    requests_.push_back(request);
    co_await clock_.sleep_for(takes_);
    co_return answer_(request);
  }
  aio::Task<Management::Answer> ask(std::string queue) {
    Management::Answer answer = co_await management_->about(queue, clock_.in(5s));
    co_return answer;
  }
  // Asks until a reading made after now has come.
  aio::Task<Management::Answer> ask_anew(std::string queue) {
    co_await clock_.sleep_for(6s);
    Management::Answer answer = co_await management_->about(queue, clock_.in(5s));
    co_await clock_.sleep_for(4s);
    answer = co_await management_->about(queue, clock_.in(5s));
    co_return answer;
  }

  aio::Loop loop_;
  aio::VirtualClock clock_{loop_};
  aio::TaskGroup group_{loop_, clock_};
  aio::http::Server server_{loop_, clock_, [this](Request r) { return handle(std::move(r)); }, {}};
  std::function<Response(const Request&)> answer_ = [](const Request&) { return json(one_queue("orders", 7, 3)); };
  Duration takes_{0};
  bool down_ = false;
  Login login_{.user = "sluice", .password = password};
  std::vector<Request> requests_;
  std::vector<std::string> hosts_;
  std::unique_ptr<Management> management_;
};

TEST(ManagementUrl, NamesTheApiOrTheMetrics) {
  struct Case {
    const char* url;
    const char* text;
    bool metrics;
  };
  for (const Case& one : {Case{"http://rabbit:15672", "http://rabbit:15672", false},
                          Case{"http://rabbit:15672/", "http://rabbit:15672", false},
                          Case{"http://rabbit:15672/api/", "http://rabbit:15672", false},
                          Case{"https://rabbit/prefix", "https://rabbit:443/prefix", false},
                          Case{"https://rabbit/prefix/api", "https://rabbit:443/prefix", false},
                          Case{"http://rabbit:15692/metrics/detailed", "http://rabbit:15692", true},
                          Case{"http://rabbit:15692/metrics", "http://rabbit:15692", true},
                          Case{"http://rabbit:15692/x/metrics/", "http://rabbit:15692/x", true}}) {
    const auto place = parse_management_url(one.url);
    ASSERT_TRUE(place) << one.url;
    EXPECT_EQ(place->text(), one.text);
    EXPECT_EQ(place->metrics, one.metrics) << one.url;
  }
  for (const char* bad :
       {"", "rabbit:15672", "ftp://rabbit", "http://u:p@rabbit:15672", "unix:/x", "http://rabbit/?a=b"}) {
    EXPECT_FALSE(parse_management_url(bad)) << bad;
  }
}

TEST_F(ManagementTest, ReadsAQueueAndSaysHowOldThatMayBe) {
  run("http://rabbit:15672", [&]() -> aio::Task<void> {
    const Time before = clock_.now();
    const Management::Answer answer = co_await ask("orders");
    EXPECT_EQ(answer.missing, "");
    EXPECT_TRUE(answer.told.has_value());
    EXPECT_EQ(answer.told->statistics.in_flight, 3);
    EXPECT_EQ(answer.told->observed_at, before - 10s);
    EXPECT_EQ(requests_.size(), 1U);
    EXPECT_THAT(requests_[0].target, testing::StartsWith("/api/queues/%2F/orders?columns=name,"));
    EXPECT_EQ(aio::http::header(requests_[0].headers, "Authorization"), "Basic c2x1aWNlOlMzQ1IzVC1jYW5hcnk=");
  });
}

TEST_F(ManagementTest, QuotesNamesInPaths) {
  run("http://rabbit:15672/behind", [&]() -> aio::Task<void> {
    co_await ask("a/b?c%\n\xc3\xa9");
    EXPECT_THAT(requests_[0].target, testing::StartsWith("/behind/api/queues/%2F/a%2Fb%3Fc%25%0A%C3%A9?columns="));
  });
}

TEST_F(ManagementTest, SaysWhatIsWrongAndNeverGivesACount) {
  struct Case {
    Response response;
    const char* missing;
  };
  std::string huge;
  huge.resize(50'000'000, ' ');
  const std::vector<Case> cases{
      {{.status = 500}, "management http://rabbit:15672/api/queues/%2F/orders: status 500"},
      {{.status = 503}, "status 503"},
      {{.status = 404}, "status 404: nothing is there"},
      {{.status = 204}, "status 204"},
      {{.status = 301, .headers = {{"Location", "http://evil/"}}}, "status 301: a redirect, which is never followed"},
      {{.status = 307, .headers = {{"Location", "http://evil/"}}}, "status 307: a redirect"},
      {{.status = 200, .headers = {{"Content-Type", "text/html; charset=utf-8"}}, .body = "<html>S3CR3T-canary"},
       "status 200: a page of HTML"},
      {{.status = 200, .headers = {{"Content-Encoding", "gzip"}}, .body = "\x1f\x8b"}, "compressed the body unasked"},
      {json(""), "no JSON that can be read"},
      {json("S3CR3T-canary"), "no JSON that can be read"},
      {json(one_queue("other", 1, 1)), "name: that of another queue"},
      {json(R"({"name":"orders"})"), "queue orders: messages_ready: absent"},
      {json(one_queue("orders", 5, -1)), "queue orders: messages_unacknowledged: a number out of range"},
      {json(R"({"name":"orders","messages_ready":1,"messages_unacknowledged":1e400,"consumers":1})"),
       "messages_unacknowledged: no whole number"},
      {json(huge), "bytes"},
  };
  run("http://rabbit:15672", [&]() -> aio::Task<void> {
    for (const Case& one : cases) {
      answer_ = [&](const Request&) { return one.response; };
      const Management::Answer answer = co_await ask_anew("orders");
      EXPECT_THAT(answer.missing, HasSubstr(one.missing));
      EXPECT_THAT(answer.missing, HasSubstr("http://rabbit:15672/api/queues/%2F/orders"));
      EXPECT_THAT(answer.missing, Not(HasSubstr(password)));
      EXPECT_TRUE(!answer.told || !answer.told->statistics.in_flight) << one.missing;
    }
    EXPECT_THAT(hosts_, testing::Each("rabbit"));
  });
}

TEST_F(ManagementTest, NamesTheMissingTagAndDoesNotLockTheAccount) {
  run("http://rabbit:15672", [&]() -> aio::Task<void> {
    answer_ = [](const Request&) {
      return Response{.status = 401, .body = R"({"error":"not_authorised","reason":"Not management user"})"};
    };
    Management::Answer answer = co_await ask("orders");
    EXPECT_THAT(answer.missing, HasSubstr("rabbitmqctl set_user_tags sluice management"));
    for (int second = 0; second < 600; ++second) {
      answer = co_await ask("orders");
      co_await clock_.sleep_for(1s);
    }
    EXPECT_LE(requests_.size(), 8U);
    answer_ = [](const Request&) { return json(one_queue("orders", 1, 2)); };
    login_.password = "another";
    answer = co_await ask_anew("orders");
    EXPECT_EQ(answer.missing, "");
    EXPECT_EQ(answer.told->statistics.in_flight, 2);
    answer_ = [](const Request&) { return Response{.status = 401, .body = "Login failed"}; };
    answer = co_await ask_anew("orders");
    EXPECT_THAT(answer.missing, HasSubstr("the login of user sluice"));
    login_.password = "a third";
    answer_ = [](const Request&) {
      return Response{.status = 401, .body = R"({"reason":"User not authorised to access virtual host"})"};
    };
    answer = co_await ask_anew("orders");
    EXPECT_THAT(answer.missing, HasSubstr("may not look into virtual host /"));
  });
}

TEST_F(ManagementTest, IsNeverWaitedForButOnce) {
  takes_ = 30s;
  run("http://rabbit:15672", [&]() -> aio::Task<void> {
    Time before = clock_.now();
    Management::Answer answer = co_await ask("orders");
    EXPECT_EQ(clock_.now() - before, Duration{1s});
    EXPECT_THAT(answer.missing, HasSubstr("not read yet"));
    co_await clock_.sleep_for(3s);
    for (int second = 0; second < 60; ++second) {
      before = clock_.now();
      answer = co_await ask("orders");
      EXPECT_EQ(clock_.now(), before);
      EXPECT_FALSE(answer.told);
      EXPECT_THAT(answer.missing, HasSubstr("in time"));
      co_await clock_.sleep_for(1s);
    }
  });
}

TEST_F(ManagementTest, IsAskedOnceForAllWhoAsk) {
  run("http://rabbit:15672", [&]() -> aio::Task<void> {
    for (int i = 0; i < 1000; ++i) {
      co_await ask("orders");
      co_await clock_.sleep_for(50ms);
    }
    EXPECT_LE(requests_.size(), 11U);
    EXPECT_GE(requests_.size(), 9U);
  });
}

TEST_F(ManagementTest, KeepsWhatItKnowsWithItsAgeWhileTheApiIsAway) {
  run("http://rabbit:15672", [&]() -> aio::Task<void> {
    co_await ask("orders");
    const Time read_at = clock_.now();
    down_ = true;
    answer_ = [](const Request&) { return Response{.status = 500}; };
    Management::Answer answer = co_await ask_anew("orders");
    EXPECT_THAT(answer.missing, HasSubstr("status 500"));
    EXPECT_EQ(answer.told->observed_at, read_at - 10s);
    for (int second = 0; second < 60; ++second) {
      co_await clock_.sleep_for(1s);
      answer = co_await ask("orders");
    }
    EXPECT_FALSE(answer.told);
    EXPECT_THAT(answer.missing, HasSubstr("refused"));
    down_ = false;
    answer_ = [](const Request&) { return json(one_queue("orders", 1, 9)); };
    answer = co_await ask_anew("orders");
    EXPECT_EQ(answer.told->statistics.in_flight, 9);
    EXPECT_EQ(answer.missing, "");
  });
}

// Pages of `size` queues out of `n`.
Response page_of(const Request& request, int n, int size, std::int64_t pages) {
  const std::size_t at = request.target.find("page=");
  const int page = std::atoi(request.target.c_str() + at + 5);
  std::string items;
  for (int i = (page - 1) * size; i < std::min(n, page * size); ++i) {
    items += (items.empty() ? "" : ",") + one_queue(fmt::format("q{}", i), i, 1);
  }
  return json(fmt::format(R"({{"items":[{}],"page":{},"page_count":{}}})", items, page, pages));
}

TEST_F(ManagementTest, ReadsManyQueuesPageByPage) {
  answer_ = [](const Request& r) { return page_of(r, 1200, 500, 3); };
  run("http://rabbit:15672", [&]() -> aio::Task<void> {
    for (int i = 0; i < 100; ++i) {
      co_await ask(fmt::format("q{}", 12 * i));
    }
    requests_.clear();
    co_await ask_anew("gone");
    for (int i = 0; i < 100; ++i) {
      const Management::Answer answer = co_await ask(fmt::format("q{}", 12 * i));
      EXPECT_TRUE(answer.told);
      EXPECT_EQ(answer.told->statistics.ready, 12 * i);
    }
    EXPECT_EQ(requests_.size(), 3U);
    const Management::Answer gone = co_await ask("gone");
    EXPECT_THAT(gone.missing, HasSubstr("queue gone: not in the list"));
  });
}

TEST_F(ManagementTest, DoesNotReadPagesWithoutEnd) {
  answer_ = [](const Request& r) { return page_of(r, 1'000'000, 5, 1'000'000'000); };
  run("http://rabbit:15672", [&]() -> aio::Task<void> {
    for (int i = 0; i < 100; ++i) {
      co_await ask(fmt::format("q{}", i));
    }
    requests_.clear();
    const Management::Answer answer = co_await ask_anew("q1");
    EXPECT_THAT(answer.missing, HasSubstr("page_count: 1000000000; at most 100 are read"));
    EXPECT_LE(requests_.size(), 2U);
  });
}

TEST_F(ManagementTest, ReadsMetricsWithoutALogin) {
  answer_ = [](const Request&) {
    return Response{.status = 200,
                    .body =
                        "# TYPE rabbitmq_detailed_queue_messages_unacked gauge\n"
                        "rabbitmq_detailed_queue_messages_ready{vhost=\"/\",queue=\"orders\"} 2\n"
                        "rabbitmq_detailed_queue_messages_unacked{vhost=\"/\",queue=\"orders\"} 8\n"
                        "rabbitmq_detailed_queue_consumers{vhost=\"/\",queue=\"orders\"} 8\n"};
  };
  run("http://rabbit:15692/metrics/detailed", [&]() -> aio::Task<void> {
    const Time before = clock_.now();
    Management::Answer answer = co_await ask("orders");
    EXPECT_EQ(answer.told->statistics.in_flight, 8);
    EXPECT_EQ(answer.told->observed_at, before - 5s);
    EXPECT_FALSE(aio::http::header(requests_[0].headers, "Authorization"));
    EXPECT_THAT(requests_[0].target, testing::StartsWith("/metrics/detailed?vhost=%2F&family="));
    answer = co_await ask_anew("elsewhere");
    EXPECT_THAT(answer.missing, HasSubstr("which has the queues of one node alone"));
    answer_ = [](const Request&) { return Response{.status = 200, .body = "not metrics\n"}; };
    answer = co_await ask_anew("orders");
    EXPECT_THAT(answer.missing, HasSubstr("not metrics in the text format"));
    const auto consumers = co_await management_->consumers("orders", clock_.in(1s));
    EXPECT_EQ(consumers.error().code, Code::invalid);
  });
}

TEST_F(ManagementTest, ListsConsumers) {
  answer_ = [](const Request&) {
    return json(
        R"({"name":"orders","consumer_details":[{"consumer_tag":"w0","channel_details":{"connection_name":"c","peer_host":"10.0.0.7","peer_port":4242}}]})");
  };
  run("http://rabbit:15672", [&]() -> aio::Task<void> {
    const auto consumers = co_await management_->consumers("orders", clock_.in(1s));
    EXPECT_EQ(consumers->size(), 1U);
    EXPECT_EQ(consumers->front().peer_host, "10.0.0.7");
    EXPECT_EQ(requests_[0].target, "/api/queues/%2F/orders");
  });
}

TEST_F(ManagementTest, SpeaksTheTruthWhateverBreaksOnTheWay) {
  const auto exchange = [](aio::Faults& faults) {
    aio::Loop loop;
    aio::VirtualClock clock(loop);
    aio::TaskGroup group(loop, clock);
    aio::http::Server server(loop, clock,
                             [](Request) -> aio::Task<Response> { co_return json(one_queue("orders", 7, 3)); }, {});
    const auto main = [&]() -> aio::Task<void> {
      ManagementOptions options{.place = {.base = "http://rabbit:15672", .prefix = ""}};
      options.dial = [&](aio::Url, aio::Deadline deadline) -> aio::Task<Result<std::unique_ptr<aio::Stream>>> {
        const Result<void> step = co_await aio::connect_step(faults, clock, deadline);
        if (!step) {
          co_return step.error();
        }
        aio::StreamPair pair = aio::stream_pair(clock);
        group.spawn(server.serve(std::move(pair.second), ""));
        co_return aio::with_faults(std::move(pair.first), faults, clock);
      };
      auto management = std::make_unique<Management>(loop, clock, options);
      for (int look = 0; look < 3; ++look) {
        const Time before = clock.now();
        const Management::Answer answer = co_await management->about("orders", clock.in(5s));
        EXPECT_LE(clock.now() - before, 1s);
        EXPECT_TRUE(answer.told || !answer.missing.empty());
        EXPECT_TRUE(!answer.told || answer.told->statistics.in_flight == 3);
        co_await clock.sleep_for(7s);
      }
      management.reset();
      co_await clock.sleep_for(11s);
      group.cancel();
      co_await group.join();
    };
    clock.run(main());
  };
  EXPECT_GT(aio::for_each_failure(exchange), 5U);
}

}  // namespace
}  // namespace sluice::queue::rabbit
