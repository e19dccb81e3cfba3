// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <vector>

#include "gcp/testing_monitoring.h"

namespace sluice::gcp {
namespace {

using testing::HasSubstr;

TEST_F(MonitoringTest, SaysWhetherASubscriptionWithoutDataIsThereWherePubSubTells) {
  std::map<std::string, int> asked;
  options_.has_subscription = [&](std::string project, std::string name, aio::Deadline) -> aio::Task<Result<bool>> {
    EXPECT_EQ(project, "shop");
    ++asked[name];
    if (name == "secret") {
      co_return Error{Code::denied, "S3CR3T"};
    }
    co_return name == "new";
  };
  run([&]() -> aio::Task<void> {
    for (int i = 0; i < 3; ++i) {
      const std::string count_there = co_await count("orders");
      EXPECT_EQ(count_there, "42");
      const Error nobody = co_await failure("nobody");
      EXPECT_EQ(nobody, (Error{Code::gone,
                               "no such subscription: nobody in project shop: gcloud pubsub subscriptions create "
                               "nobody --project=shop --topic=TOPIC"}));
      const Error young = co_await failure("new");
      EXPECT_EQ(young, (Error{Code::gone,
                              "no data yet: subscription new of project shop is there, and Cloud Monitoring has no "
                              "sample of it in the last 5 min; the first one takes some minutes"}));
      const Error unknown = co_await failure("secret");
      EXPECT_THAT(unknown.what, HasSubstr("no series: project shop has no subscription secret, or it is new"));
    }
    EXPECT_THAT(asked,
                testing::ElementsAre(testing::Pair("new", 1), testing::Pair("nobody", 1), testing::Pair("secret", 1)));
    co_await clock_.sleep_for(61s);
    co_await failure("nobody");
    EXPECT_EQ(asked["nobody"], 2);
  });
}

TEST_F(MonitoringTest, EveryReplicaAsksAtTheSameMomentsWheneverItBegan) {
  std::vector<WallTime> asked;
  answer_ = [&](const Request& request) {
    if (request.target.find("/timeSeries") != std::string::npos) {
      asked.push_back(clock_.wall());
    }
    return serve(request);
  };
  run([&]() -> aio::Task<void> {
    co_await clock_.sleep_for(7s);
    co_await count("orders");
    co_await clock_.sleep_for(23s);
    CloudMonitoring other(loop_, clock_, tokens_, options_);
    const auto there = co_await other.read(backlog, subscription("orders"), clock_.in(5s));
    EXPECT_TRUE(there);
    co_await clock_.sleep_for(150s);
  });
  // The first one of each when it began, and then both together each minute.
  EXPECT_GE(asked.size(), 6U);
  std::ranges::sort(asked);
  std::map<std::int64_t, int> together;
  for (const WallTime at : asked) {
    ++together[at.time_since_epoch() / 1ms];
  }
  EXPECT_EQ(std::ranges::count_if(together, [](const auto& one) { return one.second == 2; }), 2);
  EXPECT_EQ(together.size(), asked.size() - 2);
}

}  // namespace
}  // namespace sluice::gcp
