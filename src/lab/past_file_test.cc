// SPDX-License-Identifier: Apache-2.0
#include "lab/past_file.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lab/replay.h"

namespace sluice::lab {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

using namespace std::chrono_literals;

Past csv(const std::string& text, const FileWishes& wishes = {}) {
  const Result<Past> past = parse_past_csv(text, "orders.csv", wishes);
  EXPECT_TRUE(past) << past.error().what;
  return past ? *past : Past{};
}

std::string wrong_csv(const std::string& text) {
  const Result<Past> past = parse_past_csv(text, "orders.csv", {});
  EXPECT_FALSE(past) << text;
  return past ? "" : past.error().what;
}

TEST(PastFile, CountsBelongToTheTimeFromTheirLineToTheNext) {
  const Past past =
      csv("\xef\xbb\xbfTime,Backlog,Arrivals,Replicas,region\r\n\"100\",7,20,2,\"a,b\"\r\n110,9,30,2,x\n");
  const auto arrivals = past_arrivals(past, std::nullopt);
  ASSERT_TRUE(arrivals) << arrivals.error().what;
  EXPECT_EQ(arrivals->first, 7);
  EXPECT_EQ(arrivals->messages, 7 + 20 + 30);
  EXPECT_EQ(arrivals->lasts, 20s);
  EXPECT_EQ(past.pool, "orders");
  EXPECT_THAT(past.notes.front(), "orders.csv: columns Time, Backlog, Arrivals, Replicas; not used: region");
}

TEST(PastFile, ARateIsTimesTheIntervalAndPartsOfMessagesAreNotLost) {
  const auto arrivals = past_arrivals(csv("time,arrival_rate\n0,0.25\n1,0.25\n2,0.25\n3,0.25\n10,1\n"), std::nullopt);
  ASSERT_TRUE(arrivals);
  EXPECT_EQ(arrivals->messages, 1 + 1 + 1 + 7 - 1 + 1);  // 0.25 x 3, 0.25 x 7, 1 x 7: 9.5
}

TEST(PastFile, TimesAreTakenInEachForm) {
  for (const std::string text :
       {"1767225600\n1767225610", "1767225600000\n1767225610000", "2026-01-01T00:00:00Z\n2026-01-01T00:00:10Z",
        "2026-01-01 00:00:00\n2026-01-01 00:00:10.000", "2026-01-01T02:00:00+02:00\n2025-12-31T23:00:10-01:00"}) {
    const Past past =
        csv("time,arrivals\n" + text.substr(0, text.find('\n')) + ",1\n" + text.substr(text.find('\n') + 1) + ",1\n");
    ASSERT_EQ(past.looks.size(), 3U) << text;
    EXPECT_EQ(past.looks[0].at_ms, 1'767'225'600'000) << text;
    EXPECT_EQ(past.looks[1].at_ms, 1'767'225'610'000) << text;
  }
}

TEST(PastFile, ALineForEachMessageIsExactAndTellsServices) {
  const Past past = csv("arrived,service\n12.5,2\n10,1500ms\n10,1\n");
  const auto arrivals = past_arrivals(past, std::nullopt);
  ASSERT_TRUE(arrivals);
  EXPECT_EQ(arrivals->messages, 3);
  std::vector<std::int64_t> at;
  for (const Bin& bin : arrivals->bins) {
    if (bin.arrivals > 0) {
      at.push_back(to_ms(bin.at));
    }
  }
  EXPECT_THAT(at, ElementsAre(2, 2502));
  EXPECT_THAT(past.services_ms, ElementsAre(1000, 1500, 2000));
  EXPECT_EQ(past_service(past)->mean, 1500ms);
  const auto made = replayable(past, {});
  ASSERT_TRUE(made) << made.error().what;
  EXPECT_EQ(made->scenario.pools.front().service.unit, 1ms);
}

TEST(PastFile, ABacklogAloneIsEstimatedOnlyWithServiceAndWorkersAndSaysSo) {
  const std::string text = "time,backlog\n0,0\n10,40\n20,60\n30,20\n40,0\n";
  const auto refused = replayable(csv(text), {.service = 2s});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().what, HasSubstr("--service TIME and --workers N"));
  EXPECT_THAT(replayable(csv(text, {.workers = 4}), {}).error().what, HasSubstr("--service TIME"));
  const auto made = replayable(csv(text, {.workers = 4}), {.service = 2s});
  ASSERT_TRUE(made) << made.error().what;
  EXPECT_THAT(made->assumed, Contains(HasSubstr("ESTIMATED from the backlog alone")));
  EXPECT_THAT(made->assumed, Contains("4 workers were there all the time, as you say"));
  std::int64_t messages = 0;
  for (const Bin& bin : made->files.traces.at("record")) {
    messages += bin.arrivals;
  }
  // Each 10 s four workers finish 20; where they begin or end, half of it: 40 + 10, 20 + 20, -40 + 20, -20 + 10.
  EXPECT_EQ(messages, 50 + 40);
}

