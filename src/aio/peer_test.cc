// SPDX-License-Identifier: Apache-2.0
#include "aio/peer.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "aio/faults.h"
#include "aio/task_group.h"
#include "aio/testing_certificates.h"
#include "aio/tls.h"

namespace sluice::aio {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

std::string der_of(const TestCertificate& made) {
  unsigned char* bytes = nullptr;
  const int size = i2d_X509(made.cert, &bytes);
  std::string out(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
  OPENSSL_free(bytes);
  return out;
}

TestCertificate client_of(const TestCertificate& ca, const std::string& usage, long from = -60, long to = 3600) {
  return test_certificate("front-proxy-client", &ca, "", from, to, usage, {"system:masters", "dev"});
}

class Peer : public testing::Test {
 protected:
  // "name of groups" or the error.
  [[nodiscard]] std::string said(const PeerChain& chain, const std::string& ca_pem, Duration later = 0s) const {
    const WallTime at = now_ + std::chrono::duration_cast<std::chrono::milliseconds>(later);
    const Result<PeerName> name = verify_peer(chain, ca_pem, at);
    if (!name) {
      return fmt::format("{}: {}", code_word(name.error().code), name.error().what);
    }
    std::string out = name->common_name + " of";
    for (const std::string& each : name->organizations) {
      out += " " + each;
    }
    return out;
  }

  const WallTime now_ = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const TestCertificate ca_ = test_certificate("proxy CA", nullptr, "");
  const TestCertificate other_ = test_certificate("other CA", nullptr, "");
};

TEST_F(Peer, IsWhoTheAuthorityVouchesFor) {
  const PeerChain chain{{der_of(client_of(ca_, "clientAuth"))}};
  EXPECT_EQ(said(chain, ca_.cert_pem()), "front-proxy-client of system:masters dev");
  EXPECT_EQ(said(chain, other_.cert_pem() + ca_.cert_pem()), "front-proxy-client of system:masters dev");
  EXPECT_EQ(said({{der_of(client_of(ca_, ""))}}, ca_.cert_pem()), "front-proxy-client of system:masters dev");
  EXPECT_EQ(said({{der_of(client_of(ca_, "serverAuth,clientAuth"))}}, ca_.cert_pem()),
            "front-proxy-client of system:masters dev");
}

TEST_F(Peer, IsNobodyWithoutACertificate) {
  EXPECT_EQ(said({}, ca_.cert_pem()), "denied: the client showed no certificate");
}

TEST_F(Peer, IsNobodyOfAnotherAuthority) {
  EXPECT_THAT(said({{der_of(client_of(other_, "clientAuth"))}}, ca_.cert_pem()), HasSubstr("denied: "));
  // One of the same name with another key, and the client brings it along.
  const TestCertificate twin = test_certificate("proxy CA", nullptr, "");
  EXPECT_THAT(said({{der_of(client_of(twin, "clientAuth")), der_of(twin)}}, ca_.cert_pem()), HasSubstr("denied: "));
  // A certificate that is no authority, of the right one, signs nobody.
  const TestCertificate leaf = client_of(ca_, "clientAuth");
  EXPECT_THAT(said({{der_of(client_of(leaf, "clientAuth")), der_of(leaf)}}, ca_.cert_pem()), HasSubstr("denied: "));
}

TEST_F(Peer, IsNobodyBeforeAndAfterItsTime) {
  const PeerChain chain{{der_of(client_of(ca_, "clientAuth", -60, 600))}};
  EXPECT_EQ(said(chain, ca_.cert_pem(), 500s), "front-proxy-client of system:masters dev");
  EXPECT_THAT(said(chain, ca_.cert_pem(), 700s), HasSubstr("expired"));
  EXPECT_THAT(said({{der_of(client_of(ca_, "clientAuth", 600))}}, ca_.cert_pem()), HasSubstr("not yet valid"));
}

TEST_F(Peer, IsNobodyWithACertificateForServers) {
  EXPECT_THAT(said({{der_of(client_of(ca_, "serverAuth"))}}, ca_.cert_pem()), HasSubstr("denied: "));
  EXPECT_THAT(said({{der_of(client_of(ca_, "codeSigning"))}}, ca_.cert_pem()), HasSubstr("denied: "));
  // A use that OpenSSL knows no bit for, and "any", which names no client.
  EXPECT_THAT(said({{der_of(client_of(ca_, "1.3.6.1.4.1.57264.99"))}}, ca_.cert_pem()), HasSubstr("denied: "));
  EXPECT_THAT(said({{der_of(client_of(ca_, "anyExtendedKeyUsage"))}}, ca_.cert_pem()), HasSubstr("denied: "));
  EXPECT_THAT(said({{der_of(client_of(ca_, "critical,serverAuth"))}}, ca_.cert_pem()), HasSubstr("denied: "));
}

// Not taken for one that is not limited.
TEST_F(Peer, IsNobodyWithAPurposeThatCannotBeRead) {
  const auto with = [this](const std::string& usage, const std::string& der) {
    const TestCertificate made = client_of(ca_, usage);
    ASN1_OCTET_STRING* const bytes = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(bytes, reinterpret_cast<const unsigned char*>(der.data()), static_cast<int>(der.size()));
    X509_EXTENSION* const extension = X509_EXTENSION_create_by_NID(nullptr, NID_ext_key_usage, 0, bytes);
    X509_add_ext(made.cert, extension, -1);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(bytes);
    X509_sign(made.cert, ca_.key, EVP_sha256());
    return der_of(made);
  };
  const std::string server_auth("\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01", 12);
  EXPECT_THAT(said({{with("", server_auth)}}, ca_.cert_pem()), HasSubstr("denied: "));
  EXPECT_THAT(said({{with("", "garbage")}}, ca_.cert_pem()), HasSubstr("denied: "));
  EXPECT_THAT(said({{with("serverAuth", server_auth)}}, ca_.cert_pem()), HasSubstr("denied: ")) << "said twice";
}

TEST_F(Peer, SaysWhatCannotBeRead) {
  EXPECT_EQ(said({{"no certificate"}}, ca_.cert_pem()), "denied: the client's certificate cannot be read");
  EXPECT_THAT(said({}, "no PEM"), HasSubstr("invalid: TLS: clients' CA: no certificate"));
  EXPECT_THAT(said({}, ""), HasSubstr("invalid: "));
}

// What a server that asks gets of a client with `identity`: the chain, after a byte was carried.
PeerChain accepted_from(const TestCertificate& serving, const std::string& ca_pem, const TestCertificate* identity) {
  Loop loop;
  VirtualClock clock(loop);
  const Result<TlsContext> server =
      TlsContext::server({.cert_pem = serving.cert_pem(), .key_pem = serving.key_pem(), .ask_client = true});
  TlsOptions options{.ca_pem = ca_pem};
  if (identity != nullptr) {
    options.cert_pem = identity->cert_pem();
    options.key_pem = identity->key_pem();
  }
  const Result<TlsContext> client = TlsContext::client(options);
  EXPECT_TRUE(server && client);
  StreamPair pair = stream_pair(clock);
  PeerChain out;
  const auto accept = [](Clock& time, std::unique_ptr<Stream> raw, TlsContext with, PeerChain& into) -> Task<void> {
    Result<TlsAccepted> accepted = co_await tls_accept_peer(time, std::move(raw), with, time.in(5s));
    EXPECT_TRUE(accepted) << accepted.error().what;
    if (accepted) {
      into = accepted->peer;
      const Result<void> sent = co_await accepted->stream->write_all("x", time.in(5s));
      EXPECT_TRUE(sent);
    }
  };
  const auto main = [&]() -> Task<void> {
    TaskGroup group(loop, clock);
    group.spawn(accept(clock, std::move(pair.second), *server, out));
    Result<std::unique_ptr<Stream>> stream =
        co_await tls_connect(clock, std::move(pair.first), *client, "adapter.test", clock.in(5s));
    EXPECT_TRUE(stream) << stream.error().what;
    if (stream) {
      std::array<char, 8> byte{};
      const Result<std::size_t> got = co_await (*stream)->read_some(byte, clock.in(5s));
      EXPECT_TRUE(got) << got.error().what;
    }
    co_await group.join();
  };
  clock.run(main());
  return out;
}

TEST_F(Peer, IsAskedForInTheHandshakeAndMayBeAnybody) {
  const TestCertificate serving = test_certificate("adapter", &ca_, "DNS:adapter.test");
  EXPECT_EQ(accepted_from(serving, ca_.cert_pem(), nullptr), PeerChain());
  const TestCertificate right = client_of(other_, "clientAuth");
  const PeerChain shown = accepted_from(serving, ca_.cert_pem(), &right);
  EXPECT_EQ(shown, PeerChain({der_of(right)}));
  EXPECT_EQ(said(shown, other_.cert_pem()), "front-proxy-client of system:masters dev");
  const TestCertificate expired = client_of(ca_, "serverAuth", -600, -300);
  // This client knows its own authority, and sends it along.
  EXPECT_EQ(accepted_from(serving, ca_.cert_pem(), &expired), PeerChain({der_of(expired), der_of(ca_)}));
}

}  // namespace
}  // namespace sluice::aio
