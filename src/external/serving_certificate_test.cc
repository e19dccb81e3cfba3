// SPDX-License-Identifier: Apache-2.0
#include "external/serving_certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "aio/faults.h"
#include "aio/task_group.h"
#include "aio/testing_certificates.h"
#include "aio/tls.h"
#include "external/authority_secret.h"
#include "external/testing_trust.h"

namespace sluice::external {
namespace {

using namespace std::chrono_literals;
using aio::test_certificate;
using aio::TestCertificate;
using testing::HasSubstr;
using testing::Not;

const ServiceName service{.space = "ops", .name = "sluice-adapter"};
const WallTime now = *parse_wall("2026-03-01T12:00:00Z");

KeyedCertificate pair_of(const TestCertificate& made) {
  return {.cert_pem = made.cert_pem(), .key_pem = made.key_pem()};
}
std::string why(const Result<Validity>& result) {
  return result ? "good" : std::string(code_word(result.error().code)) + ": " + result.error().what;
}

class Serving : public testing::Test {
 protected:
  const KeyedCertificate authority_ = make_authority(service, now).value();
  const KeyedCertificate serving_ = make_serving(authority_, service, now).value();
};

TEST_F(Serving, IsTrustedByTheBundleForItsServiceAlone) {
  const auto trust = [&](const std::string& host, WallTime at) {
    return trust_in(authority_.cert_pem, serving_.cert_pem, host, at);
  };
  EXPECT_EQ(trust("sluice-adapter.ops.svc", now), "trusted");
  EXPECT_EQ(trust("sluice-adapter.ops.svc", now - 9min), "trusted") << "another machine's clock";
  EXPECT_EQ(trust("sluice-adapter.ops.svc", now + 24h * 29), "trusted");
  EXPECT_THAT(trust("sluice-adapter.ops.svc", now + 24h * 30), HasSubstr("expired"));
  EXPECT_THAT(trust("kubernetes.default.svc", now), HasSubstr("hostname"));
  const KeyedCertificate other = make_authority(service, now).value();
  EXPECT_THAT(trust_in(other.cert_pem, serving_.cert_pem, service.host(), now), Not("trusted")) << "of the same name";
  EXPECT_EQ(trust_in(other.cert_pem + authority_.cert_pem, serving_.cert_pem, service.host(), now), "trusted");
}

TEST_F(Serving, LastsAMonthAndItsAuthorityTenYears) {
  const Validity month = check_pair(serving_).value();
  EXPECT_EQ(month, (Validity{.from = now - 10min, .until = now + 24h * 30}));
  EXPECT_FALSE(month.renewal_due(now + 24h * 19));
  EXPECT_TRUE(month.renewal_due(now + 24h * 20));
  const Validity decade = check_authority(authority_, now).value();
  EXPECT_EQ(decade.until, now + 24h * 3652);
  EXPECT_FALSE(decade.renewal_due(now + 24h * 2430));
  EXPECT_TRUE(decade.renewal_due(now + 24h * 2435));
}

TEST_F(Serving, DoesNotOutliveItsAuthority) {
  const WallTime late = now + authority_life - 1h;
  const KeyedCertificate last = make_serving(authority_, service, late).value();
  EXPECT_EQ(check_pair(last)->until, now + authority_life);
  EXPECT_THAT(make_serving(authority_, service, now + authority_life).error().what,
              HasSubstr("the authority is for the time from 2026-03-01"));
}

TEST_F(Serving, HasANumberAndAKeyOfItsOwn) {
  const KeyedCertificate again = make_serving(authority_, service, now).value();
  EXPECT_NE(again.cert_pem, serving_.cert_pem);
  EXPECT_NE(again.key_pem, serving_.key_pem);
  EXPECT_THAT(why(check_pair({.cert_pem = again.cert_pem, .key_pem = serving_.key_pem})),
              HasSubstr("invalid: the private key does not belong to the certificate"));
}

TEST_F(Serving, HasAServiceOfAnyLengthForItsName) {
  const ServiceName longest{.space = std::string(63, 'n'), .name = std::string(63, 's')};
  const KeyedCertificate authority = make_authority(longest, now).value();
  const KeyedCertificate serving = make_serving(authority, longest, now).value();
  EXPECT_EQ(trust_in(authority.cert_pem, serving.cert_pem, longest.host(), now), "trusted");
  for (const ServiceName& bad : {ServiceName{}, ServiceName{.space = "ops", .name = "a,DNS:kubernetes"},
                                 ServiceName{.space = std::string(64, 'n'), .name = "a"}}) {
    EXPECT_EQ(make_authority(bad, now).error().code, Code::invalid);
    EXPECT_EQ(make_serving(authority_, bad, now).error().code, Code::invalid);
  }
}

TEST_F(Serving, IsNotSignedByWhatIsNoAuthority) {
  EXPECT_THAT(why(check_authority(serving_, now)), HasSubstr("may not sign"));
  EXPECT_THAT(why(check_authority({}, now)), HasSubstr("the authority: the certificate cannot be read"));
  EXPECT_THAT(why(check_authority({.cert_pem = authority_.cert_pem, .key_pem = "CANARY"}, now)),
              HasSubstr("the authority: the private key cannot be read"));
  EXPECT_THAT(why(check_authority({.cert_pem = authority_.cert_pem, .key_pem = serving_.key_pem}, now)),
              HasSubstr("does not belong"));
  EXPECT_THAT(why(check_authority(authority_, now - 2h)), HasSubstr("is for the time"));
  EXPECT_EQ(why(check_authority(authority_, now - 1h)), "good") << "made by a machine whose clock is ahead";
  const std::string half = authority_.cert_pem.substr(0, authority_.cert_pem.size() / 2);
  EXPECT_THAT(why(check_authority({.cert_pem = half, .key_pem = authority_.key_pem}, now)),
              HasSubstr("cannot be read"));
}

TEST_F(Serving, IsNotSignedByAnAuthorityForClients) {
  aio::Loop loop;
  const WallTime today = aio::RealClock(loop).wall();
  const TestCertificate any = test_certificate("any", nullptr, "");
  EXPECT_EQ(why(check_authority(pair_of(any), today)), "good");
  const TestCertificate clients = test_certificate("clients", nullptr, "", -60, 3600, "clientAuth");
  EXPECT_THAT(why(check_authority(pair_of(clients), today)), HasSubstr("may not sign"));
  EXPECT_THAT(why(check_pair({.cert_pem = any.cert_pem(), .key_pem = any.key_pem("password")})),
              HasSubstr("without a password"));
}

TEST_F(Serving, IsFoundInABundleHoweverItIsWritten) {
  const KeyedCertificate other = make_authority(service, now).value();
  EXPECT_TRUE(bundle_holds(authority_.cert_pem, authority_.cert_pem));
  EXPECT_TRUE(bundle_holds("# by hand\n" + other.cert_pem + "\nand\n" + authority_.cert_pem, authority_.cert_pem));
  EXPECT_FALSE(bundle_holds(other.cert_pem, authority_.cert_pem));
  EXPECT_FALSE(bundle_holds("", authority_.cert_pem));
  EXPECT_FALSE(bundle_holds(authority_.cert_pem, ""));
}

// As `kubectl create secret --from-literal` leaves it.
TEST_F(Serving, ABundleHoldsAuthoritiesWhoseLastLineHasNoEnd) {
  const KeyedCertificate other = make_authority(service, now).value();
  const std::string cut = authority_.cert_pem.substr(0, authority_.cert_pem.size() - 1);
  const std::string bundle = bundle_of(
      {{.pair = {.cert_pem = cut, .key_pem = authority_.key_pem}, .validity = {}}, {.pair = other, .validity = {}}});
  EXPECT_TRUE(bundle_holds(bundle, authority_.cert_pem));
  EXPECT_TRUE(bundle_holds(bundle, other.cert_pem));
}

// The pair and the bundle in a real handshake, today.
TEST(ServingHandshake, IsTakenByAClientThatTrustsTheBundle) {
  aio::Loop loop;
  const WallTime today = aio::RealClock(loop).wall();
  const KeyedCertificate authority = make_authority(service, today).value();
  const KeyedCertificate serving = make_serving(authority, service, today).value();
  aio::VirtualClock clock(loop);
  const auto server = aio::TlsContext::server({.cert_pem = serving.cert_pem, .key_pem = serving.key_pem});
  const auto client = aio::TlsContext::client({.ca_pem = authority.cert_pem});
  ASSERT_TRUE(server && client);
  const auto accept = [&clock](std::unique_ptr<aio::Stream> raw, aio::TlsContext with) -> aio::Task<void> {
    const Result<std::unique_ptr<aio::Stream>> stream =
        co_await aio::tls_accept(clock, std::move(raw), with, clock.in(5s));
    EXPECT_TRUE(stream) << stream.error().what;
  };
  clock.run([&]() -> aio::Task<void> {
    aio::TaskGroup group(loop, clock);
    aio::StreamPair pair = aio::stream_pair(clock);
    group.spawn(accept(std::move(pair.second), *server));
    const Result<std::unique_ptr<aio::Stream>> stream =
        co_await aio::tls_connect(clock, std::move(pair.first), *client, service.host(), clock.in(5s));
    EXPECT_TRUE(stream) << stream.error().what;
    co_await group.join();
  }());
}

}  // namespace
}  // namespace sluice::external
