// SPDX-License-Identifier: Apache-2.0
#include "model/json.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace sluice::model {
namespace {

Observation example() {
  Observation seen;
  seen.queue.ready = SeenCount{37, 4};
  seen.queue.in_flight = SeenCount{4, 4};
  seen.queue.oldest_age = SeenAge{12'100, AgeKind::exact, 4};
  seen.queue.published_n = SeenCount{200, 4};
  seen.workers[static_cast<std::size_t>(WorkerState::busy)] = 4;
  seen.fleet.age_ms = 0;
  seen.waiting.push_back({"orders-w3", WorkerState::unscheduled, "node 2 \"boots\"", 40'000});
  seen.starts.last_ms_ago = 1000;
  return seen;
}

TEST(ObservationJson, HasTheKeysOfTheContractInTheirOrder) {
  std::string out;
  append_json(out, example());
  EXPECT_EQ(
      out,
      R"({"queue":{"ready":{"n":37,"age_ms":4},"in_flight":{"n":4,"age_ms":4},"total":null,"delayed":null,"dead":null,)"
      R"("consumers":null,"oldest_age":{"ms":12100,"kind":"exact","age_ms":4},"published_n":{"n":200,"age_ms":4},)"
      R"("acked_n":null,"error":null},"workers":{"requested":0,"unscheduled":0,"starting":0,"ready":0,"busy":4,"idle":0,)"
      R"("draining":0,"terminating":0,"suspended":0,"failing":0,"unknown":0},"fleet":{"age_ms":0,"error":null,)"
      R"("capacity":"room","why":"","claim":"reported"},"waiting":[{"worker":"orders-w3","state":"unscheduled",)"
      R"("why":"node 2 \"boots\"","for_ms":40000}],"starts":{"last_ms_ago":1000,"failed_in_a_row":0,"ready_ms_ago":null,)"
      R"("ended":0,"failed":0,"why":""}})");
}

TEST(ObservationJson, ReadsBackToTheSameValue) {
  std::string out;
  append_json(out, example());
  EXPECT_EQ(observation_from_json(boost::json::parse(out), "$").value(), example());
}

TEST(ObservationJson, TakesWhatIsAbsentAsUnknownAndRefusesTheRest) {
  EXPECT_EQ(observation_from_json(boost::json::parse("{}"), "$.seen").value(), Observation{});
  const auto why = [](const char* json) {
    return observation_from_json(boost::json::parse(json), "$.seen").error().what;
  };
  EXPECT_EQ(why(R"({"queue":{"ready":{"n":-1}}})"), "$.seen.queue.ready.n: -1; accepted: a whole number, 0 or more");
  EXPECT_EQ(why(R"({"queue":{"ready":{"n":"5"}}})"),
            "$.seen.queue.ready.n: \"5\"; accepted: a whole number, 0 or more");
  EXPECT_EQ(why(R"({"queue":{"raedy":null}})"), "$.seen.queue.raedy: unknown field; accepted: did you mean ready?");
  EXPECT_EQ(why(R"({"fleet":{"capacity":"ful"}})"), "$.seen.fleet.capacity: \"ful\"; accepted: room, waiting, full");
  EXPECT_EQ(why("[]"), "$.seen: an array; accepted: an object");
}

TEST(DecisionJson, RoundTripsWithItsClamps) {
  const Decision decision{.workers = 5, .change = -1, .reason = "hold: x", .clamps = {{"max", 6, 5}}};
  std::string out;
  append_json(out, decision);
  EXPECT_EQ(out, R"({"workers":5,"change":-1,"reason":"hold: x","clamps":[{"by":"max","from":6,"to":5}]})");
  EXPECT_EQ(decision_from_json(boost::json::parse(out), "$").value(), decision);
  const Plan plan{.start = {4}, .withdraw = {}, .drain = {1, 2}};
  out.clear();
  append_json(out, plan);
  EXPECT_EQ(out, R"({"start":[4],"withdraw":[],"drain":[1,2]})");
  EXPECT_EQ(plan_from_json(boost::json::parse(out), "$").value(), plan);
}

}  // namespace
}  // namespace sluice::model
