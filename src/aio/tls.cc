// SPDX-License-Identifier: Apache-2.0
#include "aio/tls.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/check.h"

namespace sluice::aio {
namespace {

template <auto free>
struct Free {
  template <class T>
  void operator()(T* object) const {
    free(object);
  }
};
using Bio = std::unique_ptr<BIO, Free<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Session = std::unique_ptr<SSL, Free<SSL_free>>;

// Where Debian, Fedora, openSUSE, Alpine and the BSDs keep the bundle of trusted roots.
constexpr std::array<const char*, 5> bundles = {
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem"};

Error unusable(std::string_view part, std::string_view why) {
  ERR_clear_error();  // OpenSSL's own words may quote the input
  return Error{Code::invalid, fmt::format("TLS: {}: {}", part, why)};
}

Bio reader_of(const std::string& pem) {
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// An encrypted key would make OpenSSL ask for its password on the terminal.
int no_password(char*, int, int, void*) {
  return -1;
}

Result<void> trust(SSL_CTX* context, std::string_view part, const std::string& pem) {
  const Bio bio = reader_of(pem);
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  int count = 0;
  while (const Certificate root{PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr)}) {
    X509_STORE_add_cert(store, root.get());
    ++count;
  }
  ERR_clear_error();  // the loop ends with "no start line"
  if (count == 0) {
    return unusable(part, "no certificate in it; accepted: PEM, -----BEGIN CERTIFICATE-----");
  }
  return {};
}

Result<void> trust_system(SSL_CTX* context) {
  if (const char* const named = std::getenv("SSL_CERT_FILE"); named != nullptr && *named != '\0') {
    if (SSL_CTX_load_verify_file(context, named) == 1) {
      return {};
    }
    ERR_clear_error();
    return Error{Code::denied, fmt::format("TLS: no trusted roots in SSL_CERT_FILE={}", named)};
  }
  for (const char* const bundle : bundles) {
    if (::access(bundle, R_OK) == 0 && SSL_CTX_load_verify_file(context, bundle) == 1) {
      return {};
    }
  }
  ERR_clear_error();
  return Error{Code::denied,
               fmt::format("TLS: no trusted roots: {} is missing (install ca-certificates), and no CA is given",
                           bundles.front())};
}

Result<void> identify(SSL_CTX* context, const std::string& cert_pem, const std::string& key_pem) {
  const Bio certs = reader_of(cert_pem);
  const Certificate own{PEM_read_bio_X509(certs.get(), nullptr, no_password, nullptr)};
  if (!own || SSL_CTX_use_certificate(context, own.get()) != 1) {
    return unusable("certificate", "cannot be used; accepted: PEM, -----BEGIN CERTIFICATE-----");
  }
  while (const Certificate link{PEM_read_bio_X509(certs.get(), nullptr, no_password, nullptr)}) {
    SSL_CTX_add1_chain_cert(context, link.get());
  }
  ERR_clear_error();
  const Bio bio = reader_of(key_pem);
  const Key key{PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr)};
  if (!key) {
    return unusable("private key", "cannot be used; accepted: PEM without a password, -----BEGIN PRIVATE KEY-----");
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return unusable("private key", "does not belong to the certificate");
  }
  return {};
}

std::shared_ptr<SSL_CTX> make_context(const SSL_METHOD* method) {
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(method), Free<SSL_CTX_free>{});
  check(context != nullptr, "OpenSSL is out of memory");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);  // connections are kept: handshakes are rare
  return context;
}

class TlsStream final : public Stream {
 public:
  TlsStream(std::unique_ptr<Stream> below, TlsContext context)
      : below_(std::move(below)), context_(std::move(context)), ssl_(SSL_new(context_.get())) {
    check(ssl_ != nullptr, "OpenSSL is out of memory");
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  }

  SSL* ssl() { return ssl_.get(); }

  Task<Result<void>> handshake(Deadline deadline) {
    const Result<std::size_t> done = co_await run(Step::handshake, {}, deadline);
    if (!done) {
      co_return done.error();
    }
    co_return Result<void>();
  }

  Task<Result<std::size_t>> read_some(std::span<char> into, Deadline deadline) override {
    return run(Step::read, into, deadline);
  }

  Task<Result<void>> write_all(std::string_view bytes, Deadline deadline) override {
    while (!bytes.empty()) {
      const std::span<char> some(const_cast<char*>(bytes.data()), bytes.size());  // only read from
      const Result<std::size_t> n = co_await run(Step::write, some, deadline);
      if (!n) {
        co_return n.error();
      }
      bytes.remove_prefix(*n);
    }
    co_return Result<void>();
  }

  Task<Result<void>> end_writing(Deadline deadline) override {
    SSL_shutdown(ssl_.get());  // only queues the goodbye
    ERR_clear_error();
    Result<void> sent = co_await flush(deadline);
    if (!sent) {
      co_return sent;
    }
    sent = co_await below_->end_writing(deadline);
    co_return sent;
  }

  bool quiet() override {
    return SSL_pending(ssl_.get()) == 0 && BIO_pending(SSL_get_rbio(ssl_.get())) == 0 && below_->quiet();
  }
  void cut() override { below_->cut(); }

 private:
  enum class Step { handshake, read, write };

