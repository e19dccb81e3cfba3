// SPDX-License-Identifier: Apache-2.0
// What the connections of one client or server share: trusted roots, an identity, and what OpenSSL is allowed to do.
#include <fmt/core.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "aio/openssl.h"
#include "aio/tls.h"
#include "base/check.h"

namespace sluice::aio {
namespace {

using Certificate = std::unique_ptr<X509, OpensslFree<X509_free>>;

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
  const PrivateKey key{PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr)};
  if (!key) {
    return unusable("private key", "cannot be used; accepted: PEM without a password, -----BEGIN PRIVATE KEY-----");
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return unusable("private key", "does not belong to the certificate");
  }
  return {};
}

std::shared_ptr<SSL_CTX> make_context(const SSL_METHOD* method) {
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(method), OpensslFree<SSL_CTX_free>{});
  check(context != nullptr, "OpenSSL is out of memory");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);  // connections are kept: handshakes are rare
  return context;
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
  } else if (options.ask_client) {
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    // In place of OpenSSL's own verification. That the client has the key is checked apart from this.
    SSL_CTX_set_cert_verify_callback(context.get(), [](X509_STORE_CTX*, void*) { return 1; }, nullptr);
  }
  return TlsContext(std::move(context));
}

}  // namespace sluice::aio
