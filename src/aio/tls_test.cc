// SPDX-License-Identifier: Apache-2.0
#include "aio/tls.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>

#include "aio/faults.h"
#include "aio/http.h"
#include "aio/task_group.h"
#include "aio/testing_certificates.h"
#include "aio/url.h"

namespace sluice::aio {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class TlsTest : public testing::Test {
 protected:
  // An exchange between a client that trusts `trusted` and a server; the body or the error.
  std::string talk(const TlsServerOptions& server, const TlsOptions& client, const std::string& url) {
    Loop loop;
    VirtualClock clock(loop);
    Faults none(0, Fault::none);
    return exchange(loop, clock, server, client, url, none);
  }

  std::string exchange(Loop& loop, VirtualClock& clock, const TlsServerOptions& server_options,
                       const TlsOptions& client_options, const std::string& url, Faults& faults) {
    const http::Handler handler = [](http::Request request) -> Task<http::Response> {
      co_return http::Response{.body = "hello " + request.body};
    };
    http::Server server(loop, clock, handler, {});
    const Result<TlsContext> context = TlsContext::server(server_options);
    EXPECT_TRUE(context.has_value()) << (context ? "" : context.error().what);
    TaskGroup group(loop, clock);
    const auto accept = [](http::Server& to, std::unique_ptr<Stream> raw, TlsContext with, Clock& time) -> Task<void> {
      Result<std::unique_ptr<Stream>> stream = co_await tls_accept(time, std::move(raw), with, time.in(5s));
      if (stream) {
        co_await to.serve(std::move(*stream), "");
      }
    };
    const http::Dial dial = [&](Url, Deadline deadline) -> Task<Result<std::unique_ptr<Stream>>> {
      const Result<void> step = co_await connect_step(faults, clock, deadline);
      if (!step) {
        co_return step.error();
      }
      StreamPair pair = stream_pair(clock);
      group.spawn(accept(server, std::move(pair.second), *context, clock));
      co_return with_faults(std::move(pair.first), faults, clock);
    };
    auto client = std::make_unique<http::Client>(loop, clock, http::ClientOptions{.tls = client_options, .dial = dial});
    std::string out;
    const auto main = [&]() -> Task<void> {
      const Time start = clock.now();
      http::Request request{.method = "POST", .body = std::string(2000, 'b')};
      const Result<http::Response> r = co_await client->send(url, std::move(request), clock.in(10s));
      EXPECT_LE(clock.now() - start, 10s);
      out = r ? r->body : fmt::format("{}: {}", code_word(r.error().code), r.error().what);
      client.reset();
      co_await group.join();
    };
    clock.run(main());
    return out;
  }

  static TlsServerOptions serving(const TestCertificate& made) {
    return {.cert_pem = made.cert_pem(), .key_pem = made.key_pem()};
  }

