// SPDX-License-Identifier: Apache-2.0
#include "gcp/key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <type_traits>

#include "aio/base64.h"
#include "gcp/testing_google.h"
#include "gcp/token_wire.h"

namespace sluice::gcp {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr KeyLimits loopback{.loopback_token_uri = true};

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string from_base64url(std::string text) {
  std::ranges::replace(text, '-', '+');
  std::ranges::replace(text, '_', '/');
  text.append((4 - text.size() % 4) % 4, '=');
  const Result<std::string> out = aio::from_base64(text);
  EXPECT_TRUE(out);
  return out.value_or("");
}

bool verifies(const std::string& pem, std::string_view text, const std::string& signature) {
  BIO* const bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  EVP_PKEY* const key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  EVP_MD_CTX* const digest = EVP_MD_CTX_new();
  const auto bytes = [](std::string_view t) { return reinterpret_cast<const unsigned char*>(t.data()); };
  const bool good = EVP_DigestVerifyInit(digest, nullptr, EVP_sha256(), nullptr, key) == 1 &&
                    EVP_DigestVerify(digest, bytes(signature), signature.size(), bytes(text), text.size()) == 1;
  EVP_MD_CTX_free(digest);
  EVP_PKEY_free(key);
  BIO_free(bio);
  return good;
}

TEST(Secret, HasNoWayOutButTheOneThatSaysSo) {
  static_assert(!std::is_convertible_v<Secret, std::string>);
  static_assert(!std::is_convertible_v<Secret, std::string_view>);
  static_assert(!std::is_convertible_v<std::string, Secret>);
  Secret one("canary");
  const Secret two = std::move(one);
  EXPECT_EQ(two.reveal(), "canary");
  EXPECT_TRUE(one.empty());  // NOLINT: that it is empty is the point
  std::string text = "canary";
  const char* const data = text.data();
  wipe(text);
  EXPECT_EQ(text.size(), 0U);
  EXPECT_EQ(std::string(data, 6), std::string(6, '\0'));
}

TEST(Key, OfAServiceAccountSignsWhatGoogleAsksFor) {
  const auto key = parse_key(key_json(test_pem()), loopback);
  ASSERT_TRUE(key) << key.error().what;
  const auto& account = std::get<ServiceAccountKey>(*key);
  EXPECT_EQ(account.email, "scaler@shop.iam.gserviceaccount.com");
  EXPECT_EQ(account.project, "shop");
  const auto assertion = make_assertion(account, "a b", *parse_wall("2026-01-31T14:02:30.125Z"));
  ASSERT_TRUE(assertion);
  const std::string text(assertion->reveal());
  const std::size_t dot = text.find('.');
  const std::size_t last = text.rfind('.');
  EXPECT_EQ(from_base64url(text.substr(0, dot)), R"({"alg":"RS256","typ":"JWT","kid":"k1"})");
  EXPECT_EQ(from_base64url(text.substr(dot + 1, last - dot - 1)),
            R"({"iss":"scaler@shop.iam.gserviceaccount.com","scope":"a b","aud":"http://127.0.0.1:9/token",)"
            R"("iat":1769868140,"exp":1769871740})");
  EXPECT_TRUE(verifies(test_pem(), text.substr(0, last), from_base64url(text.substr(last + 1))));
  EXPECT_FALSE(verifies(test_pem(), text.substr(0, last - 1), from_base64url(text.substr(last + 1))));
}

TEST(Key, OfAPersonIsARefreshToken) {
  const auto key = parse_key(user_json(), {});
  ASSERT_TRUE(key) << key.error().what;
  const auto request = token_request(*key, "/token", "scope", WallTime{});
  ASSERT_TRUE(request);
  EXPECT_EQ(request->body,
            "grant_type=refresh_token&client_id=id.apps&client_secret=S3CR3T-canary"
            "&refresh_token=1%2F%2FS3CR3T-canary-refresh");
  EXPECT_EQ(project_of(*key), "shop");
}

TEST(Key, ThatCannotBeUsedIsRefusedByItsFieldAndNeverShown) {
  const std::string good = key_json(test_pem());
  const std::string half(good.substr(0, good.size() / 2));
  const std::string pem = escaped(test_pem());
  const std::string cut = escaped(test_pem().substr(0, test_pem().size() / 2)) + "-----END PRIVATE KEY-----";
  struct Case {
    std::string text;
    const char* says;
  };
  for (const Case& one : {
           Case{"", "no JSON"},
           Case{half, "no JSON"},
           Case{good + good, "no JSON"},
           Case{"[]", "not a JSON object"},
           Case{"{}", "type is missing"},
           Case{replaced(good, "service_account", "external_account"), "neither service_account nor authorized_user"},
           Case{replaced(good, R"("type")", R"("type":"service_account","type")"), "twice"},
           Case{replaced(good, pem, cut), "private_key: not a PEM key"},
           Case{replaced(good, pem, ""), "private_key is empty"},
           Case{replaced(good, pem, escaped(rsa_pem(1024))), "private_key: 1024 bits; accepted: 2048 to 8192"},
           Case{replaced(good, pem, std::string(20000, 'A')), "private_key is too long"},
           Case{replaced(good, "scaler@", "scaler\\r\\n@"), "client_email has characters"},
           Case{replaced(good, "client_email", "client_mail"), "client_email is missing"},
           Case{replaced(good, "http://127.0.0.1:9/token", "http://example.com/token"), "token_uri is not https"},
           Case{replaced(good, "http://127.0.0.1:9/token", "file:///etc/passwd"), "token_uri is not a URL"},
           Case{replaced(good, "http://127.0.0.1:9/token", "unix:/run/x"), "token_uri is not a URL"},
           Case{replaced(good, "http://127.0.0.1:9/token", "http://127.evil.example/"), "token_uri is not https"},
           Case{std::string(70000, ' '), "longer than 65536 bytes"},
           Case{replaced(user_json(), "refresh_token", "token"), "refresh_token is missing"},
           Case{replaced(user_json(), R"("S3CR3T-canary")", "7"), "client_secret is not a text"},
       }) {
    const auto key = parse_key(one.text, loopback);
    ASSERT_FALSE(key) << one.says;
    EXPECT_EQ(key.error().code, Code::invalid);
    EXPECT_THAT(key.error().what, HasSubstr(one.says));
    EXPECT_THAT(key.error().what, Not(HasSubstr("S3CR3T")));
    EXPECT_THAT(key.error().what, Not(HasSubstr("MII")));
    EXPECT_THAT(key.error().what, Not(HasSubstr("\n")));
  }
  EXPECT_FALSE(parse_key(good, {})) << "loopback only where it is allowed";
}

TEST(Key, OfAnotherKindThanRsaIsRefused) {
  EVP_PKEY* const ec = EVP_EC_gen("P-256");
  BIO* const bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(bio, ec, nullptr, nullptr, 0, nullptr, nullptr);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  const std::string pem(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  EVP_PKEY_free(ec);
  const auto key = parse_key(key_json(pem), loopback);
  ASSERT_FALSE(key);
  EXPECT_EQ(key.error().what, "private_key: not an RSA key");
}

TEST(Token, IsTakenOnlyWhenItCanStandInAHeader) {
  const auto good = parse_token(R"({"access_token":"ya29.a-b","expires_in":3599,"token_type":"Bearer","scope":"x"})");
  ASSERT_TRUE(good);
  EXPECT_EQ(good->text.reveal(), "ya29.a-b");
  EXPECT_EQ(good->life, std::chrono::seconds{3599});
  for (const char* bad : {"", "[]", "{}", R"({"access_token":"a"})", R"({"access_token":"","expires_in":1})",
                          R"({"access_token":"a\r\nX: y","expires_in":1})", R"({"access_token":"a b","expires_in":1})",
                          R"({"access_token":7,"expires_in":1})", R"({"access_token":"a","expires_in":0})",
                          R"({"access_token":"a","expires_in":-5})", R"({"access_token":"a","expires_in":"1"})",
                          R"({"access_token":"a","expires_in":1,"token_type":"mac"})"}) {
    EXPECT_FALSE(parse_token(bad)) << bad;
  }
}

}  // namespace
}  // namespace sluice::gcp