  // One OpenSSL call, repeated with what it wants from the peer in between. Of a read, 0 is the peer's goodbye.
  Task<Result<std::size_t>> run(Step step, std::span<char> bytes, Deadline deadline) {
    while (true) {
      ERR_clear_error();
      std::size_t n = 0;
      const int done = step == Step::handshake ? SSL_do_handshake(ssl_.get())
                       : step == Step::read    ? SSL_read_ex(ssl_.get(), bytes.data(), bytes.size(), &n)
                                               : SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &n);
      const int why = SSL_get_error(ssl_.get(), done);
      // Judged before anything is awaited: OpenSSL's queue of errors belongs to the thread, not to this stream.
      const Error failure = why == SSL_ERROR_SSL ? explain() : Error{};
      const Result<void> sent = co_await flush(deadline);  // an alert too: it tells the peer why
      if (done == 1 && sent) {
        co_return n;
      }
      if (why == SSL_ERROR_ZERO_RETURN) {
        co_return std::size_t{0};
      }
      if (why == SSL_ERROR_SSL) {
        co_return failure;
      }
      if (!sent) {
        co_return sent.error();
      }
      check(why == SSL_ERROR_WANT_READ, "OpenSSL wants what memory never makes it wait for");
      const Result<std::size_t> got = co_await below_->read_some(incoming_, deadline);
      if (!got) {
        co_return got.error();
      }
      if (*got == 0) {
        // An end without a goodbye may be an attacker's: never taken for the end of a message.
        co_return Error{Code::retry, "connection cut"};
      }
      BIO_write(SSL_get_rbio(ssl_.get()), incoming_.data(), static_cast<int>(*got));
    }
  }

  Task<Result<void>> flush(Deadline deadline) {
    BIO* const bio = SSL_get_wbio(ssl_.get());
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    if (size <= 0) {
      co_return Result<void>();
    }
    const std::string bytes(data, static_cast<std::size_t>(size));
    BIO_reset(bio);
    const Result<void> sent = co_await below_->write_all(bytes, deadline);
    co_return sent;
  }

  // Why the peers cannot agree, in words that say what to do.
  Error explain() {
    const long verdict = SSL_get_verify_result(ssl_.get());
    const unsigned long error = ERR_peek_error();
    const int reason = ERR_GET_REASON(error);
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verdict != X509_V_OK) {
      return Error{Code::denied, fmt::format("certificate refused: {}", X509_verify_cert_error_string(verdict))};
    }
    const char* const text = ERR_reason_error_string(error);
    const std::string words = text == nullptr ? "unknown error" : text;
    // Alerts are 1000 + their number; 40 to 51 and 116 are about certificates and what else was offered (RFC
    // 8446, 6.2).
    if ((reason >= 1040 && reason <= 1051) || reason == 1116) {
      return Error{Code::denied, fmt::format("refused by the peer: {}", words)};
    }
    if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST ||
        reason == SSL_R_PACKET_LENGTH_TOO_LONG) {
      return Error{Code::invalid, "the peer does not speak TLS"};
    }
    return Error{Code::retry, fmt::format("TLS: {}", words)};
  }

  std::unique_ptr<Stream> below_;
  TlsContext context_;  // outlives the session
  Session ssl_;
  std::array<char, 16384> incoming_;
};

// The certificate is checked for `name`, an IP address as such.
void expect_name(SSL* ssl, std::string name) {
  X509_VERIFY_PARAM* const wanted = SSL_get0_param(ssl);
  // Names are subject alternative names: the common name is for people (RFC 9110, 4.3.4).
  X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  if (X509_VERIFY_PARAM_set1_ip_asc(wanted, name.c_str()) == 1) {
    return;
  }
  ERR_clear_error();
  if (name.ends_with('.')) {
    name.pop_back();  // complete, but certificates and SNI are written without it
  }
  check(X509_VERIFY_PARAM_set1_host(wanted, name.c_str(), name.size()) == 1, "OpenSSL is out of memory");
  SSL_set_tlsext_host_name(ssl, name.c_str());
}

}  // namespace

Result<TlsContext> TlsContext::client(const TlsOptions& options) {
  std::shared_ptr<SSL_CTX> context = make_context(TLS_client_method());
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  const Result<void> roots =
      options.ca_pem.empty() ? trust_system(context.get()) : trust(context.get(), "CA", options.ca_pem);
  if (!roots) {
    return roots.error();
  }
  if (!options.cert_pem.empty() || !options.key_pem.empty()) {
    if (const Result<void> own = identify(context.get(), options.cert_pem, options.key_pem); !own) {
      return own.error();
    }
  }
  return TlsContext(std::move(context));
}

Result<TlsContext> TlsContext::server(const TlsServerOptions& options) {
  std::shared_ptr<SSL_CTX> context = make_context(TLS_server_method());
  SSL_CTX_set_num_tickets(context.get(), 0);
  if (const Result<void> own = identify(context.get(), options.cert_pem, options.key_pem); !own) {
    return own.error();
  }
  if (!options.client_ca_pem.empty()) {
    if (const Result<void> roots = trust(context.get(), "client CA", options.client_ca_pem); !roots) {
      return roots.error();
    }
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  return TlsContext(std::move(context));
}

Task<Result<std::unique_ptr<Stream>>> tls_connect(std::unique_ptr<Stream> below, TlsContext context, std::string name,
                                                  Deadline deadline) {
  auto stream = std::make_unique<TlsStream>(std::move(below), std::move(context));
  SSL_set_connect_state(stream->ssl());
  expect_name(stream->ssl(), std::move(name));
  const Result<void> agreed = co_await stream->handshake(deadline);
  if (!agreed) {
    co_return agreed.error();
  }
  co_return std::unique_ptr<Stream>(std::move(stream));
}

Task<Result<std::unique_ptr<Stream>>> tls_accept(std::unique_ptr<Stream> below, TlsContext context, Deadline deadline) {
  auto stream = std::make_unique<TlsStream>(std::move(below), std::move(context));
  SSL_set_accept_state(stream->ssl());
  const Result<void> agreed = co_await stream->handshake(deadline);
  if (!agreed) {
    co_return agreed.error();
  }
  co_return std::unique_ptr<Stream>(std::move(stream));
}

}  // namespace sluice::aio
