// SPDX-License-Identifier: Apache-2.0
#include "queue/pubsub/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "queue/pubsub/publisher.h"
#include "queue/pubsub/receiver.h"

namespace sluice::queue::pubsub {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

Message message(Headers headers) {
  return {.id = "run-1",
          .body = "work",
          .headers = std::move(headers),
          .type = "order",
          .priority = 0,
          .published_at = WallTime{1'767'225'600'123ms}};
}

Headers there_and_back(const Headers& headers) {
  const Result<Attributes> attributes = to_attributes(message(headers));
  EXPECT_TRUE(attributes) << (attributes ? "" : attributes.error().what);
  return from_attributes(attributes.value_or(Attributes{})).headers;
}

TEST(PubsubAttributes, PlainHeadersAreAttributesThatOtherClientsSee) {
  const Result<Attributes> attributes = to_attributes(message({{"customer", "17"}, {"n\xc3\xa4me", "\xc3\xa4"}}));
  ASSERT_TRUE(attributes);
  EXPECT_EQ(*attributes, (Attributes{{"customer", "17"},
                                     {"n\xc3\xa4me", "\xc3\xa4"},
                                     {"sluice-id", "run-1"},
                                     {"sluice-published-ms", "1767225600123"},
                                     {"sluice-type", "order"}}));
  const Message back = from_attributes(*attributes);
  EXPECT_EQ(back.id, "run-1");
  EXPECT_EQ(back.type, "order");
  EXPECT_EQ(back.published_at, message({}).published_at);
}

TEST(PubsubAttributes, HeadersThatNoMapHoldsComeBackExactly) {
  for (const Headers& headers :
       {Headers{{"b", "1"}, {"a", "2"}}, Headers{{"a", "1"}, {"a", "2"}}, Headers{{"a", std::string("\0\xff&=%", 5)}},
        Headers{{"a", std::string(5000, 'x')}}, Headers{{"sluice-id", "mine"}}, Headers{{"google", "x"}}, Headers{}}) {
    EXPECT_EQ(there_and_back(headers), headers);
  }
}

TEST(PubsubAttributes, WhatAnotherProgramPublishedIsShownAsItIs) {
  const Message back = from_attributes({{"a", "1"}, {"sluice-headers.1", "a=%4"}, {"sluice-priority", "900"}});
  EXPECT_EQ(back.headers, (Headers{{"a", "1"}}));
  EXPECT_EQ(back.id, "");
  EXPECT_EQ(back.priority, 0);
}

TEST(PubsubAttributes, WhatPubsubWouldNotTakeIsRefusedWithItsSize) {
  const auto why = [](Message m) {
    const Result<Attributes> attributes = to_attributes(m);
    return attributes ? "" : attributes.error().what;
  };
  Message none = message({});
  none.id = "";
  EXPECT_THAT(why(none), HasSubstr("its id has 0 bytes"));
  Message bytes = message({});
  bytes.id = "\xff";
  EXPECT_THAT(why(bytes), HasSubstr("UTF-8"));
  Message large = message({});
  large.body.assign(request_bytes_max, 'x');
  EXPECT_THAT(why(large), HasSubstr("its body has 9995904 bytes"));
  Headers many;
  for (int i = 0; i < 100; ++i) {
    many.emplace_back("k" + std::to_string(1000 + i), "v");
  }
  EXPECT_THAT(why(message(many)), HasSubstr("make 103 attributes; Pub/Sub takes 100"));
  EXPECT_THAT(why(message({{std::string(257, 'k'), "v"}})), HasSubstr("257 bytes"));
}

TEST(PubsubAttributes, ADeadLetterHasRoomForItsCause) {
  Attributes full;
  for (int i = 0; i < 100; ++i) {
    full.emplace("k" + std::to_string(i), std::to_string(i));
  }
  const Obituary obituary{.cause = Cause::permanent,
                          .attempts = 2,
                          .why = std::string(1023, 'x') + "\xc3\xa4",
                          .origin = "projects/p/subscriptions/s",
                          .origin_id = "17"};
  const Result<Attributes> dead = with_obituary(full, obituary);
  ASSERT_TRUE(dead);
  EXPECT_LE(dead->size(), attributes_max);
  EXPECT_EQ(dead->at("sluice-cause"), "permanent");
  EXPECT_EQ(dead->at("sluice-attempts"), "2");
  EXPECT_EQ(dead->at("sluice-why"), std::string(1023, 'x')) << "no half of a letter";
  EXPECT_EQ(dead->at("sluice-origin"), "projects/p/subscriptions/s");
  EXPECT_EQ(dead->at("sluice-origin-id"), "17");
  EXPECT_EQ(from_attributes(*dead).headers, from_attributes(full).headers);
}

TEST(PubsubWire, RequestsAreWhatTheDocumentsShow) {
  std::string one;
  append_message(one, {{"a", "\""}}, "x0", "k");
  EXPECT_EQ(one, R"({"data":"eDA=","attributes":{"a":"\""},"orderingKey":"k"})");
  EXPECT_EQ(publish_body({"{1}", "{2}"}), R"({"messages":[{1},{2}]})");
  EXPECT_EQ(pull_body(7), R"({"maxMessages":7})");
  EXPECT_EQ(acknowledge_body({"a", "b"}), R"({"ackIds":["a","b"]})");
  EXPECT_EQ(modify_body({"a"}, 0s), R"({"ackIds":["a"],"ackDeadlineSeconds":0})");
  EXPECT_EQ(modify_body({"a"}, 1h), R"({"ackIds":["a"],"ackDeadlineSeconds":600})");
  EXPECT_EQ(target_of(topic_name("my-project", "a%b+c"), ":publish"),
            "/v1/projects/my-project/topics/a%25b%2Bc:publish");
}

