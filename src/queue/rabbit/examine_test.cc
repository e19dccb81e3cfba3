// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/examine.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::queue::rabbit {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using Level = Examined::Level;
using Topic = Examined::Topic;

ExamineOptions options() {
  return {.user = "worker", .queue = "orders", .dead_letter_queue = "orders.dead", .retry_queues = {"orders.retry.1s"}};
}

std::string definition(std::string_view type, std::string_view arguments, std::string_view policy) {
  return fmt::format(
      R"({{"name":"orders","type":"{}","durable":true,"exclusive":false,"arguments":{{{}}},"effective_policy_definition":{{{}}}}})",
      type, arguments, policy);
}

TEST(Examine, JudgesWhatADefinitionMeans) {
  struct Case {
    std::string body;
    Topic topic;
    Level level;
    const char* text;
  };
  const std::string limited = R"("x-delivery-limit":3,"x-dead-letter-exchange":"")";
  for (const Case& one :
       {Case{definition("quorum", "", ""), Topic::kind, Level::ok, "a quorum queue that loses nothing"},
        Case{definition("stream", "", ""), Topic::kind, Level::failed, "is a stream"},
        Case{definition("classic", R"("x-single-active-consumer":true)", ""), Topic::kind, Level::warning,
             "one worker"},
        Case{definition("classic", R"("x-message-ttl":60000)", ""), Topic::loss, Level::warning,
             "silently drops messages that wait longer than 60 s (argument x-message-ttl)"},
        Case{definition("classic", "", R"("max-length":7)"), Topic::loss, Level::warning,
             "silently drops the oldest messages beyond 7 (policy, max-length)"},
        Case{definition("classic", R"("x-max-length-bytes":7,"x-dead-letter-exchange":"d")", ""), Topic::loss,
             Level::warning, "gives up the oldest messages beyond 7 bytes"},
        Case{definition("classic", R"("x-max-length":7,"x-overflow":"reject-publish")", ""), Topic::kind, Level::ok,
             ""},
        Case{definition("classic", R"("x-expires":1000)", ""), Topic::loss, Level::warning,
             "is removed with all in it"},
        Case{definition("quorum", limited, ""), Topic::dead_letters, Level::warning, "before the 5 attempts"},
        Case{definition("quorum", R"("x-delivery-limit":20)", ""), Topic::dead_letters, Level::warning,
             "no dead letter exchange: what it gives up is lost"},
        Case{R"({"name":"orders","type":"classic","durable":false})", Topic::loss, Level::warning, "not durable"},
        Case{R"({"name":"orders","type":"classic","exclusive":true})", Topic::kind, Level::failed, "exclusive"},
        Case{"<html>", Topic::management, Level::failed, "cannot be read"},
        Case{"[]", Topic::management, Level::failed, "cannot be read"}}) {
    const std::vector<Examined> found = judge_definition(one.body, options());
    ASSERT_FALSE(found.empty()) << one.body;
    EXPECT_EQ(found.front().topic, one.topic) << one.body;
    EXPECT_EQ(found.front().level, one.level) << one.body;
    EXPECT_THAT(found.front().text, HasSubstr(one.text));
    EXPECT_EQ(found.front().fix.empty(), one.level == Level::ok) << one.body;
  }
}

TEST(Examine, HoldsAHandlersTimeAgainstTheBrokers) {
  ExamineOptions slow = options();
  slow.max_runtime = 10min;
  EXPECT_EQ(judge_definition(definition("quorum", "", ""), slow).front().level, Level::ok);
  EXPECT_THAT(judge_definition(definition("quorum", R"("x-consumer-timeout":60000)", ""), slow).front().text,
              HasSubstr("after 60 s (argument x-consumer-timeout)"));
  slow.max_runtime = 45min;
  const std::vector<Examined> found = judge_definition(definition("quorum", "", ""), slow);
  EXPECT_EQ(found.front().topic, Topic::timeout);
  EXPECT_THAT(found.front().fix, HasSubstr("consumer_timeout = 5400000"));
}

TEST(Examine, GivesNoMorePermissionsThanItTakes) {
  ExamineOptions some = options();
  EXPECT_EQ(permissions_command(some),
            R"(rabbitmqctl set_permissions -p / worker '^$' '^(amq\.default|orders|orders\.dead|orders\.retry\.1s)$' )"
            R"('^(orders|orders\.dead|orders\.retry\.1s)$')");
  some.declares = true;
  EXPECT_THAT(permissions_command(some), HasSubstr(R"( worker '^(orders|orders\.dead|orders\.retry\.1s)$' )"));
}

TEST(Examine, TakesNoVersionThatIsNone) {
  EXPECT_EQ(version_of(R"({"rabbitmq_version":"4.0.5"})").value(), "4.0.5");
  EXPECT_EQ(version_of(R"({"rabbitmq_version":"4.1.0-rc.1+2"})").value(), "4.1.0-rc.1+2");
  for (const char* bad :
       {"", "{}", "[]", R"({"rabbitmq_version":4})", R"({"rabbitmq_version":""})", R"({"rabbitmq_version":"<b>"})"}) {
    EXPECT_FALSE(version_of(bad)) << bad;
  }
}

}  // namespace
}  // namespace sluice::queue::rabbit
