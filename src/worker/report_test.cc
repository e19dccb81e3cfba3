// SPDX-License-Identifier: Apache-2.0
#include "worker/report.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace sluice::worker {
namespace {

using namespace std::chrono_literals;

TEST(WorkerReport, IsTheJsonOfTheContract) {
  WorkerReport report{.worker = "orders-w3",
                      .state = WorkerState::busy,
                      .handling = 1,
                      .first_claim_at = {},
                      .counts = {},
                      .wait = {},
                      .work = {},
                      .reason = {}};
  EXPECT_TRUE(to_json(report).starts_with(
      R"({"v":1,"worker":"orders-w3","state":"busy","handling":1,"first_claim_at":null,"done":0,"retried":0,"failed":0,)"
      R"("dead_lettered":0,"requeued":0,"wait_s":{"count":0,"sum":0,"le":[[0.01,0],[0.05,0],)"))
      << to_json(report);
  report.first_claim_at = parse_wall("2026-01-31T14:02:30.125Z");
  report.counts = {.done = 5, .retried = 4, .failed = 3, .dead_lettered = 2, .requeued = 1};
  report.wait.add(40ms);
  report.wait.add(2s);
  report.wait.add(2h);
  report.reason = "idle";
  const boost::json::object json = boost::json::parse(to_json(report)).as_object();
  EXPECT_EQ(json.at("first_claim_at"), "2026-01-31T14:02:30.125Z");
  EXPECT_EQ(json.at("dead_lettered"), 2);
  EXPECT_EQ(json.at("reason"), "idle");
  const boost::json::object wait = json.at("wait_s").as_object();
  EXPECT_EQ(wait.at("count"), 3);
  EXPECT_EQ(wait.at("sum").to_number<double>(), 7202.04);
  EXPECT_EQ(wait.at("le").at(0), boost::json::parse("[0.01,0]"));
  EXPECT_EQ(wait.at("le").at(1), boost::json::parse("[0.05,1]"));
  EXPECT_EQ(wait.at("le").at(5), boost::json::parse("[2,2]"));
  EXPECT_EQ(wait.at("le").at(13), boost::json::parse("[3600,2]"));
}

TEST(WorkerReport, StaysWithinATerminationMessageWhateverTheReason) {
  for (const std::string piece : {"x", "\x01", "\xc3\xa9", "\"", "\xff"}) {
    WorkerReport report;
    for (int i = 0; i < 9000; ++i) {
      report.reason += piece;
    }
    const std::string json = to_json(report);
    EXPECT_LE(json.size(), last_words_max);
    EXPECT_GE(json.size(), last_words_max - 20) << "cut shorter than needed";
    EXPECT_TRUE(boost::json::parse(json).as_object().contains("reason"));
  }
}

}  // namespace
}  // namespace sluice::worker