TEST(PubsubWire, ReadsWhatAPullBrings) {
  const auto pulled = parse_pulled(
      R"({"receivedMessages":[{"ackId":"ack-1","message":{"data":"eDA=","attributes":{"a":"b"},"messageId":"17",)"
      R"("publishTime":"2026-01-01T00:00:00.123456Z","orderingKey":"k"},"deliveryAttempt":3},)"
      R"({"ackId":"ack-2","message":{"messageId":"18"}}]})");
  ASSERT_TRUE(pulled) << pulled.error().what;
  ASSERT_EQ(pulled->size(), 2U);
  EXPECT_EQ((*pulled)[0].ack_id, "ack-1");
  EXPECT_EQ((*pulled)[0].body, "x0");
  EXPECT_EQ((*pulled)[0].attributes, (Attributes{{"a", "b"}}));
  EXPECT_EQ((*pulled)[0].published_at, parse_wall("2026-01-01T00:00:00.123Z"));
  EXPECT_EQ((*pulled)[0].delivery_attempt, 3U);
  EXPECT_EQ((*pulled)[0].ordering_key, "k");
  EXPECT_EQ((*pulled)[1].body, "");
  EXPECT_FALSE((*pulled)[1].delivery_attempt) << "unknown is not zero";
  EXPECT_TRUE(parse_pulled("{}")->empty());
}

TEST(PubsubWire, RefusesWhatIsNotPubsubs) {
  for (const std::string_view body :
       {"", "[]", "<html>", R"({"receivedMessages":3})", R"({"receivedMessages":[{"message":{"messageId":"1"}}]})",
        R"({"receivedMessages":[{"ackId":"a","message":{}}]})",
        R"({"receivedMessages":[{"ackId":"a","message":{"messageId":"1","data":"!"}}]})",
        R"({"receivedMessages":[{"ackId":"a","message":{"messageId":"1","attributes":{"a":1}}}]})",
        R"({"receivedMessages":[],"receivedMessages":[]})"}) {
    EXPECT_FALSE(parse_pulled(body)) << body;
  }
  EXPECT_FALSE(parse_published(R"({"messageIds":["1"]})", 2)) << "one of two is neither";
}

