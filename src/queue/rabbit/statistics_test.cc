// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/statistics.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::queue::rabbit {
namespace {

using testing::HasSubstr;

// As RabbitMQ 3.10 and 4.0 answer, with `fields` in place of the counts.
std::string queue_with(std::string_view fields) {
  return fmt::format(
      R"({{"arguments":{{"x-queue-type":"classic"}},"consumers":2,"exclusive":false,"message_stats":{{"publish":30,"ack":20}},{}"name":"orders","policy":null,"state":"running","type":"classic"}})",
      fields);
}

TEST(QueueStatistics, AreWhatTheBrokerSays) {
  const auto read = parse_queue_statistics(
      queue_with(R"("messages_ready":7,"messages_unacknowledged":3,"head_message_timestamp":1795341186,)"), "orders");
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, (QueueStatistics{.ready = 7,
                                    .in_flight = 3,
                                    .consumers = 2,
                                    .published_n = 30,
                                    .acked_n = 20,
                                    .head_timestamp_s = 1795341186,
                                    .type = "classic",
                                    .state = "running",
                                    .policy = "",
                                    .single_active_consumer = false,
                                    .missing = ""}));
}

TEST(QueueStatistics, StayUnknownRightAfterADeclare) {
  const auto read = parse_queue_statistics(
      R"({"arguments":{"x-queue-type":"classic"},"exclusive":false,"name":"orders","type":"classic"})", "orders");
  ASSERT_TRUE(read);
  EXPECT_FALSE(read->ready);
  EXPECT_FALSE(read->in_flight);
  EXPECT_FALSE(read->consumers);
  EXPECT_FALSE(read->published_n);
  EXPECT_EQ(read->missing, "messages_ready: absent");
}

struct Case {
  const char* fields;
  const char* missing;
};

TEST(QueueStatistics, TakeNothingButWholeNumbersForACount) {
  const std::array cases{
      Case{R"("messages_ready":1,)", "messages_unacknowledged: absent"},
      Case{R"("messages_ready":1,"messages_unacknowledged":null,)", "messages_unacknowledged: null"},
      Case{R"("messages_ready":1,"messages_unacknowledged":-1,)", "messages_unacknowledged: a number out of range"},
      Case{R"("messages_ready":1,"messages_unacknowledged":1.5,)", "messages_unacknowledged: no whole number"},
      Case{R"("messages_ready":1,"messages_unacknowledged":1e400,)", "messages_unacknowledged: no whole number"},
      Case{R"("messages_ready":1,"messages_unacknowledged":"5",)", "messages_unacknowledged: a text"},
      Case{R"("messages_ready":1,"messages_unacknowledged":[5],)", "messages_unacknowledged: a list"},
      Case{R"("messages_ready":1,"messages_unacknowledged":{},)", "messages_unacknowledged: an object"},
      Case{R"("messages_ready":1,"messages_unacknowledged":true,)", "messages_unacknowledged: a truth value"},
      Case{R"("messages_ready":1,"messages_unacknowledged":9007199254740993,)",
           "messages_unacknowledged: a number out of range"},
      Case{R"("messages_ready":1,"messages_unacknowledged":18446744073709551615,)",
           "messages_unacknowledged: a number out of range"},
  };
  for (const Case& one : cases) {
    const auto read = parse_queue_statistics(queue_with(one.fields), "orders");
    ASSERT_TRUE(read) << one.fields << " " << read.error().what;
    EXPECT_EQ(read->ready, 1);
    EXPECT_FALSE(read->in_flight) << one.fields;
    EXPECT_EQ(read->missing, one.missing);
  }
  const auto most =
      parse_queue_statistics(queue_with(R"("messages_ready":1,"messages_unacknowledged":9007199254740992,)"), "orders");
  EXPECT_EQ(most->in_flight, std::int64_t{1} << 53U);
}

