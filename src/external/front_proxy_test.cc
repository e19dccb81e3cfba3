// SPDX-License-Identifier: Apache-2.0
#include "external/front_proxy.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::external {
namespace {

using aio::PeerName;
using aio::http::HeaderList;

ProxyConfig usual() {
  return {.client_ca_pem = "clients",
          .proxy_ca_pem = "proxy",
          .allowed_names = {"front-proxy-client"},
          .user_headers = {"X-Remote-User"},
          .uid_headers = {"X-Remote-Uid"},
          .group_headers = {"X-Remote-Group"},
          .extra_prefixes = {"X-Remote-Extra-"}};
}

PeerFacts proxy_named(const std::string& name) {
  return {.shown = true, .proxy = PeerName{.common_name = name}};
}

// One line: "name/uid groups extra", "token X" or "refused".
std::string said(const Asker& asker) {
  if (const auto* token = std::get_if<BearerToken>(&asker)) {
    return "token " + token->token;
  }
  const auto* user = std::get_if<User>(&asker);
  if (user == nullptr) {
    return "refused";
  }
  std::string out = user->name + (user->uid.empty() ? "" : "/" + user->uid);
  for (const std::string& group : user->groups) {
    out += " " + group;
  }
  for (const auto& [key, values] : user->extra) {
    out += " " + key;
    for (const std::string& value : values) {
      out += "=" + value;
    }
  }
  return out;
}

TEST(FrontProxy, SpeaksForTheUserOfItsHeaders) {
  const HeaderList headers = {
      {"x-remote-USER", "jane"},
      {"X-Remote-Group", "a"},
      {"X-Remote-Uid", "42"},
      {"x-remote-group", "b"},
      {"X-Remote-Extra-Scopes", "s1"},
      {"x-remote-extra-scopes", "s2"},
      {"X-Remote-Extra-Acme.com%2FK", ""},
      {"X-Remote-Extra-50%", "x"},
      {"X-Remote-User", "second"},
      {"Authorization", "Bearer t"},
  };
  EXPECT_EQ(said(who_asks(proxy_named("front-proxy-client"), usual(), headers)),
            "jane/42 a b system:authenticated 50%=x acme.com/k= scopes=s1=s2");
}

TEST(FrontProxy, TakesTheNamesOfHeadersFromTheConfiguration) {
  ProxyConfig config = usual();
  config.user_headers = {"X-First", "X-Second"};
  config.group_headers = {"X-G", "X-H"};
  config.uid_headers = {};
  config.extra_prefixes = {"X-E-", "X-F-"};
  const HeaderList headers = {{"X-First", ""}, {"X-Second", "u"}, {"X-H", "h"},          {"X-G", "g"},
                              {"X-G", ""},     {"X-F-a", "1"},    {"X-Remote-Uid", "7"}, {"X-Remote-Group", "no"}};
  EXPECT_EQ(said(who_asks(proxy_named("front-proxy-client"), config, headers)), "u g h system:authenticated a=1");
}

TEST(FrontProxy, AddsTheGroupOfAllOnce) {
  const PeerFacts proxy = proxy_named("front-proxy-client");
  EXPECT_EQ(said(who_asks(proxy, usual(), {{"X-Remote-User", "u"}, {"X-Remote-Group", "system:authenticated"}})),
            "u system:authenticated");
  EXPECT_EQ(said(who_asks(proxy, usual(),
                          {{"X-Remote-User", "system:anonymous"}, {"X-Remote-Group", "system:unauthenticated"}})),
            "system:anonymous system:unauthenticated");
  EXPECT_EQ(said(who_asks(proxy, usual(), {{"X-Remote-User", "system:kube-aggregator"}})),
            "system:kube-aggregator system:authenticated");
}

TEST(FrontProxy, GoesOnInTheAggregatorsOrder) {
  const HeaderList none;
  const HeaderList user = {{"X-Remote-User", "root"}, {"X-Remote-Group", "system:masters"}};
  const HeaderList user_and_token = {{"X-Remote-User", "root"}, {"Authorization", "Bearer t"}};
  const HeaderList token = {{"Authorization", "bearer t"}};
  const PeerFacts no_certificate;
  const PeerFacts foreign{.shown = true};
  const PeerFacts client{.shown = true, .client = PeerName{.common_name = "jane", .organizations = {"dev", "ops"}}};
  const PeerFacts nameless{.shown = true, .client = PeerName{.organizations = {"dev"}}};
  const PeerFacts both{.shown = true,
                       .proxy = PeerName{.common_name = "front-proxy-client"},
                       .client = PeerName{.common_name = "front-proxy-client"}};
  struct Case {
    const char* name;
    PeerFacts peer;
    HeaderList headers;
    const char* want;
  };
  const Case cases[] = {
      {"nothing", no_certificate, none, "system:anonymous system:unauthenticated"},
      {"headers alone", no_certificate, user, "refused"},
      {"headers and a token", no_certificate, user_and_token, "token t"},
      {"a token", no_certificate, token, "token t"},
      {"a foreign certificate", foreign, none, "refused"},
      {"a foreign certificate with headers", foreign, user, "refused"},
      {"a foreign certificate with a token", foreign, token, "token t"},
      {"a client", client, none, "jane dev ops system:authenticated"},
      {"a client with headers", client, user, "jane dev ops system:authenticated"},
      {"a client with a token", client, token, "jane dev ops system:authenticated"},
      {"a client without a name", nameless, none, "refused"},
      {"another name of the proxy's authority", proxy_named("other"), user, "refused"},
      {"no name of the proxy's authority", proxy_named(""), user, "refused"},
      {"the proxy for nobody", proxy_named("front-proxy-client"), none, "refused"},
      {"the proxy for an empty name", proxy_named("front-proxy-client"), {{"X-Remote-User", ""}}, "refused"},
      {"the proxy with a token", proxy_named("front-proxy-client"), token, "token t"},
      {"the proxy, a client too, for nobody", both, none, "front-proxy-client system:authenticated"},
  };
  for (const Case& each : cases) {
    EXPECT_EQ(said(who_asks(each.peer, usual(), each.headers)), each.want) << each.name;
  }
}

TEST(FrontProxy, FollowsWhatIsConfigured) {
  const HeaderList user = {{"X-Remote-User", "u"}};
  ProxyConfig any = usual();
  any.allowed_names = {};
  EXPECT_EQ(said(who_asks(proxy_named("whoever"), any, user)), "u system:authenticated");
  ProxyConfig no_proxy = usual();
  no_proxy.proxy_ca_pem = "";
  EXPECT_EQ(said(who_asks(proxy_named("front-proxy-client"), no_proxy, user)), "refused");
  const ProxyConfig nothing;
  EXPECT_EQ(said(who_asks({.shown = true}, nothing, {})), "system:anonymous system:unauthenticated");
}

TEST(FrontProxy, ReadsBearerTokensAsAnApiServerDoes) {
  const std::pair<const char*, const char*> cases[] = {
      {"Bearer abc", "token abc"},
      {"BEARER abc", "token abc"},
      {"  Bearer abc ", "token abc"},
      {"Bearer abc def", "token abc"},
      {"Bearer  abc", "system:anonymous system:unauthenticated"},
      {"Bearer", "system:anonymous system:unauthenticated"},
      {"Basic abc", "system:anonymous system:unauthenticated"},
      {"", "system:anonymous system:unauthenticated"},
  };
  for (const auto& [value, want] : cases) {
    EXPECT_EQ(said(who_asks({}, usual(), {{"Authorization", value}})), want) << value;
  }
}

std::string map_with(std::string_view key, std::string_view json_string) {
  return fmt::format(R"({{"kind":"ConfigMap","data":{{"{}":{}}}}})", key, json_string);
}

TEST(ProxyConfig, IsReadFromItsConfigMap) {
  const Result<ProxyConfig> read = parse_proxy_config(
      R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"extension-apiserver-authentication"},"data":{)"
      R"("client-ca-file":"-----BEGIN CERTIFICATE-----\na\n","requestheader-allowed-names":"[\"front-proxy-client\"]",)"
      R"("requestheader-client-ca-file":"-----BEGIN CERTIFICATE-----\nb\n",)"
      R"("requestheader-extra-headers-prefix":"[\"X-Remote-Extra-\"]","requestheader-group-headers":)"
      R"("[\"X-Remote-Group\"]","requestheader-uid-headers":"[\"X-Remote-Uid\"]",)"
      R"("requestheader-username-headers":"[\"X-Remote-User\"]","a-later-key":"x"}})");
  ASSERT_TRUE(read) << read.error().what;
  ProxyConfig want = usual();
  want.client_ca_pem = "-----BEGIN CERTIFICATE-----\na\n";
  want.proxy_ca_pem = "-----BEGIN CERTIFICATE-----\nb\n";
  EXPECT_EQ(*read, want);
  EXPECT_EQ(parse_proxy_config(R"({"data":{}})"), ProxyConfig());
  EXPECT_EQ(parse_proxy_config(map_with("requestheader-allowed-names", R"("[]")")), ProxyConfig());
}

