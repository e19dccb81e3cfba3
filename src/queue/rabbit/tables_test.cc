// SPDX-License-Identifier: Apache-2.0
#include "queue/rabbit/tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "queue/rabbit/codec.h"

namespace sluice::queue::rabbit {
namespace {

using ::testing::HasSubstr;
using namespace std::string_literals;
using namespace std::string_view_literals;

std::string sized(std::string_view content) {
  std::string out;
  append_number(out, static_cast<std::uint32_t>(content.size()));
  return out + std::string(content);
}

// `depth` of them, each but the innermost, which is empty, with one entry, the next.
std::string nested(std::size_t depth, std::string_view entry) {
  std::string out;
  for (std::size_t inside = depth - 1; inside > 0; --inside) {
    append_number(out, static_cast<std::uint32_t>(inside * (4 + entry.size())));
    out += entry;
  }
  return out + sized("");
}
std::string nested_tables(std::size_t depth) {
  return nested(depth, "\x01kF");
}
// A table and in it arrays.
std::string nested_arrays(std::size_t depth) {
  return sized("\x01kA" + nested(depth - 1, "A"));
}

std::string verdict(const Result<void>& result) {
  return result ? "good" : result.error().what;
}

const std::string all_types = sized(
    "\x01"
    "at\x01\x01"
    "bb\xff\x01"
    "cB\xff\x01"
    "ds\x00\x01\x01"
    "eu\x00\x01\x01"
    "fI\x00\x00\x00\x01\x01"
    "gi\x00\x00\x00\x01\x01"
    "hl\xff\xff\xff\xff\xff\xff\xff\xff\x01"
    "iL\xff\xff\xff\xff\xff\xff\xff\xff\x01"
    "jf\x00\x00\x00\x00\x01"
    "kd\x00\x00\x00\x00\x00\x00\x00\x00\x01"
    "lD\xff\x00\x00\x00\x01\x01"
    "mS\x00\x00\x00\x02hi\x01"
    "nx\x00\x00\x00\x01\x00\x01"
    "oA\x00\x00\x00\x02t\x01\x01"
    "pT\xff\xff\xff\xff\xff\xff\xff\xff\x01"
    "qF\x00\x00\x00\x03\x01zV\x01"
    "rV"sv);

TEST(Tables, EveryTypeIsKnownAndEveryCutIsFound) {
  EXPECT_EQ(verdict(check_table(all_types)), "good");
  EXPECT_EQ(verdict(check_table(all_types + "what follows is none of its business")), "good");
  for (std::size_t n = 0; n < all_types.size(); ++n) {
    EXPECT_THAT(verdict(check_table(all_types.substr(0, n))), HasSubstr("cut short")) << n;
    // The same bytes, of which the size tells less than there are: the last entry is cut, or one fewer.
    const std::string cut = n < 4 ? "" : sized(std::string_view(all_types).substr(4, n - 4));
    Pool pool;
    amqp_table_t table{};
    std::size_t at = 0;
    if (!cut.empty() && check_table(cut)) {
      EXPECT_EQ(::amqp_decode_table(to_bytes(cut), pool.get(), &table, &at), AMQP_STATUS_OK) << n;
    }
  }
  EXPECT_THAT(verdict(check_table(sized("\x01kz"))), HasSubstr("unknown type 0x7a"));
  EXPECT_THAT(verdict(check_table(sized("\x05k"))), HasSubstr("cut short"));
  EXPECT_THAT(verdict(check_table(sized("\x01kS\xff\xff\xff\xff"))), HasSubstr("cut short"));
}

TEST(Tables, WhatIsInsideEndsInside) {
  // The inner table says it is longer than the one around it, and bytes for that follow.
  EXPECT_THAT(verdict(check_table(sized("\x01kF\x00\x00\x00\x03"sv) + "\x01zV")), HasSubstr("cut short"));
  EXPECT_THAT(verdict(check_table(sized("\x01kA\x00\x00\x00\x01"sv) + "V")), HasSubstr("cut short"));
}

TEST(Tables, AreRefusedWhenTheyAreNestedTooDeep) {
  EXPECT_EQ(verdict(check_table(nested_tables(depth_max))), "good");
  EXPECT_EQ(verdict(check_table(nested_arrays(depth_max))), "good");
  EXPECT_THAT(verdict(check_table(nested_tables(depth_max + 1))), HasSubstr("nested more than 64 deep"));
  EXPECT_THAT(verdict(check_table(nested_arrays(depth_max + 1))), HasSubstr("nested more than 64 deep"));
  EXPECT_THAT(verdict(check_table(nested_tables(21'000))), HasSubstr("nested more than 64 deep"));
  EXPECT_THAT(verdict(check_table(nested_arrays(26'000))), HasSubstr("nested more than 64 deep"));
}

TEST(Tables, OfAMethodAndOfAMessageAreLookedAtBeforeTheyAreDecoded) {
  const std::string texts = sized("PLAIN") + sized("en_US");
  const auto start = [&](const std::string& table) {
    const std::string arguments = std::string("\x00\x09"sv) + table + texts;
    Pool pool;
    const auto method = Method(AMQP_CONNECTION_START_METHOD, arguments).as<amqp_connection_start_t>(pool);
    return method ? std::string(to_view((*method)->mechanisms)) : method.error().what;
  };
  EXPECT_EQ(start(all_types), "PLAIN");
  EXPECT_THAT(start(nested_tables(20'000)), HasSubstr("nested more than 64 deep"));
  EXPECT_THAT(start(""), HasSubstr("cut short"));
  const auto message = [](std::string_view flags, const std::string& properties) {
    std::string payload("\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"sv);
    payload += flags;
    payload += properties;
    Pool pool;
    const Result<ContentHead> head =
        decode_head(Frame{.type = FrameType::header, .channel = 1, .payload = payload}, pool);
    return head ? "good" : head.error().what;
  };
  EXPECT_EQ(message("\x20\x00"sv, all_types), "good");
  EXPECT_EQ(message("\xe0\x00"sv, "\x04text\x00"s + all_types), "good");
  EXPECT_THAT(message("\xe0\x00"sv, "\x04text\x00"s + nested_tables(20'000)), HasSubstr("nested more than 64 deep"));
  EXPECT_THAT(message("\x80\x00"sv, "\xffshort"), HasSubstr("cut short"));
  EXPECT_THAT(message("\x40\x00"sv, ""), HasSubstr("cut short"));
  EXPECT_THAT(message("\x00\x01"sv, "\x00\x00"s), HasSubstr("more properties than there are"));
}

TEST(Tables, AMethodThatOnlyClientsSendIsNotDecoded) {
  Pool pool;
  const auto method = Method(AMQP_QUEUE_DECLARE_METHOD, "").as<amqp_queue_declare_t>(pool);
  ASSERT_FALSE(method);
  EXPECT_THAT(method.error().what, HasSubstr("AMQP_QUEUE_DECLARE_METHOD, which only clients send"));
}

}  // namespace
}  // namespace sluice::queue::rabbit