TEST(QueueStatistics, RefuseWhatIsNotTheAnswer) {
  const std::array cases{
      Case{"", "no JSON"},
      Case{"<!doctype html><title>Log in</title>", "no JSON"},
      Case{"\x1f\x8b\x08gzip", "no JSON"},
      Case{"\xef\xbb\xbf{\"name\":\"orders\"}", "no JSON"},
      Case{R"({"name":"orders"} x)", "no JSON"},
      Case{R"({"name":"orders"}{"name":"orders"})", "no JSON"},
      Case{R"({"name":"orders","messages_ready":NaN})", "no JSON"},
      Case{R"({"name":"orders","messages_ready":Infinity})", "no JSON"},
      Case{"{\"name\":\"orders\",\"x\":\"\xff\"}", "no JSON"},
      Case{R"({"name":"orders","x":"\ud800"})", "no JSON"},
      Case{R"({"name":"orders","messages_ready":1,"messages_ready":2})", "a key that is there twice"},
      Case{R"([])", "a list where an object belongs"},
      Case{R"(null)", "null where an object belongs"},
      Case{R"({"error":"x"})", "name: absent"},
      Case{R"({"name":"other","messages_ready":1})", "name: that of another queue"},
      Case{R"({"name":7})", "name: that of another queue"},
  };
  for (const Case& one : cases) {
    const auto read = parse_queue_statistics(one.fields, "orders");
    ASSERT_FALSE(read) << one.fields;
    EXPECT_EQ(read.error().code, Code::invalid);
    EXPECT_THAT(read.error().what, HasSubstr(one.missing)) << one.fields;
  }
  EXPECT_FALSE(parse_queue_statistics(std::string(100'000, '['), "orders"));
  EXPECT_FALSE(
      parse_queue_statistics(R"({"name":"orders","a":)" + std::string(33, '[') + std::string(33, ']') + "}", "orders"));
}

TEST(QueueStatistics, NeverRepeatWhatAnotherServerSaid) {
  const auto read = parse_queue_statistics("{\"S3CR3T-canary\": S3CR3T-canary", "orders");
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().what, testing::Not(HasSubstr("S3CR3T")));
}

TEST(QueueStatistics, KnowASingleActiveConsumerAndAStream) {
  const auto single = parse_queue_statistics(
      R"({"arguments":{"x-single-active-consumer":true},"name":"a","type":"quorum","message_stats":[]})", "a");
  EXPECT_TRUE(single->single_active_consumer);
  const auto stream = parse_queue_statistics(R"({"arguments":[],"name":"a","type":"stream"})", "a");
  EXPECT_EQ(stream->type, "stream");
  EXPECT_FALSE(stream->single_active_consumer);
}

TEST(StatisticsPage, ListsQueues) {
  const auto page = parse_statistics_page(
      R"({"filtered_count":3,"item_count":2,"items":[{"name":"a","messages_ready":1,"messages_unacknowledged":2,"consumers":0},{"name":"b"}],"page":1,"page_count":2,"page_size":2,"total_count":3})",
      1);
  ASSERT_TRUE(page) << page.error().what;
  EXPECT_EQ(page->pages, 2);
  EXPECT_EQ(page->queues.at("a").in_flight, 2);
  EXPECT_EQ(page->queues.at("b").missing, "messages_ready: absent");
}

TEST(StatisticsPage, RefusesWhatIsNoPage) {
  const std::array cases{
      Case{R"([{"name":"a"}])", "a list where an object belongs"},
      Case{R"({"items":[],"page_count":1})", "page: absent"},
      Case{R"({"items":[],"page":1})", "page_count: absent"},
      Case{R"({"items":[],"page":2,"page_count":3})", "page: 2 where 1 was asked for"},
      Case{R"({"page":1,"page_count":1})", "items: absent"},
      Case{R"({"items":{},"page":1,"page_count":1})", "items: an object"},
      Case{R"({"items":[{}],"page":1,"page_count":1})", "items: one without a name"},
      Case{R"({"items":[5],"page":1,"page_count":1})", "items: one without a name"},
      Case{R"({"items":[{"name":"a"},{"name":"a"}],"page":1,"page_count":1})", "items: a queue that is there twice"},
  };
  for (const Case& one : cases) {
    const auto page = parse_statistics_page(one.fields, 1);
    ASSERT_FALSE(page) << one.fields;
    EXPECT_THAT(page.error().what, HasSubstr(one.missing));
  }
}

constexpr std::string_view metrics = R"(# TYPE rabbitmq_detailed_queue_messages_ready gauge
# HELP rabbitmq_detailed_queue_messages_ready Messages ready to be delivered to consumers
rabbitmq_detailed_queue_messages_ready{vhost="/",queue="a"} 3
rabbitmq_detailed_queue_messages_ready{vhost="/",queue="b \"\\\n}"} 4
rabbitmq_detailed_queue_messages_ready{vhost="other",queue="a"} 5
# TYPE rabbitmq_detailed_queue_messages_unacked gauge
rabbitmq_detailed_queue_messages_unacked{vhost="/",queue="a"} 2
# TYPE rabbitmq_detailed_queue_consumers gauge
rabbitmq_detailed_queue_consumers{vhost="/",queue="a"} 1
rabbitmq_identity_info{rabbitmq_node="x"} 1
)";

TEST(DetailedMetrics, AreReadForOneVirtualHost) {
  const auto read = parse_detailed_metrics(metrics, "/");
  ASSERT_TRUE(read) << read.error().what;
  ASSERT_EQ(read->size(), 2U);
  EXPECT_EQ(read->at("a"), (QueueStatistics{.ready = 3, .in_flight = 2, .consumers = 1}));
  EXPECT_EQ(read->at("b \"\\\n}").ready, 4);
  EXPECT_EQ(read->at("b \"\\\n}").missing, "rabbitmq_detailed_queue_messages_unacked: absent");
  EXPECT_EQ(parse_detailed_metrics(metrics, "other")->at("a").ready, 5);
}

TEST(DetailedMetrics, TakeNothingButWholeNumbers) {
  for (const char* bad : {"NaN", "+Inf", "-1", "1e400", "1.5", "", "x", "9007199254740993", "0x5", "5 6"}) {
    const auto read = parse_detailed_metrics(
        fmt::format("# TYPE x gauge\nrabbitmq_detailed_queue_messages_unacked{{vhost=\"/\",queue=\"a\"}} {}\n", bad),
        "/");
    ASSERT_TRUE(read) << bad;
    EXPECT_FALSE(read->at("a").in_flight) << bad;
    EXPECT_THAT(read->at("a").missing, HasSubstr("no whole number"));
  }
}

TEST(DetailedMetrics, RefuseWhatIsNotTheFormat) {
  const std::string first = "# TYPE x gauge\nrabbitmq_detailed_queue_messages_ready";
  const std::array<std::string, 10> bad{"",
                                        "<html>\n",
                                        "{\"a\":1}\n",
                                        "rabbitmq_detailed_queue_messages_ready{vhost=\"/\",queue=\"a\"} 3\n",
                                        "# TYPE cut off",
                                        first + " 3\n",
                                        first + "{vhost=\"/\"} 3\n",
                                        first + "{vhost=\"/\",queue=\"a} 3\n",
                                        first + "{vhost=\"/\",queue=\"a\"}3\n",
                                        first + "{vhost=\"/\",queue=\"a\\\n"};
  for (const std::string& one : bad) {
    EXPECT_FALSE(parse_detailed_metrics(one, "/")) << one;
  }
  const std::string twice = "rabbitmq_detailed_queue_messages_ready{vhost=\"/\",queue=\"a\"} 3\n";
  EXPECT_THAT(parse_detailed_metrics("# TYPE x gauge\n" + twice + twice, "/").error().what,
              HasSubstr("line 3: a series"));
}

TEST(Consumers, CarryTagAndAddress) {
  const auto read = parse_consumers(
      R"({"name":"a","consumer_details":[{"consumer_tag":"t","active":false,"channel_details":{"connection_name":"127.0.0.1:5 -> 127.0.0.1:6","peer_host":"127.0.0.1","peer_port":5}}]})",
      "a");
  ASSERT_TRUE(read) << read.error().what;
  ASSERT_EQ(read->size(), 1U);
  EXPECT_EQ(read->front().peer_host, "127.0.0.1");
  EXPECT_EQ(read->front().peer_port, 5);
  EXPECT_EQ(read->front().tag, "t");
  EXPECT_FALSE(read->front().active);
}

TEST(Consumers, AreNotHalfAList) {
  for (const char* bad :
       {R"({"name":"a"})", R"({"name":"a","consumer_details":{}})", R"({"name":"a","consumer_details":[5]})",
        R"({"name":"a","consumer_details":[{"consumer_tag":"t","channel_details":[]}]})"}) {
    EXPECT_FALSE(parse_consumers(bad, "a")) << bad;
  }
  EXPECT_TRUE(parse_consumers(R"({"name":"a","consumer_details":[]})", "a")->empty());
}

}  // namespace
}  // namespace sluice::queue::rabbit