TEST(PastFile, MistakesAreToldWithLineColumnAndWhatIsAccepted) {
  EXPECT_THAT(wrong_csv(""), HasSubstr("orders.csv: no header line; accepted: a line with `time`"));
  EXPECT_THAT(wrong_csv("when,what\n1,2\n"), StartsWith("orders.csv:1: header: none of the known columns; accepted: "));
  EXPECT_THAT(wrong_csv("time,workers\n1,2\n"), StartsWith("orders.csv:1: header: "));
  EXPECT_THAT(wrong_csv("time,arrivals,arrival_rate\n1,2,3\n"), StartsWith("orders.csv:1: header: "));
  EXPECT_THAT(wrong_csv("time,ready,backlog\n1,2,3\n"), HasSubstr("orders.csv:1: backlog: a second column"));
  EXPECT_THAT(wrong_csv("time,backlog\n1,2\n# a remark\n\nsoon,3\n"),
              StartsWith("orders.csv:5: time: soon; accepted: seconds, milliseconds since 1970, or 2026-01-31T"));
  EXPECT_THAT(wrong_csv("time,backlog\n5,2\n5,3\n"), StartsWith("orders.csv:3: time: 5; accepted: "));
  EXPECT_THAT(wrong_csv("time,backlog\n5,-2\n"), StartsWith("orders.csv:2: backlog: -2; accepted: a number from 0"));
  EXPECT_THAT(wrong_csv("time,arrivals\n5\n"), StartsWith("orders.csv:2: arrivals: empty; accepted: a number from 0"));
  EXPECT_THAT(wrong_csv("time,backlog\n5,1\n"), HasSubstr("fewer than 2 lines"));
  EXPECT_THAT(wrong_csv("arrived,service\n5,long\n"), StartsWith("orders.csv:2: service: long; accepted: seconds"));
}

std::string series(const std::string& labels, const std::string& values) {
  return fmt::format(R"({{"metric":{{{}}},"values":[{}]}})", labels, values);
}
std::string answer(const std::string& all) {
  return R"({"status":"success","data":{"resultType":"matrix","result":[)" + all + "]}}";
}