TEST(ProxyConfig, RefusesHalfAConfiguration) {
  const std::string list = "requestheader-allowed-names";
  const std::pair<std::string, const char*> cases[] = {
      {"", "ConfigMap"},
      {"[]", "data"},
      {"{}", "data"},
      {R"({"data":null})", "data"},
      {R"({"data":{},"data":{}})", "ConfigMap"},
      {map_with("client-ca-file", "7"), "client-ca-file: not a string"},
      {map_with("client-ca-file", R"("no pem")"), "client-ca-file: no certificate"},
      {map_with("requestheader-client-ca-file", R"("no pem")"), "requestheader-client-ca-file: no certificate"},
      {map_with(list, "[]"), "requestheader-allowed-names: not a string"},
      {map_with(list, R"("a")"), "requestheader-allowed-names: not a JSON array"},
      {map_with(list, R"("{}")"), "requestheader-allowed-names: not a JSON array"},
      {map_with(list, R"("[1]")"), "requestheader-allowed-names: not a JSON array"},
      {map_with(list, R"("[\"a\"")"), "requestheader-allowed-names: not a JSON array"},
      {map_with(list, R"("[\"\"]")"), "of which none is empty"},
      {map_with("requestheader-extra-headers-prefix", R"("[\" \"]")"), "of which none is empty"},
  };
  for (const auto& [text, want] : cases) {
    const Result<ProxyConfig> read = parse_proxy_config(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code, Code::invalid) << text;
    EXPECT_THAT(read.error().what, testing::HasSubstr(want)) << text;
  }
}

}  // namespace
}  // namespace sluice::external
