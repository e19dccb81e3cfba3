// SPDX-License-Identifier: Apache-2.0
#include "gcp/series.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace sluice::gcp {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

std::string series(std::string_view value, std::string_view end = "2026-01-31T14:02:00Z") {
  return fmt::format(
      R"({{"timeSeries":[{{"metric":{{"type":"x/y","labels":{{"kind":"push"}}}},"resource":{{"type":"pubsub_subscription",)"
      R"("labels":{{"project_id":"shop","subscription_id":"orders"}}}},"metricKind":"GAUGE","valueType":"INT64","points":[)"
      R"({{"interval":{{"startTime":"{}","endTime":"{}"}},"value":{}}},)"
      R"({{"interval":{{"endTime":"2026-01-31T14:01:00Z"}},"value":{{"int64Value":"1"}}}}]}}],"unit":"1"}})",
      end, end, value);
}

TEST(Series, GiveTheNewestPointWithItsTimeAndLabels) {
  const auto page = parse_series(series(R"({"int64Value":"1234"})"));
  ASSERT_TRUE(page) << page.error().what;
  ASSERT_EQ(page->points.size(), 1U);
  EXPECT_EQ(page->points_n, 2U);
  EXPECT_EQ(page->next, "");
  const Point& point = page->points[0];
  EXPECT_EQ(point.milli, 1'234'000);
  EXPECT_EQ(format_wall(point.ended_at), "2026-01-31T14:02:00.000Z");
  EXPECT_THAT(point.labels, ElementsAre(Pair("metric.labels.kind", "push"), Pair("resource.labels.project_id", "shop"),
                                        Pair("resource.labels.subscription_id", "orders"),
                                        Pair("resource.type", "pubsub_subscription")));
}

TEST(Series, ReadNumbersAsTheStackdriverAdapterDoes) {
  struct Case {
    const char* value;
    std::int64_t milli;
  };
  for (const Case& one :
       {Case{R"({"int64Value":"0"})", 0}, Case{R"({"int64Value":"-3"})", -3000}, Case{R"({"int64Value":7})", 7000},
        Case{R"({"doubleValue":1.2345})", 1234}, Case{R"({"doubleValue":-1.2345})", -1234},
        Case{R"({"doubleValue":2})", 2000}, Case{R"({"doubleValue":0.0009})", 0},
        Case{R"({"int64Value":"9223372036854775"})", 9'223'372'036'854'775'000}}) {
    const auto page = parse_series(series(one.value));
    ASSERT_TRUE(page) << one.value << ": " << page.error().what;
    EXPECT_EQ(page->points[0].milli, one.milli) << one.value;
  }
}

TEST(Series, NeverGuessAValue) {
  const std::string number = "Expected metric of type DoubleValue or Int64Value, but received TypedValue: ";
  struct Case {
    std::string body;
    std::string says;
  };
  for (const Case& one : {
           Case{series(R"({"boolValue":true})"), number + "boolValue"},
           Case{series(R"({"stringValue":"S3CR3T"})"), number + "stringValue"},
           Case{series(R"({"distributionValue":{"count":"3"}})"), number + "distributionValue"},
           Case{series("{}"), "a point without a value"},
           Case{series("null"), "a point without a value"},
           Case{series(R"({"int64Value":"S3CR3T"})"), "int64Value: not a number"},
           Case{series(R"({"int64Value":"1.5"})"), "int64Value: not a number"},
           Case{series(R"({"int64Value":"9223372036854776"})"), "int64Value: not a number, or too large"},
           Case{series(R"({"doubleValue":"NaN"})"), "doubleValue: not a number"},
           Case{series(R"({"doubleValue":1e300})"), "doubleValue: not a number, or too large"},
           Case{series(R"({"int64Value":"1"})", "yesterday"), "interval.endTime is missing, or no time"},
           Case{R"({"timeSeries":[{"points":[]}]})", "Empty time series returned from Stackdriver"},
           Case{R"({"timeSeries":[{}]})", "Empty time series returned from Stackdriver"},
           Case{R"({"timeSeries":[7]})", "Empty time series returned from Stackdriver"},
           Case{R"({"timeSeries":{}})", "timeSeries: no list"},
           Case{R"({"nextPageToken":7})", "nextPageToken: no text"},
           Case{R"([])", "no JSON object"},
           Case{"S3CR3T", "no JSON that can be read"},
           Case{R"({"timeSeries":[],"timeSeries":[]})", "twice"},
           Case{R"({"executionErrors":[{"code":13,"message":"S3CR3T"}]})", "could not answer in full"},
       }) {
    const auto page = parse_series(one.body);
    ASSERT_FALSE(page) << one.body;
    EXPECT_THAT(page.error().what, HasSubstr(one.says));
    EXPECT_THAT(page.error().what, testing::Not(HasSubstr("S3CR3T")));
  }
  EXPECT_TRUE(parse_series("{}")->points.empty());
  EXPECT_EQ(parse_series(R"({"nextPageToken":"p2"})")->next, "p2");
}

TEST(Series, CutDoublesOffAndRefuseWhatIsNone) {
  EXPECT_EQ(milli_of(1.9999), 1999);
  EXPECT_EQ(milli_of(-0.0001), 0);
  EXPECT_EQ(milli_of(std::nan("")), std::nullopt);
  EXPECT_EQ(milli_of(std::numeric_limits<double>::infinity()), std::nullopt);
  EXPECT_EQ(milli_of(-1e18), std::nullopt);
}

TEST(Descriptor, SaysKindAndWhetherItIsADistribution) {
  EXPECT_EQ(parse_descriptor(R"({"metricKind":"GAUGE","valueType":"INT64"})")->kind, Descriptor::Kind::gauge);
  EXPECT_EQ(parse_descriptor(R"({"metricKind":"DELTA","valueType":"INT64"})")->kind, Descriptor::Kind::delta);
  EXPECT_EQ(parse_descriptor(R"({"metricKind":"CUMULATIVE","valueType":"DOUBLE"})")->kind,
            Descriptor::Kind::cumulative);
  EXPECT_TRUE(parse_descriptor(R"({"metricKind":"DELTA","valueType":"DISTRIBUTION"})")->distribution);
  for (const char* bad : {"", "{}", "[]", R"({"metricKind":"GAUGE"})", R"({"metricKind":"gauge","valueType":"INT64"})",
                          R"({"metricKind":7,"valueType":"INT64"})"}) {
    EXPECT_FALSE(parse_descriptor(bad)) << bad;
  }
}

TEST(Refusal, KnowsGooglesReasons) {
  const auto reason = [](const char* body) { return parse_refusal(403, body).reason; };
  EXPECT_EQ(reason(R"({"error":{"code":403,"status":"PERMISSION_DENIED","details":[{"reason":"SERVICE_DISABLED"}]}})"),
            "SERVICE_DISABLED");
  EXPECT_EQ(reason(R"({"error":{"status":"RESOURCE_EXHAUSTED"}})"), "RESOURCE_EXHAUSTED");
  EXPECT_EQ(reason(R"({"error":{"status":"S3CR3T","details":[7,{"reason":7}]}})"), "");
  EXPECT_EQ(reason("<html>"), "");
}

}  // namespace
}  // namespace sluice::gcp
