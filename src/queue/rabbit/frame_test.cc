// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "queue/rabbit/codec.h"
#include "queue/rabbit/properties.h"

namespace sluice::queue::rabbit {
namespace {

using ::testing::HasSubstr;
using namespace std::string_view_literals;

constexpr FrameLimits limits{.frame_max = 4096, .channel_max = 10};

std::string frame(std::string_view head, std::string_view payload, char end = '\xce') {
  std::string out(head);
  append_number(out, static_cast<std::uint32_t>(payload.size()));
  out += payload;
  out += end;
  return out;
}

TEST(Frame, IsWholeOnlyWithItsLastByte) {
  std::string bytes;
  append_frame(bytes, FrameType::body, 3, "work");
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    const auto part = first_frame(std::string_view(bytes).substr(0, n), limits);
    ASSERT_TRUE(part) << n;
    EXPECT_FALSE(*part) << n;
  }
  bytes += "more";
  const auto whole = first_frame(bytes, limits);
  ASSERT_TRUE(whole && *whole);
  EXPECT_EQ((*whole)->channel, 3);
  EXPECT_EQ((*whole)->payload, "work");
}

TEST(Frame, WhatNeverCanBeOneIsRefusedBeforeItIsWaitedFor) {
  const auto refused = [](std::string_view bytes) {
    const auto result = first_frame(bytes, limits);
    return result ? std::string("taken") : result.error().what;
  };
  EXPECT_THAT(refused("AMQP\x01\x01\x00\x09"sv), HasSubstr("it asks for protocol 1-0-9"));
  EXPECT_THAT(refused("AMQP\x00\x00\x09\x01"sv), HasSubstr("did not read the beginning"));
  EXPECT_THAT(refused("HTTP/1.1 400 Bad"sv), HasSubstr("this port speaks HTTP"));
  EXPECT_THAT(refused("\x15\x03\x01\x00\x02\x02\x46"sv), HasSubstr("this port speaks TLS"));
  EXPECT_THAT(refused("220 mail.example"sv), HasSubstr("a frame of type 50"));
  EXPECT_THAT(refused("\x04\x00\x00"sv), HasSubstr("a frame of type 4"));
  EXPECT_THAT(refused("\x01\x00\x00\xff\xff\xff\xff"sv), HasSubstr("where 4096 were agreed on"));
  EXPECT_THAT(refused("\x01\x00\x00\x00\x00\x0f\xf9"sv), HasSubstr("a frame of 4097 bytes"));
  EXPECT_THAT(refused("\x01\x00\x0b\x00\x00\x00\x04"sv), HasSubstr("channel 11 where 10 is the highest"));
  EXPECT_THAT(refused("\x01\x00\x01\x00\x00\x00\x03"sv), HasSubstr("without a method"));
  EXPECT_THAT(refused("\x02\x00\x01\x00\x00\x00\x0d"sv), HasSubstr("cut short"));
  EXPECT_THAT(refused("\x03\x00\x00\x00\x00\x00\x01"sv), HasSubstr("content on channel 0"));
  EXPECT_THAT(refused("\x08\x00\x05\x00\x00\x00\x00"sv), HasSubstr("a heartbeat on a channel"));
  EXPECT_THAT(refused("\x08\x00\x00\x00\x00\x00\x01"sv), HasSubstr("a heartbeat with content"));
  EXPECT_THAT(refused(frame("\x03\x00\x01"sv, "x", 'y')), HasSubstr("end octet"));
}

TEST(Properties, AMessageComesBackAsItWent) {
  Message sent{.id = "id-1",
               .body = "",
               .headers = {{"b", std::string("\0\xff\n", 3)}, {"a", ""}, {"b", "again"}},
               .type = "order.created",
               .priority = 7,
               .published_at = WallTime{std::chrono::milliseconds{1'767'225'600'123}}};
  Properties out(sent);
  std::string bytes;
  ASSERT_TRUE(append_content(bytes, 1, out.get(), "body", 4096));
  const auto head = first_frame(bytes, limits);
  ASSERT_TRUE(head && *head);
  Pool pool;
  const Result<ContentHead> decoded = decode_head(**head, pool);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->body_size, 4U);
  EXPECT_EQ(decoded->properties->delivery_mode, 2);
  const Told told = read_properties(*decoded->properties, "body");
  EXPECT_EQ(told.message.id, sent.id);
  EXPECT_EQ(told.message.headers, sent.headers);
  EXPECT_EQ(told.message.type, sent.type);
  EXPECT_EQ(told.message.priority, sent.priority);
  EXPECT_EQ(told.message.published_at, sent.published_at);
  EXPECT_EQ(told.attempts, 0U);
  // Sent on, it keeps everything and says how often it was tried.
  Properties again(*decoded->properties);
  again.set(attempts_header, 3);
  again.set(cause_header, word(Cause::crash));
  std::string more;
  ASSERT_TRUE(append_content(more, 1, again.get(), "body", 4096));
  Pool other;
  const Result<ContentHead> second = decode_head(*first_frame(more, limits).value(), other);
  ASSERT_TRUE(second);
  const Told later = read_properties(*second->properties, "body");
  EXPECT_EQ(later.attempts, 3U);
  EXPECT_EQ(later.cause, Cause::crash);
  EXPECT_EQ(later.message.headers, sent.headers);
}

TEST(Properties, AMessageWithoutAnIdIsNamedByItsContent) {
  const amqp_basic_properties_t nothing{};
  const std::string id = read_properties(nothing, "one").message.id;
  EXPECT_EQ(id, read_properties(nothing, "one").message.id);
  EXPECT_NE(id, read_properties(nothing, "two").message.id);
  EXPECT_TRUE(id.starts_with("content-")) << id;
}

TEST(Properties, HeadersThatDoNotFitAreRefusedAndLeaveNothingBehind) {
  Properties large(Message{.id = "a",
                           .body = {},
                           .headers = {{"h", std::string(5000, 'x')}},
                           .type = {},
                           .priority = 0,
                           .published_at = {}});
  std::string out = "before";
  EXPECT_FALSE(append_content(out, 1, large.get(), "body", 4096));
  EXPECT_EQ(out, "before");
}

}  // namespace
}  // namespace sluice::queue::rabbit