TEST(PastFile, PrometheusSeriesAreKnownByNameAndCountersMayBeginAnew) {
  PrometheusReader reader;
  const std::string queue = R"(,"queue":"orders","vhost":"/")";
  ASSERT_TRUE(reader.take(
      answer(series(R"("__name__":"rabbitmq_queue_messages_ready")" + queue, R"([100,"5"],[115.5,"NaN"],[130,"8"])") +
             "," +
             series(R"("__name__":"rabbitmq_detailed_queue_messages_published_total","channel":"a")" + queue,
                    R"([100,"1000"],[115.5,"1010"],[130,"4"])") +
             "," +
             series(R"("__name__":"rabbitmq_detailed_queue_messages_published_total","channel":"b")" + queue,
                    R"([115.5,"70"],[130,"76"])") +
             "," + series(R"("__name__":"up")", R"([100,"1"])")),
      "a.json", std::nullopt));
  // Without a queue's label it belongs to the only queue; a role says what has no name.
  ASSERT_TRUE(reader.take(answer(series("", R"([100,"3"],[130,"9"])")), "b.json", SeriesRole::done));
  const auto pasts = reader.finish({});
  ASSERT_TRUE(pasts) << pasts.error().what;
  ASSERT_EQ(pasts->size(), 1U);
  const Past& past = pasts->front();
  EXPECT_EQ(past.pool, "orders");
  const auto arrivals = past_arrivals(past, std::nullopt);
  ASSERT_TRUE(arrivals) << arrivals.error().what;
  EXPECT_EQ(arrivals->messages, 5 + 10 + 4 + 6);
  EXPECT_EQ(past.looks.back().acked, 6);
  EXPECT_EQ(past.looks[1].at_ms, 115'500);
  EXPECT_EQ(past.looks[1].ready, std::nullopt);
  EXPECT_THAT(past.notes, Contains("ready: rabbitmq_queue_messages_ready"));
  EXPECT_THAT(past.notes, Contains("published: rabbitmq_detailed_queue_messages_published_total, 2 series added up, "
                                   "began anew 1 time"));
  EXPECT_THAT(past.notes, Contains("left out, as what they are is not known (ROLE=FILE says it): up"));
}

TEST(PastFile, OfTwoMetricsThatCountTheSameOneIsUsed) {
  PrometheusReader reader;
  ASSERT_TRUE(
      reader.take(answer(series(R"("__name__":"rabbitmq_queue_messages_acked_total")", R"([1,"0"],[2,"5"])") + "," +
                         series(R"("__name__":"rabbitmq_channel_messages_acked_total")", R"([1,"0"],[2,"5"])") + "," +
                         series(R"("__name__":"rabbitmq_queue_messages")", R"([1,"9"],[2,"9"])") + "," +
                         series(R"("__name__":"rabbitmq_queue_messages_unacked")", R"([1,"2"],[2,"3"])")),
                  "a.json", std::nullopt));
  const auto pasts = reader.finish({});
  ASSERT_TRUE(pasts);
  EXPECT_EQ(pasts->front().looks.back().acked, 5);
  EXPECT_EQ(pasts->front().looks.back().ready, 6);
}

TEST(PastFile, EachQueueIsARecordOfItsOwn) {
  const std::string ready = R"("__name__":"rabbitmq_queue_messages_ready","queue":)";
  PrometheusReader reader;
  ASSERT_TRUE(reader.take(
      answer(series(ready + R"("a","vhost":"shop")", R"([1,"0"])") + "," + series(ready + R"("b")", R"([1,"0"])")),
      "a.json", std::nullopt));
  const auto pasts = reader.finish({});
  ASSERT_TRUE(pasts);
  ASSERT_EQ(pasts->size(), 2U);
  EXPECT_EQ(pasts->front().pool, "b");
  EXPECT_EQ(pasts->back().pool, "shop/a");
  ASSERT_TRUE(reader.take(answer(series("", R"([1,"0"])")), "b.json", SeriesRole::published));
  EXPECT_THAT(reader.finish({}).error().what, HasSubstr("has no label `queue`, and there are 2 queues"));
}

TEST(PastFile, WhatIsNoAnswerOfPrometheusIsRefusedWithItsPlace) {
  const auto wrong = [](const std::string& text) {
    PrometheusReader reader;
    const Result<void> taken = reader.take(text, "a.json", std::nullopt);
    return taken ? reader.finish({}).error().what : taken.error().what;
  };
  EXPECT_THAT(wrong("{"), StartsWith("a.json: "));
  EXPECT_THAT(wrong(R"({"status":"error","error":"parse error"})"), HasSubstr("no matrix of series: parse error"));
  EXPECT_THAT(wrong(R"({"data":{"resultType":"vector","result":[]}})"),
              HasSubstr("accepted: an answer of /api/v1/query"));
  EXPECT_THAT(wrong(answer("")), HasSubstr("no series in the answer"));
  EXPECT_THAT(wrong(answer(series(R"("__name__":"up")", ""))), HasSubstr("not known of up; accepted: series whose"));
  EXPECT_THAT(wrong(answer(R"({"metric":{}})")), HasSubstr("a.json: $.data.result[0]: not a series"));
  EXPECT_THAT(wrong(answer(series(R"("__name__":"rabbitmq_queue_messages_ready")", R"([1,"0"],[2,7])"))),
              HasSubstr("a.json: $.data.result[0].values[1]: [2,7]; accepted: [SECONDS,\"NUMBER\"]"));
}

}  // namespace
}  // namespace sluice::lab