  const std::string hello_ = "hello " + std::string(2000, 'b');
  const TestCertificate ca_ = test_certificate("our CA", nullptr, "");
  const TestCertificate other_ca_ = test_certificate("other CA", nullptr, "");
  const TestCertificate good_ =
      test_certificate("good", &ca_, "DNS:broker.test,DNS:*.pool.test,IP:192.0.2.1,IP:2001:db8::1");
  const TlsOptions trusting_{.ca_pem = ca_.cert_pem()};
};

TEST_F(TlsTest, TalksToWhoHasTheRightCertificate) {
  EXPECT_EQ(talk(serving(good_), trusting_, "https://broker.test"), hello_);
  EXPECT_EQ(talk(serving(good_), trusting_, "https://broker.test.:8443"), hello_);
  EXPECT_EQ(talk(serving(good_), trusting_, "https://a.pool.test"), hello_);
  EXPECT_EQ(talk(serving(good_), trusting_, "https://192.0.2.1"), hello_);
  EXPECT_EQ(talk(serving(good_), trusting_, "https://[2001:db8::1]"), hello_);
  TlsOptions named = trusting_;
  named.server_name = "broker.test";
  EXPECT_EQ(talk(serving(good_), named, "https://192.0.2.77"), hello_) << "the name asked for counts, not the address";
}

TEST_F(TlsTest, RefusesEveryBadCertificateAndSaysWhy) {
  const auto refused = [&](const TlsServerOptions& server, const TlsOptions& client, const std::string& url) {
    const std::string out = talk(server, client, url);
    EXPECT_THAT(out, testing::StartsWith("denied: POST https://"));
    return out;
  };
  const TlsServerOptions good = serving(good_);
  EXPECT_THAT(refused(good, trusting_, "https://evil.test"),
              HasSubstr("certificate refused: hostname mismatch: it is for broker.test, *.pool.test, 192.0.2.1, "
                        "2001:db8::1; connect by such a name, or give it as the server's name (serverName)"));
  EXPECT_THAT(refused(good, trusting_, "https://a.b.pool.test"), HasSubstr("hostname mismatch"));
  EXPECT_THAT(refused(good, trusting_, "https://192.0.2.2"), HasSubstr("IP address mismatch"));
  EXPECT_THAT(refused(good, {.ca_pem = other_ca_.cert_pem()}, "https://broker.test"),
              HasSubstr("unable to get local issuer certificate: nobody who is trusted here signed it"));
  const TestCertificate expired = test_certificate("expired", &ca_, "DNS:broker.test", -3600, -60);
  EXPECT_THAT(refused(serving(expired), trusting_, "https://broker.test"),
              HasSubstr("certificate has expired: it was valid until 20"));
  const TestCertificate early = test_certificate("early", &ca_, "DNS:broker.test", 60, 3600);
  EXPECT_THAT(refused(serving(early), trusting_, "https://broker.test"),
              testing::AllOf(HasSubstr("not yet valid: it is valid from 20"), HasSubstr("is the clock")));
  const TestCertificate self = test_certificate("broker.test", nullptr, "DNS:broker.test");
  EXPECT_THAT(refused(serving(self), trusting_, "https://broker.test"), HasSubstr("self-signed certificate"));
  const TestCertificate common = test_certificate("broker.test", &ca_, "");
  EXPECT_THAT(refused(serving(common), trusting_, "https://broker.test"), HasSubstr("hostname mismatch"));
}

TEST_F(TlsTest, ShowsItsOwnCertificateWhereOneIsAskedFor) {
  TlsServerOptions server = serving(good_);
  server.client_ca_pem = ca_.cert_pem();
  TlsOptions client = trusting_;
  EXPECT_THAT(
      talk(server, client, "https://broker.test"),
      HasSubstr("denied: POST https://broker.test:443: refused by the peer: tlsv13 alert certificate required; it "
                "wants a client's certificate: give one (tls.cert and tls.key)"));
  const TestCertificate me = test_certificate("me", &ca_, "");
  client.cert_pem = me.cert_pem();
  client.key_pem = me.key_pem();
  EXPECT_EQ(talk(server, client, "https://broker.test"), hello_);
  const TestCertificate stranger = test_certificate("stranger", &other_ca_, "");
  client.cert_pem = stranger.cert_pem();
  client.key_pem = stranger.key_pem();
  EXPECT_THAT(talk(server, client, "https://broker.test"),
              testing::AllOf(HasSubstr("denied: POST https://broker.test:443: refused by the peer"),
                             HasSubstr("it does not take our certificate")));
}

TEST_F(TlsTest, NamesThePartThatCannotBeUsedAndNeverShowsIt) {
  const auto error = [](const TlsOptions& options) {
    const Result<TlsContext> context = TlsContext::client(options);
    return context ? "fine" : fmt::format("{}: {}", code_word(context.error().code), context.error().what);
  };
  const std::string ca = ca_.cert_pem();
  EXPECT_EQ(error({.ca_pem = "S3CR3T"}),
            "invalid: TLS: CA: no certificate in it; accepted: PEM, -----BEGIN CERTIFICATE-----");
  EXPECT_THAT(error({.ca_pem = ca, .cert_pem = "x"}), HasSubstr("TLS: certificate: cannot be used"));
  EXPECT_THAT(error({.ca_pem = ca, .cert_pem = good_.cert_pem(), .key_pem = "x"}),
              HasSubstr("TLS: private key: cannot be used"));
  EXPECT_THAT(error({.ca_pem = ca, .cert_pem = good_.cert_pem(), .key_pem = good_.key_pem("secret")}),
              HasSubstr("PEM without a password"));
  EXPECT_EQ(error({.ca_pem = ca, .cert_pem = good_.cert_pem(), .key_pem = ca_.key_pem()}),
            "invalid: TLS: private key: does not belong to the certificate");
  ::setenv("SSL_CERT_FILE", "/nowhere/bundle", 1);
  EXPECT_EQ(error({}), "denied: TLS: no trusted roots in SSL_CERT_FILE=/nowhere/bundle");
  ::unsetenv("SSL_CERT_FILE");
}

TEST_F(TlsTest, TellsWhenThePeerSpeaksSomethingElse) {
  Loop loop;
  VirtualClock clock(loop);
  const Result<TlsContext> context = TlsContext::client(trusting_);
  const auto main = [&]() -> Task<void> {
    for (const char* words : {"HTTP/1.1 400 Bad Request\r\n\r\n", "220 mail.example ESMTP\r\n"}) {
      StreamPair pair = stream_pair(clock);
      const Result<void> said = co_await pair.second->write_all(words, clock.in(1s));
      const Result<std::unique_ptr<Stream>> made =
          co_await tls_connect(clock, std::move(pair.first), *context, "a", clock.in(1s));
      EXPECT_EQ(made.error().code, Code::invalid) << made.error().what;
      EXPECT_EQ(made.error().what, "the peer does not speak TLS");
    }
    StreamPair silent = stream_pair(clock);
    const Result<std::unique_ptr<Stream>> late =
        co_await tls_connect(clock, std::move(silent.first), *context, "a", clock.in(1s));
    EXPECT_EQ(late.error().code, Code::retry);
  };
  clock.run(main());
}

TEST_F(TlsTest, AnEndWithoutAGoodbyeIsNotTheEndOfAMessage) {
  Loop loop;
  VirtualClock clock(loop);
  const Result<TlsContext> server = TlsContext::server(serving(good_));
  const Result<TlsContext> client = TlsContext::client(trusting_);
  const auto answer = [](std::unique_ptr<Stream> raw, TlsContext with, bool goodbye, Clock& time) -> Task<void> {
    Result<std::unique_ptr<Stream>> stream = co_await tls_accept(time, std::move(raw), with, time.in(1s));
    const Result<void> sent = co_await (*stream)->write_all("part", time.in(1s));
    if (goodbye) {
      const Result<void> ended = co_await (*stream)->end_writing(time.in(1s));
    }
  };
  const auto main = [&]() -> Task<void> {
    for (const bool goodbye : {true, false}) {
      StreamPair pair = stream_pair(clock);
      TaskGroup group(loop, clock);
      group.spawn(answer(std::move(pair.second), *server, goodbye, clock));
      const Result<std::unique_ptr<Stream>> made =
          co_await tls_connect(clock, std::move(pair.first), *client, "broker.test", clock.in(1s));
      std::array<char, 100> buffer;
      const Result<std::size_t> first = co_await (*made)->read_some(buffer, clock.in(1s));
      EXPECT_EQ(*first, 4U);
      const Result<std::size_t> second = co_await (*made)->read_some(buffer, clock.in(1s));
      EXPECT_EQ(second.has_value(), goodbye);
      co_await group.join();
    }
  };
  clock.run(main());
}

TEST_F(TlsTest, IsRightOrAnErrorWhateverStepFails) {
  const TlsServerOptions server = serving(good_);
  const std::size_t steps = for_each_failure([&](Faults& faults) {
    Loop loop;
    VirtualClock clock(loop);
    const std::string out = exchange(loop, clock, server, trusting_, "https://broker.test", faults);
    if (faults.fault() == Fault::none || faults.fault() == Fault::one_byte) {
      EXPECT_EQ(out, hello_) << faults.steps();
    } else if (out != hello_) {
      EXPECT_THAT(out, testing::StartsWith("retry: POST https://broker.test:443: ")) << fault_word(faults.fault());
    }
  });
  EXPECT_GE(steps, 6U);
}

}  // namespace
}  // namespace sluice::aio
