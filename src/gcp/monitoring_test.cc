// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <map>
#include <set>

#include "gcp/cloud_monitoring.h"
#include "gcp/query.h"
#include "gcp/testing_monitoring.h"

namespace sluice::gcp {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST_F(MonitoringTest, AsksForRawPointsOfAGaugeAndTellsTheTrueTimeOfTheSample) {
  run([&]() -> aio::Task<void> {
    const Result<std::vector<Point>> points = co_await read(subscription("orders"));
    EXPECT_TRUE(points) << points.error().what;
    EXPECT_EQ(points->size(), 1U);
    EXPECT_EQ(points->front().milli, 42'000);
    EXPECT_EQ(format_wall(points->front().ended_at), "2025-12-31T23:58:00.000Z");
    EXPECT_EQ(requests_.size(), 2U);
    EXPECT_EQ(requests_[0].target, descriptor_path);
    EXPECT_EQ(aio::http::header(requests_[0].headers, "Authorization"), "Bearer S3CR3T-canary");
    EXPECT_THAT(requests_[1].target,
                testing::StartsWith("/v3/projects/shop/timeSeries?filter=metric.type%20%3D%20%22"));
    EXPECT_EQ(parameter(requests_[1], "filter"),
              R"(metric.type = "pubsub.googleapis.com/subscription/num_undelivered_messages" AND )"
              R"(resource.labels.subscription_id = "orders")");
    EXPECT_EQ(parameter(requests_[1], "interval.startTime"), "2025-12-31T23:55:00Z");
    EXPECT_EQ(parameter(requests_[1], "interval.endTime"), "2026-01-01T00:00:00Z");
    EXPECT_EQ(parameter(requests_[1], "aggregation.perSeriesAligner"), "");
  });
}

TEST_F(MonitoringTest, AlignsRatesAndWhatIsReducedAsTheStackdriverAdapterDoes) {
  const Selector reduced{{"reducer", Op::equals, {"REDUCE_SUM"}}};
  run([&]() -> aio::Task<void> {
    const auto points = co_await read(reduced);
    EXPECT_TRUE(points);
    EXPECT_EQ(parameter(requests_[1], "aggregation.perSeriesAligner"), "ALIGN_NEXT_OLDER");
    EXPECT_EQ(parameter(requests_[1], "aggregation.alignmentPeriod"), "300s");
    EXPECT_EQ(parameter(requests_[1], "aggregation.crossSeriesReducer"), "REDUCE_SUM");
  });
  requests_.clear();
  for (const char* kind : {"DELTA", "CUMULATIVE"}) {
    kind_ = kind;
    run([&]() -> aio::Task<void> {
      const auto points = co_await read({});
      EXPECT_TRUE(points);
      EXPECT_EQ(parameter(requests_.back(), "aggregation.perSeriesAligner"), "ALIGN_RATE");
      EXPECT_EQ(parameter(requests_.back(), "aggregation.alignmentPeriod"), "60s");
      EXPECT_EQ(parameter(requests_.back(), "interval.startTime"),
                format_wall(std::chrono::floor<std::chrono::seconds>(clock_.wall()) - 300s).substr(0, 19) + "Z");
    });
  }
}

TEST_F(MonitoringTest, AThousandSubscriptionsOfAProjectCostOneCallAMinute) {
  for (int i = 0; i < 1000; ++i) {
    backlogs_[fmt::format("s{}", i)] = i;
  }
  run([&]() -> aio::Task<void> {
    // An HPA each 15 s for each of them, one after the other, for ten minutes.
    const Time end = clock_.now() + 10min;
    int wrong = 0;
    while (clock_.now() < end) {
      const Time round = clock_.now();
      for (int i = 0; i < 1000; ++i) {
        const std::string got = co_await count(fmt::format("s{}", i));
        wrong += got == fmt::format("{}", i) ? 0 : 1;
      }
      co_await clock_.sleep_until(round + 15s);
    }
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(descriptors_, 1);
    EXPECT_LE(lists_, 12);
    EXPECT_GE(lists_, 10);
    fmt::print(stderr, "calls in 10 minutes for 1,000 subscriptions: {} lists, {} descriptors\n", lists_, descriptors_);
    EXPECT_EQ(monitoring_->questions(), 1U);
  });
}

TEST_F(MonitoringTest, AsksByNameWhereTheProjectHasManyMoreSubscriptionsThanAreWanted) {
  for (int i = 0; i < 5000; ++i) {
    backlogs_[fmt::format("other{}", i)] = 1;
  }
  for (int i = 0; i < 150; ++i) {
    backlogs_[fmt::format("s{}", i)] = i;
  }
  page_ = 1000;
  run([&]() -> aio::Task<void> {
    aio::TaskGroup many(loop_, clock_);
    int good = 0;
    const auto one = [&](int i) -> aio::Task<void> {
      const std::string got = co_await count(fmt::format("s{}", i));
      good += got == fmt::format("{}", i) ? 1 : 0;
    };
    for (int i = 0; i < 150; ++i) {
      many.spawn(one(i));
    }
    co_await many.join();
    EXPECT_EQ(good, 150);
    lists_ = 0;
    for (int minute = 0; minute < 5; ++minute) {
      co_await clock_.sleep_for(60s);
      const std::string got = co_await count("s7");
      EXPECT_EQ(got, "7");
    }
    EXPECT_LE(lists_, 10);
    EXPECT_THAT(parameter(requests_.back(), "filter"), HasSubstr("= one_of(\""));
    const std::string late = co_await count("other17");
    EXPECT_EQ(late, "1");
  });
}

TEST_F(MonitoringTest, IdenticalQuestionsAreOneWhateverTheyAreWrittenLike) {
  takes_ = 500ms;
  run([&]() -> aio::Task<void> {
    aio::TaskGroup many(loop_, clock_);
    int good = 0;
    const auto one = [&](std::string metric) -> aio::Task<void> {
      const Selector sum{{"reducer", Op::equals, {"REDUCE_SUM"}}};
      const Result<std::vector<Point>> points = co_await read(sum, std::move(metric));
      good += points ? 1 : 0;
    };
    for (int i = 0; i < 30; ++i) {
      many.spawn(one(i % 3 == 0   ? backlog
                     : i % 3 == 1 ? "PubSub.googleapis.com|subscription|Num_Undelivered_Messages"
                                  : "pubsub.googleapis.com/subscription/num_undelivered_messages"));
    }
    co_await many.join();
    EXPECT_EQ(good, 30);
    EXPECT_EQ(requests_.size(), 2U);
    EXPECT_EQ(monitoring_->questions(), 1U);
  });
}

TEST_F(MonitoringTest, EachTroubleHasItsOwnLineWithTheRemedy) {
  struct Case {
    const char* name;
    Response response;
    Code code;
    const char* says;
  };
  options_.api.account = [] { return std::string("service account a@b"); };
  const std::vector<Case> cases{
      {"unknown", json("{}", 404), Code::gone,
       R"(the server could not find the descriptor for metric "pubsub.googleapis.com/subscription/num_undelivered_messages")"},
      {"permission", json(R"({"error":{"status":"PERMISSION_DENIED","message":"S3CR3T"}})", 403), Code::denied,
       "no permission to read Cloud Monitoring of project shop (status 403): grant roles/monitoring.viewer in it to "
       "service account a@b"},
      {"off", json(R"({"error":{"details":[{"reason":"SERVICE_DISABLED"}]}})", 403), Code::denied,
       "gcloud services enable monitoring.googleapis.com --project shop"},
      {"quota", json(R"({"error":{"status":"RESOURCE_EXHAUSTED"}})", 429), Code::throttled,
       "the quota of Cloud Monitoring in project shop is used up (status 429)"},
      {"quota as 403", json(R"({"error":{"details":[{"reason":"RATE_LIMIT_EXCEEDED"}]}})", 403), Code::throttled,
       "quota"},
      {"token", json("{}", 401), Code::denied, "does not accept the token of service account a@b (status 401)"},
      {"trouble", json("S3CR3T", 503), Code::retry, "Cloud Monitoring answers with status 503"},
      {"filter", json("S3CR3T", 400), Code::invalid, "refuses the question (status 400)"},
      {"redirect", {.status = 302, .headers = {{"Location", "http://evil/"}}}, Code::invalid, "status 302"},
      {"distribution", json(R"({"metricKind":"DELTA","valueType":"DISTRIBUTION"})"), Code::invalid,
       "Distributions are not supported"},
      {"no JSON", json("S3CR3T"), Code::invalid, "no JSON that can be read"},
  };
  for (const Case& one : cases) {
    answer_ = [&](const Request&) { return one.response; };
    run([&]() -> aio::Task<void> {
      const Error error = co_await failure("orders");
      EXPECT_EQ(error.code, one.code) << one.name << ": " << error.what;
      EXPECT_THAT(error.what, AllOf(HasSubstr(one.says), Not(HasSubstr("S3CR3T")), Not(HasSubstr("\n"))));
    });
  }
  answer_ = [this](const Request& request) { return serve(request); };
  down_ = true;
  run([&]() -> aio::Task<void> {
    const Error error = co_await failure("orders");
    EXPECT_EQ(error.code, Code::retry);
    EXPECT_THAT(error.what, HasSubstr("Cloud Monitoring is out of reach: "));
  });
  down_ = false;
  run([&]() -> aio::Task<void> {
    const Error error = co_await failure("nobody");
    EXPECT_EQ(error.code, Code::gone);
    EXPECT_EQ(error.what,
              "no series: project shop has no subscription nobody, or it is new and has no data yet, or had none for "
              "5 min");
  });
  tokens_->answer = Error{Code::denied, "Google credentials: no key"};
  run([&]() -> aio::Task<void> {
    const Error error = co_await failure("orders");
    EXPECT_EQ(error, (Error{Code::denied, "Google credentials: no key"}));
  });
  EXPECT_THAT(hosts_, testing::Each("127.0.0.1"));
}

TEST_F(MonitoringTest, ServesTheLastValueWithItsTimeUntilItIsTooOldAndRecovers) {
  run([&]() -> aio::Task<void> {
    std::string got = co_await count("orders");
    EXPECT_EQ(got, "42");
    answer_ = [](const Request&) { return json("{}", 429); };
    // The point is 120 s old; it serves for 180 s more.
    const Time stale_at = clock_.now() + 180s;
    std::size_t asked = requests_.size();
    while (clock_.now() < stale_at - 5s) {
      got = co_await count("orders");
      EXPECT_EQ(got, "42");
      co_await clock_.sleep_for(5s);
    }
    co_await clock_.sleep_for(15s);
    const Error error = co_await failure("orders");
    EXPECT_EQ(error.code, Code::retry);
    EXPECT_THAT(error.what, AllOf(testing::StartsWith("stale: the newest point ended 5 min "),
                                  HasSubstr("ago, which is more than 5 min: the quota of Cloud Monitoring")));
    EXPECT_LE(requests_.size() - asked, 15U) << "with backoff";
    backlogs_["orders"] = 7;
    answer_ = [this](const Request& request) { return serve(request); };
    for (int i = 0; i < 70; ++i) {  // the backoff ends within 5 minutes
      co_await clock_.sleep_for(5s);
      got = co_await count("orders");
    }
    EXPECT_EQ(got, "7");
  });
}

TEST_F(MonitoringTest, SaysHowOldThePointIsOfASubscriptionThatStoppedReporting) {
  run([&]() -> aio::Task<void> {
    std::string got = co_await count("orders");
    EXPECT_EQ(got, "42");
    backlogs_.clear();
    backlogs_["another"] = 1;
    for (int i = 0; i < 40; ++i) {
      co_await clock_.sleep_for(10s);
      got = co_await count("orders");
    }
    EXPECT_THAT(got, AllOf(testing::StartsWith("stale: the newest point ended 8 min "),
                           HasSubstr("Cloud Monitoring has no newer one")));
  });
}

TEST_F(MonitoringTest, KeepsAskingWhileSomebodyWantsItAndForgetsWhatNobodyDoes) {
  run([&]() -> aio::Task<void> {
    co_await count("orders");
    co_await clock_.sleep_for(4min);
    EXPECT_GE(lists_, 4);
    const Time before = clock_.now();
    const std::string got = co_await count("orders");
    EXPECT_EQ(clock_.now(), before) << "from memory";
    EXPECT_EQ(got, "42");
    co_await clock_.sleep_for(7min);
    EXPECT_EQ(monitoring_->questions(), 0U);
    const int asked = lists_;
    co_await clock_.sleep_for(30min);
    EXPECT_EQ(lists_, asked);
  });
}

TEST_F(MonitoringTest, BoundsWhatItIsAskedFor) {
  options_.questions_max = 3;
  options_.subscriptions_max = 5;
  run([&]() -> aio::Task<void> {
    for (int i = 0; i < 5; ++i) {
      co_await count(fmt::format("s{}", i));
    }
    Error error = co_await failure("s5");
    EXPECT_EQ(error.code, Code::throttled);
    EXPECT_EQ(error.what, "more than 5 subscriptions of project shop are asked for");
    for (int i = 0; i < 2; ++i) {
      const Selector own{{"metric.labels.a", Op::equals, {fmt::format("{}", i)}}};
      const auto points = co_await read(own);
      EXPECT_FALSE(points) << "the test has no such label";
    }
    const Result<std::vector<Point>> more = co_await read({{"metric.labels.a", Op::equals, {"3"}}});
    EXPECT_EQ(more.error().code, Code::throttled);
    EXPECT_EQ(more.error().what, "more than 3 different questions to Cloud Monitoring at once");
  });
}

TEST_F(MonitoringTest, StaysWithinTheCallsOfAProject) {
  options_.api.calls_per_minute = 60;
  run([&]() -> aio::Task<void> {
    aio::TaskGroup many(loop_, clock_);
    std::set<std::string> errors;
    const auto one = [&](int i) -> aio::Task<void> {
      const Selector own{{"metric.labels.a", Op::equals, {fmt::format("{}", i)}}};
      const Result<std::vector<Point>> points = co_await monitoring_->read(backlog, own, clock_.in(30s));
      errors.insert(points ? "" : points.error().what);
    };
    for (int i = 0; i < 200; ++i) {
      many.spawn(one(i));
    }
    co_await many.join();
    EXPECT_LE(requests_.size(), 30U + 30U + 1U);
    EXPECT_THAT(errors,
                testing::Contains(HasSubstr("more than 60 calls a minute to Cloud Monitoring of project shop")));
  });
}

TEST_F(MonitoringTest, ShowsAnotherTokenAfterOneThatWasRefused) {
  answer_ = [this](const Request& request) {
    const bool second = aio::http::header(request.headers, "Authorization") == "Bearer second";
    return second ? serve(request) : json("{}", 401);
  };
  run([&]() -> aio::Task<void> {
    const std::string got = co_await count("orders");
    EXPECT_EQ(got, "42");
    EXPECT_EQ(tokens_->refused_with, "S3CR3T-canary");
  });
}

TEST_F(MonitoringTest, SendsNoTokenInTheClearButToItself) {
  run([&]() -> aio::Task<void> {
    options_.api.endpoint = "http://monitoring.example";
    CloudMonitoring other(loop_, clock_, tokens_, options_);
    Result<std::vector<Point>> points = co_await other.read(backlog, {}, clock_.in(5s));
    EXPECT_EQ(points.error().code, Code::invalid);
    EXPECT_THAT(points.error().what, HasSubstr("a token is not sent in the clear"));
    EXPECT_TRUE(requests_.empty());
    CloudMonitoring without(loop_, clock_, std::make_shared<NoToken>(), options_);
    points = co_await without.read(backlog, {}, clock_.in(5s));
    EXPECT_TRUE(points);
    EXPECT_EQ(aio::http::header(requests_.back().headers, "Authorization"), std::nullopt);
  });
}

}  // namespace
}  // namespace sluice::gcp
