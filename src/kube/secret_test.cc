// SPDX-License-Identifier: Apache-2.0
#include "kube/secret.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kube/testing_api.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

TEST(Secret, IsTheBytesOfItsKeys) {
  const Result<SecretData> data =
      read_secret(R"({"kind":"Secret","data":{"username":"YWxpY2U=","password":"cDRzcwoA"},"type":"Opaque"})");
  ASSERT_TRUE(data.has_value()) << data.error().what;
  EXPECT_THAT(*data, ElementsAre(Pair("password", std::string("p4ss\n\0", 6)), Pair("username", "alice")));
}

TEST(Secret, WithoutDataHasNoKeys) {
  EXPECT_TRUE(read_secret(R"({"kind":"Secret"})").value().empty());
  EXPECT_TRUE(read_secret(R"({"kind":"Secret","data":null})").value().empty());
}

TEST(Secret, ThatCannotBeReadIsNotRepeated) {
  for (const char* text : {R"({"data":{"password":"Qz!!CANARY"}})", R"({"data":{"password":["CANARY"]}})",
                           R"({"data":"CANARY"})", R"(["CANARY"])", "CANARY", ""}) {
    const Result<SecretData> data = read_secret(text);
    ASSERT_FALSE(data.has_value()) << text;
    EXPECT_THAT(data.error().what, Not(HasSubstr("CANARY")));
  }
}

// What a pool's user reads when its Secret cannot be read.
TEST(Secret, SaysWhatIsMissing) {
  aio::Loop loop;
  aio::VirtualClock clock(loop);
  FakeApi fake(loop, clock);
  Access access;
  access.server = "http://api:80";
  Api api(loop, clock, access, ReadFile{}, {}, ApiOptions{.dial = fake.dial()});
  std::vector<std::string> asked;
  int status = 200;
  fake.on_request = [&](const std::string& method, const std::string& path, const std::string&) {
    asked.push_back(method + " " + path);
    const std::string words = R"({"kind":"Status","message":"secrets \"rabbit\" is forbidden"})";
    return FakeApi::Answer{.status = status, .body = status == 200 ? R"({"data":{"username":"YWxpY2U="}})" : words};
  };
  clock.run([&]() -> aio::Task<void> {
    const Result<SecretData> good = co_await get_secret(api, "shop", "rabbit", clock.in(5s));
    EXPECT_THAT(good.value(), ElementsAre(Pair("username", "alice")));
    status = 404;
    const Result<SecretData> none = co_await get_secret(api, "shop", "rabbit", clock.in(5s));
    EXPECT_EQ(none.error().code, Code::gone);
    EXPECT_THAT(none.error().what, HasSubstr("there is no Secret rabbit in namespace shop; kubectl -n shop create"));
    status = 403;
    const Result<SecretData> denied = co_await get_secret(api, "shop", "rabbit", clock.in(5s));
    EXPECT_EQ(denied.error().code, Code::denied);
    EXPECT_THAT(denied.error().what, HasSubstr("credentials.read"));
    co_await fake.stop();
  }());
  EXPECT_THAT(asked, testing::Each("GET /api/v1/namespaces/shop/secrets/rabbit"));
}

}  // namespace
}  // namespace sluice::kube
