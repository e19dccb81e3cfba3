// SPDX-License-Identifier: Apache-2.0
#include "aio/url.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::aio {
namespace {

std::string parts(std::string_view text) {
  const Result<Url> url = parse_url(text);
  return url ? fmt::format("{} {} {}", url->base(), url->host_field(), url->target) : "refused";
}

TEST(Url, TakesWhatClientsNeed) {
  EXPECT_EQ(parts("http://Example.com"), "http://example.com:80 example.com /");
  EXPECT_EQ(parts("http://a:8080/x?y=z"), "http://a:8080 a:8080 /x?y=z");
  EXPECT_EQ(parts("https://a?y"), "https://a:443 a /?y");
  EXPECT_EQ(parts("https://10.0.0.1:443/"), "https://10.0.0.1:443 10.0.0.1 /");
  EXPECT_EQ(parts("http://[::1]:81/"), "http://[::1]:81 [::1]:81 /");
  EXPECT_EQ(parts("http://a-b.c_d.svc.cluster.local./"),
            "http://a-b.c_d.svc.cluster.local.:80 a-b.c_d.svc.cluster.local. /");
  EXPECT_EQ(parts("unix:/run/my folder/x.sock"), "unix:/run/my folder/x.sock localhost /");
}

TEST(Url, RefusesWhatTwoProgramsCouldReadAsTwoHosts) {
  for (const char* text : {"",
                           "a",
                           "//a",
                           "ftp://a",
                           "HTTP://a",
                           "http:/a",
                           "http://",
                           "http:///x",
                           "http://:80",
                           "http://a:b@h@evil/",
                           "http://user@a/",
                           "http://h#@evil",
                           "http://a/#b",
                           "http://a\\b",
                           "http://a b",
                           "http://a/ b",
                           "http://a\r\nX: y/",
                           "http://0x7f.1",
                           "http://2130706433",
                           "http://127.1",
                           "http://0177.0.0.1",
                           "http://1.2.3.4.5",
                           "http://1.2.3.256",
                           "http://1.2.3.4.",
                           "http://a:0",
                           "http://a:65536",
                           "http://a:",
                           "http://a:+80",
                           "http://a:8 0",
                           "http://a:80:80",
                           "http://[::1",
                           "http://[::1]x",
                           "http://[1.2.3.4]",
                           "http://[fe80::1%25eth0]/",
                           "http://::1/",
                           "http://a..b",
                           "http://-a",
                           "http://a-",
                           "http://.",
                           "http://%61",
                           "http://b\303\274cher.example",
                           "unix:x",
                           "unix:/a\nb"}) {
    EXPECT_EQ(parts(text), "refused") << text;
  }
  EXPECT_EQ(parts("http://" + std::string(65536, 'a')), "refused");
  EXPECT_EQ(parts("http://" + std::string(64, 'a')), "refused");
}

TEST(Url, NeverRepeatsACredential) {
  const Result<Url> url = parse_url("http://admin:hunter2@broker:15672");
  EXPECT_THAT(url.error().what, testing::HasSubstr("credentials do not belong in it; accepted: http://host:port/path"));
  EXPECT_THAT(url.error().what, testing::Not(testing::HasSubstr("hunter2")));
}

TEST(PercentEncoded, KeepsOnlyWhatNoPathReadsAsItsOwn) {
  EXPECT_EQ(percent_encoded("/"), "%2F");
  EXPECT_EQ(percent_encoded("a-b_c.d~9"), "a-b_c.d~9");
  EXPECT_EQ(percent_encoded("\xC3\xA9 ?&="), "%C3%A9%20%3F%26%3D");
  EXPECT_EQ(percent_encoded("."), "%2E");
  EXPECT_EQ(percent_encoded(".."), "%2E%2E");
  EXPECT_EQ(percent_encoded("..."), "...");
}

}  // namespace
}  // namespace sluice::aio
