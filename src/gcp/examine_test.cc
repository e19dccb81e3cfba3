// SPDX-License-Identifier: Apache-2.0
#include "gcp/examine.h"

#include <gmock/gmock.h>

#include "gcp/cloud_monitoring.h"
#include "gcp/testing_google.h"

namespace sluice::gcp {
namespace {

using namespace std::chrono_literals;
using aio::http::Request;
using aio::http::Response;
using testing::ElementsAre;

constexpr const char* one_series =
    R"({"timeSeries":[{"metric":{},"resource":{"type":"pubsub_subscription","labels":{"subscription_id":"orders"}},)"
    R"("points":[{"interval":{"endTime":"2025-12-31T23:58:30Z"},"value":{"int64Value":"3"}}]}]})";
constexpr const char* gauge = R"({"metricKind":"GAUGE","valueType":"INT64"})";

class ExamineTest : public GoogleTest {
 protected:
  // Topic and level as a word each, and the text.
  std::vector<std::string> findings(const std::string& subscription = "") {
    std::vector<std::string> out;
    std::shared_ptr<Credentials> credentials;
    std::unique_ptr<MonitoringApi> api;
    const auto body = [&]() -> aio::Task<void> {
      credentials = std::make_shared<Credentials>(loop_, clock_, CredentialsOptions{.dial = dial()});
      MonitoringApiOptions options{.endpoint = "http://127.0.0.1:9", .dial = dial()};
      options.account = [&] { return credentials->account(); };
      api = std::make_unique<MonitoringApi>(loop_, clock_, credentials, options);
      const std::vector<Finding> all =
          co_await examine(clock_, credentials, *api, {.subscription = subscription}, clock_.in(20s));
      for (const Finding& one : all) {
        constexpr std::array topics{"credentials", "project", "monitoring", "permission", "metric"};
        constexpr std::array levels{"ok", "warning", "failed"};
        out.push_back(fmt::format("{} {}: {}", topics[static_cast<std::size_t>(one.topic)],
                                  levels[static_cast<std::size_t>(one.level)], one.text));
      }
    };
    run(body, [&] {
      api.reset();
      credentials.reset();
    });
    return out;
  }
  // A metadata server, and a Cloud Monitoring that answers so.
  void serve(const Response& descriptor, const Response& list) {
    answer_ = [descriptor, list](const Request& request) {
      Response out = request.target.ends_with("/token")                         ? token_answer("m1")
                     : request.target.ends_with("/email")                       ? Response{.body = "a@b"}
                     : request.target.ends_with("/project-id")                  ? Response{.body = "shop"}
                     : request.target.find("/timeSeries?") != std::string::npos ? list
                                                                                : descriptor;
      out.headers.emplace_back("Metadata-Flavor", "Google");
      return out;
    };
  }
};

TEST_F(ExamineTest, SaysWhatIsFoundWhereAllIsWell) {
  serve(json(gauge), json(one_series));
  EXPECT_THAT(findings("orders"),
              ElementsAre("credentials ok: credentials from the metadata server 169.254.169.254: a token for service "
                          "account a@b",
                          "project ok: project shop", "monitoring ok: Cloud Monitoring answers for project shop",
                          "metric ok: pubsub.googleapis.com/subscription/num_undelivered_messages has data of "
                          "subscription orders, 90 s old"));
}

TEST_F(ExamineTest, StopsAtWhatFailsAndNamesIt) {
  serve(json("{}", 403), json("{}"));
  EXPECT_THAT(findings().back(),
              "permission failed: no permission to read Cloud Monitoring of project shop (status "
              "403): grant roles/monitoring.viewer in it to service account a@b");
  serve(json("{}", 404), json("{}"));
  EXPECT_THAT(findings().back(), testing::StartsWith("metric failed: the server could not find the descriptor"));
  serve(json(gauge), json("{}"));
  EXPECT_THAT(findings("orders").back(),
              "metric warning: no series of pubsub.googleapis.com/subscription/num_undelivered_messages for "
              "subscription orders in the last 5 min");
  serve(json(gauge), json("{}", 500));
  EXPECT_THAT(findings().back(), "monitoring failed: Cloud Monitoring answers with status 500");
  down_ = true;
  EXPECT_THAT(findings(), ElementsAre(testing::StartsWith(
                              "credentials failed: Google credentials: the metadata server 169.254.169.254: ")));
}

TEST(MonitoringFaults, EndInAnErrorOrInTheRightNumberWhateverStepBreaks) {
  const std::size_t steps = aio::for_each_failure([&](aio::Faults& faults) {
    aio::Loop loop;
    aio::VirtualClock clock(loop);
    aio::TaskGroup group(loop, clock);
    const auto handler = [](Request request) -> aio::Task<Response> {
      co_return json(request.target.find("/timeSeries?") != std::string::npos ? one_series : gauge);
    };
    aio::http::Server server(loop, clock, handler, {});
    CloudMonitoringOptions options;
    options.api.endpoint = "http://127.0.0.1:9";
    options.project = [](aio::Deadline) -> aio::Task<Result<std::string>> { co_return std::string("shop"); };
    options.api.dial = [&](const aio::Url&, aio::Deadline deadline) -> aio::Task<Result<std::unique_ptr<aio::Stream>>> {
      const Result<void> there = co_await aio::connect_step(faults, clock, deadline);
      if (!there) {
        co_return there.error();
      }
      aio::StreamPair pair = aio::stream_pair(clock);
      group.spawn(server.serve(std::move(pair.second), ""));
      co_return aio::with_faults(std::move(pair.first), faults, clock);
    };
    const auto main = [&]() -> aio::Task<void> {
      auto monitoring = std::make_unique<CloudMonitoring>(loop, clock, std::make_shared<NoToken>(), options);
      const model::Selector orders{{"resource.labels.subscription_id", model::SelectorOperator::equals, {"orders"}}};
      const std::string metric = "pubsub.googleapis.com|subscription|num_undelivered_messages";
      Result<std::vector<Point>> points = co_await monitoring->read(metric, orders, clock.in(15s));
      if (!points) {
        EXPECT_EQ(points.error().code, Code::retry) << points.error().what;
        co_await clock.sleep_for(5s);
        points = co_await monitoring->read(metric, orders, clock.in(15s));
      }
      EXPECT_TRUE(points && points->front().milli == 3000) << (points ? "" : points.error().what);
      monitoring.reset();
      co_await clock.sleep_for(15s);
      group.cancel();
      co_await group.join();
    };
    clock.run(main());
  });
  EXPECT_GE(steps, 5U);
}

}  // namespace
}  // namespace sluice::gcp
