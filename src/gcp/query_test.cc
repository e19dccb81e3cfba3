// SPDX-License-Identifier: Apache-2.0
#include "gcp/query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::gcp {
namespace {

using Op = model::SelectorOperator;
using model::Requirement;
using model::Selector;

constexpr const char* backlog = "pubsub.googleapis.com|subscription|num_undelivered_messages";
constexpr const char* type = R"(metric.type = "pubsub.googleapis.com/subscription/num_undelivered_messages")";

// The filter, or the error.
std::string filter(const Selector& selector) {
  const Result<Query> query = make_query(backlog, selector);
  return query ? query->filter : query.error().what;
}

TEST(Query, WritesEachRequirementAsTheStackdriverAdapterDoes) {
  struct Case {
    Requirement requirement;
    std::string term;
  };
  const std::string key = "resource.labels.subscription_id";
  for (const Case& one : {
           Case{{key, Op::equals, {"orders"}}, key + R"( = "orders")"},
           Case{{key, Op::not_equals, {"orders"}}, key + R"( != "orders")"},
           Case{{key, Op::in, {"a"}}, key + R"( = "a")"},
           Case{{key, Op::in, {"a", "b"}}, key + R"( = one_of("a","b"))"},
           Case{{key, Op::not_in, {"a"}}, key + R"( != "a")"},
           Case{{key, Op::not_in, {"a", "b"}}, "NOT " + key + R"( = one_of("a","b"))"},
           Case{{key, Op::exists}, "resource.labels : subscription_id"},
           Case{{"metric.labels.a.b", Op::exists}, "metric.labels : a.b"},
           Case{{"metric.labels.size", Op::greater_than, {"-7"}}, "metric.labels.size > -7"},
           Case{{"metric.labels.size", Op::less_than, {"7"}}, "metric.labels.size < 7"},
           Case{{"metadata.system_labels.x", Op::equals, {"1"}}, R"(metadata.system_labels.x = "1")"},
           Case{{"metadata.user_labels.x", Op::equals, {"1"}}, R"(metadata.user_labels.x = "1")"},
           Case{{"resource.type", Op::equals, {"pubsub_subscription"}}, R"(resource.type = "pubsub_subscription")"},
           Case{{key, Op::equals, {R"(a"b\c)"}}, key + R"( = "a\"b\\c")"},
       }) {
    EXPECT_EQ(filter({one.requirement}), type + (" AND " + one.term));
  }
  EXPECT_EQ(filter({}), type);
  EXPECT_EQ(filter({{"metric.labels.a", Op::equals, {"1"}}, {"metric.labels.b", Op::equals, {"2"}}}),
            type + std::string(R"( AND metric.labels.a = "1" AND metric.labels.b = "2")"));
}

TEST(Query, RefusesInTheStackdriverAdaptersWords) {
  struct Case {
    Requirement requirement;
    const char* error;
  };
  for (const Case& one : {
           Case{{"queue", Op::equals, {"a"}}, R"(Metric label: "queue" is not allowed)"},
           Case{{"queue", Op::not_equals, {"a"}}, R"(Metric label: "queue" is not allowed)"},
           Case{{"queue", Op::in, {"a"}}, R"(Metric label: "queue" is not allowed)"},
           Case{{"queue", Op::not_in, {"a"}}, R"(Metric label: "queue" is not allowed)"},
           Case{{"queue", Op::exists}, R"(Metric label: "queue" is not allowed)"},
           Case{{"queue", Op::greater_than, {"1"}}, R"(Metric label: "queue" is not allowed)"},
           Case{{"resource.type", Op::exists}, R"(Metric label: "resource.type" is not allowed)"},
           Case{{"resource.labels.", Op::equals, {"a"}}, R"(Metric label: "resource.labels." is not allowed)"},
           Case{{"metric.labels.a OR x", Op::equals, {"a"}}, R"(Metric label: "metric.labels.a OR x" is not allowed)"},
           Case{{"queue", Op::does_not_exist}, "Label selector with operator DoesNotExist is not allowed"},
           Case{{"metric.labels.a", Op::does_not_exist}, "Label selector with operator DoesNotExist is not allowed"},
           Case{{"metric.labels.a", Op::greater_than, {"x"}},
                R"(Unexpected error: value "x" could not be parsed to integer)"},
           Case{{"reducer", Op::in, {"REDUCE_SUM"}},
                R"(Metric label: "Reducer must use '=' or '==': You used in" is not allowed)"},
           Case{{"reducer", Op::exists},
                R"(Metric label: "Reducer must use '=' or '==': You used exists" is not allowed)"},
           Case{{"reducer", Op::equals, {"SUM"}},
                R"(Metric label: "Specified reducer is not supported: SUM" is not allowed)"},
           Case{{"resource.labels.project_id", Op::in, {"shop"}},
                R"(Metric label: "Project selector must use '=' or '==': You used in" is not allowed)"},
           Case{{"resource.labels.project_id", Op::not_equals, {"shop"}},
                R"(Metric label: "Project selector must use '=' or '==': You used !=" is not allowed)"},
           Case{{"resource.labels.project_id", Op::equals, {"a/../b"}}, R"("a/../b" is not the id of a project)"},
           Case{{"resource.labels.project_id", Op::equals, {".."}}, R"(".." is not the id of a project)"},
       }) {
    const Result<Query> query = make_query(backlog, {one.requirement});
    ASSERT_FALSE(query) << one.error;
    EXPECT_EQ(query.error().code, Code::invalid);
    EXPECT_EQ(query.error().what, one.error);
  }
}

TEST(Query, TakesTheProjectFromTheSelectorAndKeepsItInTheFilter) {
  const auto query = make_query(backlog, {{"resource.labels.project_id", Op::equals, {"shop-1"}}});
  ASSERT_TRUE(query);
  EXPECT_EQ(query->project, "shop-1");
  EXPECT_EQ(query->filter, type + std::string(R"( AND resource.labels.project_id = "shop-1")"));
  EXPECT_EQ(make_query(backlog, {})->project, "");
}

TEST(Query, TakesEveryReducerOutOfTheFilter) {
  for (const char* reducer :
       {"REDUCE_NONE", "REDUCE_MEAN", "REDUCE_MIN", "REDUCE_MAX", "REDUCE_SUM", "REDUCE_STDDEV", "REDUCE_COUNT",
        "REDUCE_COUNT_TRUE", "REDUCE_COUNT_FALSE", "REDUCE_FRACTION_TRUE", "REDUCE_PERCENTILE_99",
        "REDUCE_PERCENTILE_95", "REDUCE_PERCENTILE_50", "REDUCE_PERCENTILE_05"}) {
    const auto query = make_query(backlog, {{"reducer", Op::equals, {reducer}}});
    ASSERT_TRUE(query);
    EXPECT_EQ(query->reducer, reducer);
    EXPECT_EQ(query->filter, type);
  }
}

TEST(Query, IsSharedOnlyWhereItAsksForASubscriptionAndNothingElse) {
  const Requirement orders{"resource.labels.subscription_id", Op::equals, {"orders"}};
  const Requirement project{"resource.labels.project_id", Op::equals, {"shop"}};
  const auto subscription = [](const Selector& selector) { return make_query(backlog, selector)->subscription; };
  EXPECT_EQ(subscription({orders}), "orders");
  EXPECT_EQ(subscription({project, orders}), "orders");
  EXPECT_EQ(subscription({}), std::nullopt);
  EXPECT_EQ(subscription({project}), std::nullopt);
  EXPECT_EQ(subscription({{"reducer", Op::equals, {"REDUCE_SUM"}}, orders}), std::nullopt);
  EXPECT_EQ(subscription({{"metric.labels.a", Op::equals, {"1"}}, orders}), std::nullopt);
  EXPECT_EQ(subscription({orders, {orders.key, Op::equals, {"others"}}}), std::nullopt);
  EXPECT_EQ(subscription({{orders.key, Op::in, {"orders", "others"}}}), std::nullopt);
  EXPECT_EQ(subscription({{orders.key, Op::not_equals, {"orders"}}}), std::nullopt);
  EXPECT_EQ(subscription({project, {project.key, Op::equals, {"other"}}, orders}), std::nullopt);
}

TEST(Query, RefusesWhatIsNoMetricType) {
  EXPECT_EQ(make_query("a.googleapis.com|b/c", {})->metric, "a.googleapis.com/b/c");
  for (const char* bad : {"", "backlog", "|a", "a|", "a||b", "a|..|b", "a|.|b", "a|b c", "a|b?c", "a|b#c", "a|b%2e",
                          "a|b\"c", "a|b\r\nc"}) {
    const auto query = make_query(bad, {});
    ASSERT_FALSE(query) << bad;
    EXPECT_THAT(query.error().what, testing::HasSubstr("is not a metric type; accepted: a.googleapis.com|b|c"));
    EXPECT_THAT(query.error().what, testing::Not(testing::HasSubstr("\n")));
  }
  EXPECT_FALSE(make_query(std::string(2000, 'a') + "/b", {}));
}

TEST(Query, BoundsItsFilter) {
  Requirement many{"resource.labels.subscription_id", Op::in, {}};
  for (int i = 0; i < 200; ++i) {
    many.values.push_back(std::string(60, 'a'));
  }
  EXPECT_EQ(make_query(backlog, {many}).error().what, "the selector is longer than 8192 bytes as a filter");
}

}  // namespace
}  // namespace sluice::gcp
