// SPDX-License-Identifier: Apache-2.0
#include "kube/event.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace sluice::kube {
namespace {

namespace json = boost::json;
using testing::EndsWith;

constexpr WallTime at{std::chrono::milliseconds{1'700'000'000'123}};

Telling told(std::string message) {
  Meta about;
  about.space = "shop";
  about.name = "orders";
  about.uid = "u-1";
  return {.about = about, .warning = true, .reason = "Full", .message = std::move(message)};
}

TEST(Event, IsAboutThePool) {
  const json::value event = json::parse(event_json(told("full: \"no room\""), "orders.1f", at));
  EXPECT_EQ(event.at("metadata").at("name").as_string(), "orders.1f");
  EXPECT_EQ(event.at("metadata").at("namespace").as_string(), "shop");
  EXPECT_EQ(event.at("involvedObject").at("uid").as_string(), "u-1");
  EXPECT_EQ(event.at("involvedObject").at("kind").as_string(), "WorkerPool");
  EXPECT_EQ(event.at("type").as_string(), "Warning");
  EXPECT_EQ(event.at("message").as_string(), "full: \"no room\"");
  EXPECT_EQ(event.at("lastTimestamp").as_string(), "2023-11-14T22:13:20Z");
}

TEST(Event, AMessageThatIsTooLongIsCutBetweenCharacters) {
  for (std::size_t before = 0; before < 4; ++before) {
    std::string message(before, 'a');
    while (message.size() < 2000) {
      message += "\xC3\xA9";
    }
    const json::value event = json::parse(event_json(told(message), "orders.1f", at));
    const std::string text(event.at("message").as_string());
    EXPECT_LE(text.size(), 1024U);
    EXPECT_GT(text.size(), 1016U);
    EXPECT_THAT(text, EndsWith("\xC3\xA9 .."));
  }
}

}  // namespace
}  // namespace sluice::kube
