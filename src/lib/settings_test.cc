// SPDX-License-Identifier: Apache-2.0
#include "lib/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace sluice::lib {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;

Result<Settings> read(const WorkerOptions& options, const std::map<std::string, std::string>& environment) {
  const auto look = [&](const std::string& name) {
    const auto found = environment.find(name);
    return found == environment.end() ? std::nullopt : std::optional(found->second);
  };
  return read_settings(options, look, "/srv", "worker-7");
}

TEST(Settings, ComeFromTheEnvironmentThatAScalerSets) {
  const Result<Settings> got =
      read({}, {{"SLUICE_QUEUE",
                 R"({"queue":{"local":{"path":"data/q.db"}},"deadLetter":{"after":3},"retry":{"delays":["5s"]}})"},
                {"SLUICE_WORKER", "orders-w3"},
                {"SLUICE_IDLE_EXIT", "10s"},
                {"SLUICE_CONCURRENCY", "4"},
                {"SLUICE_MAX_RUNTIME", "2m"},
                {"SLUICE_WORKER_PORT", "7172"}});
  ASSERT_TRUE(got) << got.error().what;
  EXPECT_EQ(std::get<pool::LocalQueue>(got->queue.queue).path, "/srv/data/q.db");
  EXPECT_EQ(got->runtime.worker, "orders-w3");
  EXPECT_EQ(got->runtime.idle_exit, 10s);
  EXPECT_EQ(got->runtime.concurrency, 4U);
  EXPECT_EQ(got->runtime.max_runtime, 2min);
  EXPECT_EQ(got->runtime.dead_letter_after, 3U);
  EXPECT_EQ(got->runtime.retry_delays, std::vector<Duration>{5s});
  EXPECT_EQ(got->port, 7172);
}

TEST(Settings, WhatTheProgramSaysGoesFirst) {
  WorkerOptions options;
  options.queue = "/q.db";
  options.name = "mine";
  options.concurrency = 2;
  options.idle_exit = 1s;
  const Result<Settings> got = read(
      options,
      {{"SLUICE_QUEUE", "{}"}, {"SLUICE_WORKER", "w"}, {"SLUICE_IDLE_EXIT", "never"}, {"SLUICE_CONCURRENCY", "9"}});
  ASSERT_TRUE(got) << got.error().what;
  EXPECT_EQ(std::get<pool::LocalQueue>(got->queue.queue).path, "/q.db");
  EXPECT_EQ(got->runtime.worker, "mine");
  EXPECT_EQ(got->runtime.concurrency, 2U);
  EXPECT_EQ(got->runtime.idle_exit, 1s);
}

TEST(Settings, TheDefaultsAreOneAtATimeAndNeverLeaving) {
  const Result<Settings> got = read({}, {{"SLUICE_QUEUE", "q.db"}, {"SLUICE_IDLE_EXIT", "never"}});
  ASSERT_TRUE(got) << got.error().what;
  EXPECT_EQ(std::get<pool::LocalQueue>(got->queue.queue).path, "/srv/q.db");
  EXPECT_EQ(got->runtime.worker, "worker-7");
  EXPECT_EQ(got->runtime.concurrency, 1U);
  EXPECT_EQ(got->runtime.idle_exit, std::nullopt);
  EXPECT_EQ(got->port, std::nullopt);
}

TEST(Settings, EveryMistakeIsSaidAtOnceWithTheAcceptedForm) {
  WorkerOptions options;
  options.concurrency = -1;
  options.grace = -1s;
  const Result<Settings> got = read(options, {{"SLUICE_QUEUE", R"({"queue":{"local":{"pth":"q.db"}}})"},
                                              {"SLUICE_IDLE_EXIT", "10"},
                                              {"SLUICE_MAX_RUNTIME", "never"},
                                              {"SLUICE_CONCURRENCY", "0"},
                                              {"SLUICE_WORKER_PORT", "70000"}});
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::invalid);
  EXPECT_THAT(got.error().what,
              AllOf(HasSubstr("SLUICE_QUEUE:1:"), HasSubstr("pth"),
                    HasSubstr("WorkerOptions::concurrency: -1; accepted is 1 to 1000"),
                    HasSubstr("SLUICE_IDLE_EXIT: \"10\"; accepted is a duration such as 10s, or never"),
                    HasSubstr("SLUICE_MAX_RUNTIME: \"never\"; accepted is a duration such as 90s"),
                    HasSubstr("SLUICE_CONCURRENCY: \"0\"; accepted is 1 to 1000"),
                    HasSubstr("SLUICE_WORKER_PORT: \"70000\"; accepted is 1 to 65535"), HasSubstr("are 0 or more")));
  EXPECT_THAT(read({}, {}).error().what, HasSubstr("no queue: set SLUICE_QUEUE"));
  EXPECT_TRUE(read({}, {{"SLUICE_QUEUE", R"({"queue":{"rabbitmq":{"url":"amqp://h","queue":"q"}}})"}}));
  EXPECT_TRUE(read({}, {{"SLUICE_QUEUE", R"({"queue":{"pubsub":{"project":"project-1","subscription":"orders"}}})"}}));
}

}  // namespace
}  // namespace sluice::lib