TEST(PubsubWire, ARefusalIsAWordAndNeverTextOfWhoeverAnswered) {
  const Asked asked{.what = "publish",
                    .of = "projects/p/topics/t",
                    .role = "roles/pubsub.publisher",
                    .command = create_topic("projects/p/topics/t")};
  const auto said = [&](int status, std::string body) {
    return refused({.status = status, .body = std::move(body)}, asked);
  };
  const Error denied = said(403, R"({"error":{"status":"PERMISSION_DENIED","message":"S3CR3T-canary"}})");
  EXPECT_EQ(denied.code, Code::denied);
  EXPECT_EQ(
      denied.what,
      "projects/p/topics/t: publish: 403 PERMISSION_DENIED; needs roles/pubsub.publisher on it, or on its project");
  const Error gone = said(404, R"({"error":{"status":"NOT_FOUND","message":"Topic not found"}})");
  EXPECT_EQ(gone.code, Code::gone);
  EXPECT_EQ(
      gone.what,
      "projects/p/topics/t: publish: 404 NOT_FOUND; it does not exist: gcloud pubsub topics create t --project=p");
  EXPECT_EQ(said(429, "").code, Code::throttled);
  EXPECT_EQ(said(503, "<html>S3CR3T-canary").code, Code::retry);
  EXPECT_EQ(said(400, R"({"error":{"status":"lower case, S3CR3T-canary"}})").code, Code::invalid);
  EXPECT_THAT(said(400, R"({"error":{"status":"lower case, S3CR3T-canary"}})").what, Not(HasSubstr("canary")));
  EXPECT_EQ(said(302, "").code, Code::invalid) << "redirects are not followed";
}

TEST(PubsubWire, ExactlyOnceSaysOfEachAckIdWhatBecameOfIt) {
  const Result<Answer> answer =
      Answer{.status = 400,
             .body = R"({"error":{"code":400,"status":"INVALID_ARGUMENT","details":[{"metadata":{)"
                     R"("lost":"PERMANENT_FAILURE_INVALID_ACK_ID","later":"TRANSIENT_FAILURE_UNORDERED_ACK_ID"}}]}})"};
  const Refusal refusal = parse_refusal(answer->body);
  const auto code = [&](std::string_view id) { return verdict_of(answer, refusal, id, {}).error().code; };
  EXPECT_EQ(code("lost"), Code::gone);
  EXPECT_EQ(code("later"), Code::retry);
  EXPECT_EQ(code("not named"), Code::retry) << "to be said again: that does no harm";
  EXPECT_TRUE(verdict_of(Answer{.status = 200, .body = ""}, {}, "any", {}));
  EXPECT_EQ(verdict_of(Error{Code::invalid, "not HTTP"}, {}, "any", {}).error().code, Code::retry) << "nobody knows";
}

TEST(PubsubWire, ReadsASubscription) {
  const auto info = parse_subscription(
      R"({"topic":"projects/p/topics/t","ackDeadlineSeconds":600,"enableExactlyOnceDelivery":true,"pushConfig":{},)"
      R"("messageRetentionDuration":"604800s","deadLetterPolicy":{"deadLetterTopic":"d","maxDeliveryAttempts":20}})");
  ASSERT_TRUE(info);
  EXPECT_EQ(info->ack_deadline, 600s);
  EXPECT_TRUE(info->exactly_once);
  EXPECT_FALSE(info->pushes);
  EXPECT_EQ(info->attempts_max, 20);
  EXPECT_EQ(info->retention, Duration{168h});
  EXPECT_TRUE(parse_subscription(R"({"pushConfig":{"pushEndpoint":"https://x"}})")->pushes);
  EXPECT_FALSE(parse_subscription(R"({"ackDeadlineSeconds":0})"));
}

TEST(PubsubPublisher, ARequestHasAtMostAThousandMessagesAndTenMegabytes) {
  std::vector<Outgoing> all(2500);
  std::vector<std::size_t> which;
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i].bytes = 100;
    which.push_back(i);
  }
  const auto sizes = [&] {
    std::vector<std::size_t> out;
    for (const auto& one : in_requests(all, which)) {
      out.push_back(one.size());
    }
    return out;
  };
  EXPECT_THAT(sizes(), ElementsAre(1000, 1000, 500));
  for (Outgoing& one : all) {
    one.bytes = 4'000'000;
  }
  which.resize(5);
  EXPECT_THAT(sizes(), ElementsAre(2, 2, 1));
}

TEST(PubsubReceiver, ALeaseIsTheAckDeadlineWithinAMinute) {
  EXPECT_EQ(lease_of(std::nullopt), 10s) << "the shortest there is";
  EXPECT_EQ(lease_of(10s), 10s);
  EXPECT_EQ(lease_of(45s), 45s);
  EXPECT_EQ(lease_of(600s), 60s) << "a dead worker's messages are back a minute later";
}

}  // namespace
}  // namespace sluice::queue::pubsub
