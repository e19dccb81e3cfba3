// SPDX-License-Identifier: Apache-2.0
#include "external/pools.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "aio/task_group.h"
#include "external/selector.h"
#include "kube/testing_api.h"

namespace sluice::external {
namespace {

using namespace std::chrono_literals;
using serve::PoolStatus;
using testing::HasSubstr;

PoolStatus orders() {
  return {.pool = "shop/orders",
          .state = "grow",
          .ready = PoolStatus::Count{.n = 37},
          .in_flight = PoolStatus::Count{.n = 4},
          .sample_age_ms = 1000,
          .stale_after_ms = 90'000,
          .oldest_age_ms = 12'100,
          .desired = 5,
          .why = "37 messages wait",
          .tick = "ab-7",
          .decided_ms_ago = 900};
}

class PoolsTest : public testing::Test {
 protected:
  static Question question(std::string metric, const std::string& selector = "pool=orders",
                           std::string space = "shop") {
    return {.space = std::move(space),
            .metric = std::move(metric),
            .selector = parse_selector(selector).value(),
            .selector_text = selector};
  }
  void take(const std::vector<PoolStatus>& pools) { pools_.take(serve::Answer{.pools = pools}); }
  std::int64_t milli(const std::string& metric) {
    const Result<std::vector<Item>> items = pools_.values(question(metric));
    EXPECT_TRUE(items && items->size() == 1) << metric;
    return items && items->size() == 1 ? items->front().milli : -1;
  }
  std::string why(const Question& asked) {
    const Result<std::vector<Item>> items = pools_.values(asked);
    return items ? "a value" : items.error().what;
  }
  void pass(Duration time) {
    clock_.run([&]() -> aio::Task<void> { co_await clock_.sleep_for(time); }());
  }

  aio::Loop loop_;
  aio::VirtualClock clock_{loop_};
  Pools pools_{loop_, clock_, PoolsOptions{.url = "http://ctl:7171"}};
};

TEST_F(PoolsTest, ServesEachNumberOfAPool) {
  take({orders()});
  EXPECT_EQ(milli("sluice-backlog"), 41'000);
  EXPECT_EQ(milli("sluice-ready"), 37'000);
  EXPECT_EQ(milli("sluice-in-flight"), 4'000);
  EXPECT_EQ(milli("sluice-oldest-age-seconds"), 12'100);
  EXPECT_EQ(milli("sluice-desired-workers"), 5'000);
  EXPECT_FALSE(pools_.knows("sluice-other"));
  const Item item = pools_.values(question("sluice-ready")).value().front();
  EXPECT_EQ(item.labels, (Labels{{"namespace", "shop"}, {"pool", "orders"}}));
  EXPECT_EQ(item.at, clock_.wall() - 1s) << "when it was read";
}

TEST_F(PoolsTest, TakesTheBrokersOwnTotal) {
  PoolStatus pubsub = orders();
  pubsub.ready.reset();
  pubsub.in_flight.reset();
  pubsub.total = PoolStatus::Count{.n = 100, .approximate = true};
  take({pubsub});
  EXPECT_EQ(milli("sluice-backlog"), 100'000);
  EXPECT_THAT(why(question("sluice-ready")), HasSubstr("sluice-ready of pool shop/orders is not known"));
}

TEST_F(PoolsTest, ShowsANamespaceItsOwnPoolsAlone) {
  PoolStatus other = orders();
  other.pool = "shop-2/orders";
  take({orders(), other});
  EXPECT_EQ(pools_.values(question("sluice-ready", "")).value().size(), 1U);
  EXPECT_EQ(why(question("sluice-ready", "pool=order")),
            "namespace shop has no pool that pool=order selects; pools there: orders");
  EXPECT_EQ(pools_.values(question("sluice-ready", "pool=orders", "bank")).error().code, Code::gone);
}

TEST_F(PoolsTest, AddsNothingUpThatItDoesNotKnow) {
  PoolStatus other = orders();
  other.pool = "shop/mails";
  other.in_flight.reset();
  other.errors = {"connection refused"};
  take({orders(), other});
  EXPECT_EQ(why(question("sluice-backlog", "pool in (orders,mails)")),
            "sluice-backlog of pool shop/mails is not known: connection refused");
}

TEST_F(PoolsTest, KeepsWhatItKnewUntilItIsTooOld) {
  take({orders()});
  pass(30s);
  PoolStatus fresh{.pool = "shop/orders", .state = "new", .why = "the scaler has not decided yet"};
  take({fresh});  // another controller leads now
  EXPECT_EQ(milli("sluice-backlog"), 41'000);
  take({});  // it has not seen the pool yet
  EXPECT_EQ(milli("sluice-backlog"), 41'000);
  pass(50s);
  EXPECT_EQ(milli("sluice-backlog"), 41'000) << "81 s old";
  pools_.failed(Error{Code::retry, "connection refused"});
  pass(10s);
  EXPECT_EQ(why(question("sluice-backlog")),
            "sluice-backlog of pool shop/orders is 91 s old, and counts for 90 s: connection refused");
  pass(31s);
  take({});
  EXPECT_THAT(why(question("sluice-backlog")), HasSubstr("namespace shop has no pool"));
}

TEST_F(PoolsTest, SaysWhyItKnowsNothing) {
  EXPECT_EQ(why(question("sluice-ready")), "the controller at http://ctl:7171 has not answered yet");
  pools_.failed(Error{Code::retry, "connection refused"});
  EXPECT_EQ(why(question("sluice-ready")), "the controller at http://ctl:7171 cannot be asked: connection refused");
}

TEST_F(PoolsTest, AsksAgainWhereAControllerStandsBy) {
  kube::FakeApi fake(loop_, clock_);
  int asked = 0;
  fake.on_request = [&](const std::string&, const std::string& path, const std::string&) {
    EXPECT_EQ(path, "/api/v1/status");
    if (++asked % 2 == 1) {
      return kube::FakeApi::Answer{.status = 503, .body = "stands by"};
    }
    return kube::FakeApi::Answer{.body = serve::to_json(serve::Answer{.pools = {orders()}}, clock_.wall())};
  };
  Pools pools(loop_, clock_, PoolsOptions{.url = "http://ctl:7171", .dial = fake.dial()});
  clock_.run([&]() -> aio::Task<void> {
    aio::TaskGroup group(loop_, clock_);
    group.spawn(pools.run());
    while (!pools.values(question("sluice-ready"))) {
      co_await clock_.sleep_for(10ms);
    }
    EXPECT_EQ(asked, 2);
    fake.set_down(true);
    co_await clock_.sleep_for(200s);
    EXPECT_THAT(pools.values(question("sluice-ready")).error().what, HasSubstr("connection refused"));
    fake.set_down(false);
    co_await clock_.sleep_for(10s);
    EXPECT_TRUE(pools.values(question("sluice-ready")));
    group.cancel();
    co_await group.join();
    co_await fake.stop();
  }());
}

}  // namespace
}  // namespace sluice::external
